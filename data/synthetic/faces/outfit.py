"""Draw what surrounds a generated face: neck and clothes, hair, hat, glasses, earrings, necklace, necktie."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data.synthetic.faces.canvas import FINE
from data.synthetic.faces.look import CLEAR_COLOURS
from data.synthetic.shapes import curve, ellipse, mirrored, mix

SIDES = (-1, 1)
METALS = ((235, 195, 70), (225, 228, 235))


def pick(rng, colours):
    """One of some colours."""
    return colours[rng.integers(len(colours))]


def draw_body(canvas, look):
    """Neck, shoulders and clothes; the shoulders and the neck are broad for Male; then necktie and necklace."""
    rng, male = canvas.rng, "Male" in look.on
    canvas.upright = True
    neck, shoulder = (25, 88) if male else (15.5, 64)
    shade = mix(look.skin, look.deep, 0.28)
    canvas.fill([(-neck, 30), (neck, 30), (neck + 1, 84), (neck + 8, 120), (-neck - 8, 120), (-neck - 1, 84)], shade)
    cloth = pick(rng, CLEAR_COLOURS)
    right = [(neck + 1, 82), (shoulder * 0.6, 90), (shoulder, 104), (shoulder + 12, 160)]
    opening = [(0, rng.uniform(92, 112))] if rng.random() < 0.5 else curve((-neck, 84), (neck, 84), rng.uniform(8, 18))
    left = mirrored(right[::-1], -1)
    canvas.fill(np.concatenate([right, left, opening]), cloth)
    canvas.line(np.concatenate([left[-1:], opening, right[:1]]), mix(cloth, (0, 0, 0), 0.35), 1.4)
    tie, collar = "Wearing_Necktie" in look.on, rng.random() < 0.3
    if tie or collar:
        _draw_collar(canvas, neck, tie)
    if "Wearing_Necklace" in look.on:
        _draw_necklace(canvas, neck)
    canvas.upright = False


def _draw_collar(canvas, neck, tie):
    """A shirt's collar and front; with a necktie if `tie`."""
    rng = canvas.rng
    shirt = mix((245, 245, 248), pick(rng, CLEAR_COLOURS), rng.uniform(0, 0.15))
    canvas.fill(
        [(-neck - 2, 80), (0, 90), (neck + 2, 80), (neck + 6, 92), (16, 130), (-16, 130), (-neck - 6, 92)], shirt
    )
    for side in SIDES:
        wing = mirrored([(neck + 2, 76), (0, 91), (11, 102), (neck + 8, 90)], side)
        canvas.fill(wing, mix(shirt, (0, 0, 0), 0.05))
        canvas.line(np.concatenate([wing, wing[:1]]), mix(shirt, (0, 0, 0), 0.4), 0.8)
    if tie:
        colour = pick(rng, ((170, 20, 40), (20, 40, 120), (15, 95, 70), (90, 25, 110), (30, 30, 36)))
        canvas.fill([(-7, 88), (7, 88), (4.5, 99), (12, 130), (-12, 130), (-4.5, 99)], colour)
        stripe = mix(colour, (255, 255, 255), rng.uniform(0.35, 0.8))
        for y in (106, 114, 122):
            canvas.line([(-8, y + 3), (8, y - 4)], stripe, 2)
        canvas.line([(-5, 99), (5, 99)], mix(colour, (0, 0, 0), 0.6), 1.2)
    else:
        canvas.line([(0, 92), (0, 130)], mix(shirt, (0, 0, 0), 0.3), 0.8)


