"""Draw a face that shows given attributes: the order of its layers, head, light and shade, marks on the skin, beard."""

import numpy as np

from data.synthetic.faces import features, outfit
from data.synthetic.faces.attributes import ATTRIBUTES
from data.synthetic.faces.canvas import NEUTRAL, Canvas
from data.synthetic.faces.features import MOUTH
from data.synthetic.faces.look import choose_look
from data.synthetic.shapes import curve, ellipse, mirrored, mix

SIDES = (-1, 1)
EYE_SHADOWS = ((150, 50, 165), (45, 80, 190), (25, 120, 120), (130, 55, 40))  # in the soft layer


def draw_face(labels, rng):
    """One face.

    Args:
        labels: (40,) of 0/1, columns as in `ATTRIBUTES`
        rng: numpy Generator; every choice that no label makes is drawn from it
    Returns: PIL image, RGB, 178 × 218
    """
    on = {name for name, label in zip(ATTRIBUTES, labels, strict=True) if label}
    # a stream for each part: what one part draws, or leaves out, changes no choice of the others
    first, second, third, *streams = rng.spawn(3 + len(_PARTS))
    canvas, look = Canvas(first), choose_look(on, second)
    canvas.hair = outfit.hair_texture(canvas, look, third)
    for part, stream in zip(_PARTS, streams, strict=True):
        canvas.rng = stream
        part(canvas, look)
    return canvas.finish(rng, blur=rng.uniform(2.7, 3.7) if "Blurry" in on else rng.uniform(0, 0.7))


def _draw_head(canvas, look):
    """Ears, second chin, and the head itself."""
    for side in SIDES:
        canvas.fill(ellipse(side * (look.width + 2), 4, 5.5, 10), mix(look.skin, look.deep, 0.15))
        canvas.fill(ellipse(side * (look.width + 2.5), 4, 2.6, 6), mix(look.skin, look.deep, 0.45))
    if "Double_Chin" in look.on:
        fold = ellipse(0, look.chin - 3, 34, 21, 30)
        canvas.fill(fold, mix(look.skin, look.deep, 0.1))
        canvas.line(fold[1:15], mix(look.deep, (40, 12, 10), 0.25), 2.4)
    canvas.fill(look.outline(), look.skin)
    low = look.outline(start=0.08, end=0.42)
    canvas.line(low, mix(look.skin, look.deep, 0.8 if "Double_Chin" in look.on else 0.45), 1.3)


def _shade_skin(canvas, look):
    """Soft light and shade: depth of the head, cheeks, make-up, bags under the eyes."""
    rng = canvas.rng
    side = rng.choice(SIDES)
    shade = round(NEUTRAL - rng.uniform(8, 34))
    half = mirrored(look.outline(start=-0.25, end=0.25), side)
    canvas.soft(np.concatenate([half, half[::-1] * (0.62, 1)]), (shade,) * 3)
    canvas.soft(ellipse(-side * 8, -28, 17, 12), (NEUTRAL + 16,) * 3, 0.3)
    canvas.upright = True
    canvas.soft([(-26, 62), (26, 62), (20, 78), (-20, 78)], (100,) * 3)
    canvas.upright = False
    for side in SIDES:
        canvas.soft(ellipse(side * 19, -4, 11, 7), (112, 110, 110), 0.6)
        if "Rosy_Cheeks" in look.on:
            canvas.soft(ellipse(side * 24, 22, 11, 10), (170, 72, 92), 0.5)
        if "High_Cheekbones" in look.on:
            canvas.soft(mirrored([(13, 17), (34, 3), (38, 8), (30, 17)], side), (196,) * 3, 0.5)
            canvas.soft(mirrored([(38, 16), (36, 25), (22, 32), (19, 27)], side), (84, 76, 76), 0.4)
    if "Heavy_Makeup" in look.on:
        shadow = EYE_SHADOWS[rng.integers(len(EYE_SHADOWS))]
        for side in SIDES:
            canvas.soft(mirrored([(7, 2), (10, -9), (22, -13), (33, -9), (32, 0)], side), shadow, 0.6)
    canvas.melt(2.6)


