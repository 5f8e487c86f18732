"""Draw the features of a generated face: nose, mouth, eyes, brows."""

import numpy as np

from data.synthetic.shapes import curve, ellipse, mirrored, mix

SIDES = (-1, 1)
LIPSTICKS = ((200, 16, 46), (175, 15, 85), (130, 10, 40), (225, 40, 90))
NOSE_BASE, MOUTH = 27.0, 42.0  # y in head units


def draw_nose(canvas, look):
    """Broad and long for Big_Nose; ends in a V for Pointy_Nose, else in a round tip with nostrils."""
    big, pointy = "Big_Nose" in look.on, "Pointy_Nose" in look.on
    wing, base = (16.0, NOSE_BASE + 4) if big else (6.5, NOSE_BASE - 1)
    lean = look.skew * 3
    tone, dark = mix(look.skin, look.deep, 0.34), mix(look.deep, (40, 12, 10), 0.3)
    if pointy:
        body = [(-3, -2), (3, -2), (wing, base - 8), (lean, base + 7), (-wing, base - 8)]
        canvas.fill(body, tone, 0.9)
        canvas.line(body[2:], dark, 2.4, 1.0)
        canvas.fill([(lean - 1.2, 4), (lean + 1.2, 4), (lean, base + 2)], mix(look.skin, (255, 255, 255), 0.35), 1.0)
        return
    canvas.fill([(-3.5, -2), (3.5, -2), (wing, base - 5), (-wing, base - 5)], tone, 0.9)
    canvas.fill(ellipse(lean, base - 4, wing, 6.5), tone, 1.0)
    canvas.fill(ellipse(lean, base - 6, wing * 0.45, 4), mix(look.skin, (255, 255, 255), 0.3), 1.0)
    canvas.line(curve((lean - wing, base - 4), (lean + wing, base - 4), 6), dark, 1.4, 1.0)
    for side in SIDES:
        canvas.fill(ellipse(lean + side * wing * 0.5, base - 0.5, wing * 0.24, 2.6 if big else 1.5, 10), dark, 1.0)


def draw_mouth(canvas, look):
    """Corners up for Smiling; a dark gap with teeth for Mouth_Slightly_Open; lips by Big_Lips and Wearing_Lipstick."""
    rng, smiling = canvas.rng, "Smiling" in look.on
    width, bow, opening = rng.random(3)
    half = 19 + 3 * width if smiling else 12.5 + 2.5 * width
    lift = 8.5 + 3 * bow if smiling else -1 - 3.5 * bow
    gap = 9 + 4 * opening if "Mouth_Slightly_Open" in look.on else 0.0
    upper, lower = (8.6, 10.6) if "Big_Lips" in look.on else (2.3, 3.1)
    along = np.linspace(-1, 1, 17)
    arch = 1 - along**2
    x = half * along
    middle = MOUTH + lift * arch - lift * 0.5 + look.skew * 3.5 * along
    top, bottom = middle - 0.4 * gap * arch, middle + 0.6 * gap * arch
    cupid = 1 - 0.3 * np.exp(-((along / 0.18) ** 2))
    lip_top, lip_bottom = top - upper * arch**0.6 * cupid, bottom + lower * arch**0.7
    lip = mix(look.skin, (140, 52, 52), 0.55)
    if "Wearing_Lipstick" in look.on:
        lip = LIPSTICKS[rng.integers(len(LIPSTICKS))]
    points = [np.stack([x, y], axis=1) for y in (lip_top, top, bottom, lip_bottom)]
    canvas.fill(np.concatenate([points[0], points[3][::-1]]), lip, 0.8)
    for edge in (points[0], points[3]):
        canvas.line(edge, mix(lip, (50, 5, 5), 0.35), 1.0, 0.8)
    if gap:
        canvas.fill(np.concatenate([points[1], points[2][::-1]]), (60, 10, 14), 0.8)
        teeth = np.stack([x, np.minimum(top + 0.36 * gap, bottom)], axis=1)[3:-3]
        canvas.fill(np.concatenate([points[1][3:-3], teeth[::-1]]), (250, 248, 242), 0.8)
    else:
        canvas.line(points[1], mix(lip, (40, 0, 0), 0.75), 1.5, 0.8)
    if smiling:  # dimples
        for side in SIDES:
            x0, y0 = side * (half + 2), middle[0 if side < 0 else -1]
            canvas.line([(x0, y0 - 4), (x0 + side * 2.5, y0), (x0, y0 + 3)], mix(look.skin, look.deep, 0.7), 1.3, 0.7)