def _draw_necklace(canvas, neck):
    """Pearls or a chain with a pendant, over skin and clothes."""
    rng = canvas.rng
    pearl = pick(rng, ((250, 248, 240), *METALS))
    string = curve((-neck - 2, 78), (neck + 2, 78), rng.uniform(15, 21), count=11 if neck < 20 else 15)
    canvas.line(string, mix(pearl, (60, 40, 20), 0.5), 1.2)
    for x, y in string:
        canvas.fill(ellipse(x, y, 2.9, 2.9, 10), mix(pearl, (50, 35, 20), 0.55))
        canvas.fill(ellipse(x - 0.3, y - 0.4, 2.2, 2.2, 10), pearl)
    if rng.random() < 0.5:
        x, y = string[len(string) // 2]
        canvas.fill([(x - 4, y + 3), (x, y), (x + 4, y + 3), (x, y + 11)], pick(rng, CLEAR_COLOURS[:4]))


def hair_texture(canvas, look, rng):
    """A picture of hair as large as the canvas: strands that run straight, in waves, or none."""
    image = Image.new("RGB", canvas.size, look.hair)
    pen, along = ImageDraw.Draw(image), np.linspace(0, 1, 30)
    if not look.on & {"Straight_Hair", "Wavy_Hair"}:
        pen.polygon(canvas.pixels(ellipse(rng.uniform(-20, 20), -56, 17, 5)), fill=mix(look.hair, (255, 250, 240), 0.2))
        return image.filter(ImageFilter.BoxBlur(8))
    tones = (mix(look.hair, (255, 245, 225), 0.3), mix(look.hair, (0, 0, 0), 0.38))
    parting = rng.uniform(-14, 14)
    for number, goal in enumerate(np.linspace(-150, 150, 36) + rng.uniform(-2, 2, 36)):
        x = parting + (goal - parting) * np.minimum(1, 1.6 * along) ** 0.8
        y = -78 + 215 * along
        if "Wavy_Hair" in look.on:
            x = x + 5 * np.sin(2 * np.pi * along * 8 + rng.uniform(-0.5, 0.5))
        strand = canvas.pixels(np.stack([x, y], axis=1))
        pen.line(strand, fill=tones[number % 2], width=round(1.8 * FINE))
    return image


def draw_back_hair(canvas, look):
    """What of the hair lies behind the head."""
    _draw_hair(canvas, look, behind=True)


def draw_front_hair(canvas, look):
    """What of the hair lies before the head: cap, hairline, fringe, sides."""
    _draw_hair(canvas, look, behind=False)


def _draw_hair(canvas, look, behind):
    """The hair behind the head (`behind`) or in front of it."""
    if "Bald" in look.on:
        return
    wave = 3.4 if "Wavy_Hair" in look.on else 0.0
    turn = np.linspace(np.pi, 0, 40)
    ripple = 1 + wave / 55 * np.sin(13 * turn)
    edge, top = look.width + 7, 69
    arch = np.stack([edge * np.cos(turn) * ripple, -3 - (top - 3) * np.sin(turn) * ripple], axis=1)
    down = np.linspace(-4, look.hair_end, 22)
    flare = edge + 6 * (down + 4) / 120 + wave * 1.2 * np.sin(down / 4.5)
    outer = np.stack([flare, down], axis=1)
    hat = "Wearing_Hat" in look.on
    if behind:
        polygons = [np.concatenate([arch, outer, mirrored(outer[::-1], -1)])] if look.hair_end > 30 or hat else [arch]
    else:
        inner = np.stack([look.width - 5 + 3 * down / 60 + wave * 0.6 * np.sin(down / 4.5 + 1), down], axis=1)
        strip = np.concatenate([outer, inner[::-1], [(look.width - 6, -30), (look.width + 3, -34)]])
        polygons = [mirrored(strip, side) for side in SIDES] if look.hair_end > 30 or hat else []
        if not hat:
            polygons.append(np.concatenate([arch, _hairline(canvas, look)]))
    canvas.paste_texture(canvas.hair, polygons)
    for points in polygons[-1:] if not behind else ():
        canvas.line(points[len(arch) :] if not hat else points, mix(look.hair, (0, 0, 0), 0.5), 1.2)


def _hairline(canvas, look):
    """Points of the hairline from the right temple to the left: receding, covered by bangs, or plain."""
    width, rng = look.width, canvas.rng
    if "Bangs" in look.on:
        x = np.linspace(width - 7, 7 - width, 15)
        y = -12 - 6 * (np.arange(15) % 2) + rng.uniform(-5, 5) * x / width - 3 * (x / width) ** 2
        middle = np.stack([x, y], axis=1)
    elif "Receding_Hairline" in look.on:
        right = [(width - 3, -26), (width * 0.68, -50), (width * 0.42, -57), (width * 0.16, -46)]
        middle = np.concatenate([right, [(0, -43)], mirrored(right[::-1], -1)])
    else:
        high = rng.uniform(-40, -35)
        right = [(width - 6, -20), (width * 0.6, high + 3), (width * 0.3, high)]
        middle = np.concatenate([right, mirrored(right[::-1], -1)])
    temple = np.array([(width - 1.0, 3.0)])
    return np.concatenate([temple, middle, mirrored(temple, -1)])


def draw_hat(canvas, look):
    """A beanie, a cap with a visor or a hat with a brim, down to the forehead."""
    if "Wearing_Hat" not in look.on:
        return
    rng, width = canvas.rng, look.width + 6
    colour = pick(rng, CLEAR_COLOURS)
    dark, light = mix(colour, (0, 0, 0), 0.4), mix(colour, (255, 255, 255), 0.45)
    band = dark if sum(colour) > 300 else light
    kind = rng.integers(3)
    turn = np.linspace(np.pi, 0, 30)
    tall = (84, 80, 90)[kind]
    dome = np.stack(
        [width * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.8, -28 - (tall - 28) * np.sin(turn)], axis=1
    )
    canvas.fill(dome, colour)
    for x in np.linspace(-0.7, 0.7, 5):
        canvas.line(curve((x * width, -30), (x * width * 0.55, -tall + 8), 0), mix(colour, dark, 0.45), 1.2)
    if kind == 0:  # beanie: a broad fold
        canvas.fill([(-width - 2, -44), (width + 2, -44), (width + 2, -25), (-width - 2, -25)], band)
        canvas.fill(ellipse(0, -tall - 2, 8, 7), band)
    elif kind == 1:  # cap: a visor to one side
        side = rng.choice(SIDES)
        canvas.fill(
            mirrored([(-width, -36), (width, -36), (width + 16, -24), (width * 0.4, -20), (-width, -27)], side), band
        )
    else:  # brim all round
        canvas.fill([(-width, -44), (width, -44), (width, -32), (-width, -32)], band)
        canvas.fill(ellipse(0, -31, width + 19, 7), dark if sum(colour) > 150 else light)


def draw_glasses(canvas, look):
    """Two frames, a bridge and the temples."""
    if "Eyeglasses" not in look.on:
        return
    rng = canvas.rng
    colour = pick(rng, ((18, 18, 22), (18, 18, 22), (70, 35, 18), (120, 20, 30)))
    width, height = rng.uniform(13.2, 14.6), rng.uniform(9.5, 12.5)
    power = rng.choice((0.5, 1.0))  # 1 is round, less is squarer
    turn = np.linspace(0, 2 * np.pi, 33)
    x = 19.5 + width * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power
    y = 1.5 + height * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power
    for side in SIDES:
        canvas.line(mirrored(np.stack([x, y], axis=1), side), colour, 2.6, 0.7)
        canvas.line(mirrored([(19.5 + width, -2), (look.width + 2, -4)], side), colour, 2.6, 0.4)
        canvas.line([(side * 19.5 - 7, 4), (side * 19.5 - 2, -4)], (250, 250, 255), 1.0, 0.7)
    canvas.line(curve((-7, 0), (7, 0), -2), colour, 2.6, 0.8)


def draw_earrings(canvas, look):
    """Hoops or pendants below both ears, in front of the hair."""
    if "Wearing_Earrings" not in look.on:
        return
    rng = canvas.rng
    metal, gem = pick(rng, METALS), pick(rng, CLEAR_COLOURS[:4])
    hoops = rng.random() < 0.5
    for side in SIDES:
        x = side * (look.width + 3)
        ring = ellipse(x, 24, 6, 7.5, 20)
        if hoops:
            canvas.line(np.concatenate([ring, ring[:2]]), mix(metal, (40, 25, 10), 0.55), 3.6)
            canvas.line(np.concatenate([ring, ring[:2]]), metal, 2.2)
        else:
            canvas.line([(x, 14), (x, 22)], metal, 2)
            canvas.fill([(x, 17), (x + 6, 26), (x, 35), (x - 6, 26)], metal)
            canvas.fill([(x, 21), (x + 3.5, 26), (x, 31), (x - 3.5, 26)], gem)