def _draw_marks(canvas, look):
    """Wrinkles where not Young, blemishes where not Attractive, bags under the eyes, Adam's apple."""
    rng, crease = canvas.rng, mix(look.deep, (40, 12, 10), 0.25)
    if "Young" not in look.on:
        for y in (-33, -27, -21):
            canvas.line(
                curve((-20 + rng.uniform(-3, 3), y), (20 + rng.uniform(-3, 3), y), rng.uniform(-3, -1)),
                crease,
                1.4,
                0.4,
            )
        for side in SIDES:
            canvas.line(curve((side * 10, 24), (side * 21, 46), -2), crease, 2.8, 0.7)
            for y in (-5, 0, 5):
                canvas.line([(side * 29, y * 0.6), (side * 36, y * 1.4)], crease, 1.8, 0.4)
    if "Attractive" not in look.on:
        spot = mix(look.skin, (150, 20, 20), 0.6)
        for _ in range(rng.integers(7, 12)):
            x, y = rng.uniform(-0.75, 0.75) * look.width, rng.choice((rng.uniform(-32, -18), rng.uniform(12, 54)))
            canvas.fill(ellipse(x, y, rng.uniform(1.6, 2.6), rng.uniform(1.6, 2.6), 9), spot, 0.4)
    if "Bags_Under_Eyes" in look.on:
        for side in SIDES:
            upper, lower = curve((side * 10, 7), (side * 28, 7), 4), curve((side * 28, 7), (side * 10, 7), 11)
            canvas.fill(np.concatenate([upper, lower]), mix(look.skin, (70, 40, 80), 0.55), 0.6)
            canvas.line(lower, mix(look.skin, look.deep, 0.9), 1.3, 0.6)


def _draw_beard(canvas, look):
    """Stubble, moustache, goatee; where none of these but not No_Beard, a beard along the whole jaw."""
    rng, on = canvas.rng, look.on
    if "No_Beard" in on:
        return
    if "5_o_Clock_Shadow" in on:
        jaw = look.outline(0.97, 0.06, 0.44)
        inner = curve((-look.width * 0.8, 26), (look.width * 0.8, 26), 4)
        canvas.soft(np.concatenate([jaw, inner]), (72, 77, 84), 0.2)
        canvas.melt(1.6)
        dots = rng.uniform((-1, 0), (1, 1), (420, 2)) * (look.width * 0.92, look.chin - 27) + (0, 27)
        inside = (dots[:, 0] / (look.width * 0.95)) ** 2 + ((dots[:, 1] - 20) / (look.chin - 22)) ** 2 < 1
        for shift in ((0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)):
            canvas.draw.point(canvas.pixels(dots[inside] + shift, 0.2), fill=mix(look.skin, look.beard, 0.8))
    if "Mustache" in on:
        low = curve((-19, MOUTH - 1), (19, MOUTH - 1), -4)
        canvas.fill(np.concatenate([curve((20, MOUTH), (-20, MOUTH), -14), low]), look.beard, 0.9)
    if "Goatee" in on:
        y = MOUTH + 7
        chin = [(-5, y), (5, y), (9, y + 5), (15, look.chin - 10), (12, look.chin + 3), (0, look.chin + 7)]
        canvas.fill(chin + [(-12, look.chin + 3), (-15, look.chin - 10), (-9, y + 5)], look.beard, 0.5)
    if not on & {"5_o_Clock_Shadow", "Mustache", "Goatee"}:
        outer, inner = look.outline(1.03, 0.0, 0.5), look.outline(0.8, 0.02, 0.48)
        canvas.fill(np.concatenate([outer, inner[::-1] * (1, 1.02)]), look.beard, 0.1)


def _draw_sideburns(canvas, look):
    """Broad strips of hair before the ears, down to the jaw."""
    if "Sideburns" not in look.on:
        return
    for side in SIDES:
        strip = [
            (look.width + 1, -14),
            (look.width - 9, -12),
            (look.width - 11, 24),
            (look.width - 3, 28),
            (look.width + 1, 10),
        ]
        canvas.fill(mirrored(strip, side), look.beard, 0.1)


_PARTS = (  # from the back to the front
    outfit.draw_back_hair,
    outfit.draw_body,
    _draw_head,
    _shade_skin,
    _draw_marks,
    features.draw_nose,
    _draw_beard,
    features.draw_mouth,
    features.draw_eyes,
    features.draw_brows,
    outfit.draw_front_hair,
    _draw_sideburns,
    outfit.draw_glasses,
    outfit.draw_hat,
    outfit.draw_earrings,
)