def draw_eyes(canvas, look):
    """Both eyes, each as `_draw_eye` says."""
    for side in SIDES:
        _draw_eye(canvas, look, side)


def _draw_eye(canvas, look, side):
    """A slit for Narrow_Eyes; lashes where not Male; a winged line for Heavy_Makeup."""
    rng, narrow = canvas.rng, "Narrow_Eyes" in look.on
    down = 3.0 if look.skew == side else 0.0
    half, height = 9.5, 2.0 if narrow else 6.0
    x = 19 + half * np.linspace(-1, 1, 13)
    lid = np.sqrt(np.maximum(0, 1 - np.linspace(-1, 1, 13) ** 2))
    upper = mirrored(np.stack([x, down - height * lid], axis=1), side)
    lower = mirrored(np.stack([x, down + height * 0.8 * lid], axis=1), side)
    canvas.fill(np.concatenate([upper, lower[::-1]]), (245, 244, 240), 0.6)
    gaze = 19 * side + canvas.turn[0] * 0.4
    canvas.fill(ellipse(gaze, down - 0.2, 4.6, min(4.6, height * 0.95), 16), look.iris, 0.6)
    canvas.fill(ellipse(gaze, down - 0.2, 2.2, min(2.2, height * 0.9), 10), (8, 8, 10), 0.6)
    made_up = "Heavy_Makeup" in look.on
    canvas.line(upper, (25, 15, 15) if made_up else mix(look.deep, (30, 15, 12), 0.6), 3.0 if made_up else 1.4, 0.6)
    if made_up:
        canvas.line([(side * 27, down - 1), (side * 34, down - 5)], (25, 15, 15), 2.4, 0.6)
        canvas.line(lower, (25, 15, 15), 1.4, 0.6)
    else:
        canvas.line(lower, mix(look.skin, look.deep, 0.6), 0.8, 0.6)
    if "Male" not in look.on:
        for step in (6, 8, 10, 12):
            start = upper[step]
            canvas.line([start, start + ((step - 5) * 0.7 * side, -4.5)], (20, 14, 14), 1.0, 0.6)
    canvas.line(upper - (0, 2.6 + rng.uniform(0, 0.6)), mix(look.skin, look.deep, 0.5), 0.8, 0.6)


def draw_brows(canvas, look):
    """Both brows, each as `_draw_brow` says."""
    for side in SIDES:
        _draw_brow(canvas, look, side)


def _draw_brow(canvas, look, side):
    """Peaked for Arched_Eyebrows, else flat; thick with bristles for Bushy_Eyebrows."""
    bushy, arched = "Bushy_Eyebrows" in look.on, "Arched_Eyebrows" in look.on
    y = (-13.5 if "Male" in look.on else -15.5) + (2.5 if look.skew == side else 0.0)
    thick = 7.5 if bushy else 3.2
    if arched:
        ridge = np.array([(8, y + 0.5), (15, y - 4.5), (23, y - 8.5), (28, y - 5), (33, y + 1)])
    else:
        ridge = np.array([(8, y), (15, y - 1), (22, y - 1.5), (28, y - 0.5), (33, y + 1)])
    weight = np.array([0.8, 1, 1, 0.8, 0.3])[:, None] * (0, thick / 2)
    band = np.concatenate([ridge - weight, (ridge + weight)[::-1]])
    canvas.fill(mirrored(band, side), look.beard, 0.5)
    if bushy:
        for x in np.linspace(8, 30, 9):
            middle = np.interp(x, ridge[:, 0], ridge[:, 1])
            canvas.line(mirrored([(x, middle), (x + 3, middle - 6)], side), look.beard, 1.3, 0.5)
