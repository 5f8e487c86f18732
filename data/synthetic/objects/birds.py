"""Draw a bird: on the wing, or on its two legs; beak, wings and tail in the colours of a dozen kinds."""

import numpy as np

from data.synthetic.objects.sketch import darker, lighter

#: back and wings, breast, head, beak
PLUMAGES = (
    ((112, 92, 74), (216, 96, 44), (112, 92, 74), (70, 60, 50)),  # robin
    ((168, 176, 184), (246, 246, 244), (246, 246, 244), (236, 176, 40)),  # gull
    ((34, 34, 40), (40, 40, 48), (30, 30, 36), (52, 50, 52)),  # crow
    ((70, 116, 180), (240, 214, 84), (66, 112, 184), (50, 50, 56)),  # tit
    ((186, 34, 40), (206, 52, 52), (190, 30, 40), (232, 130, 40)),  # cardinal
    ((44, 150, 76), (232, 204, 52), (206, 50, 48), (60, 56, 56)),  # parrot
    ((128, 100, 76), (216, 204, 186), (116, 84, 62), (88, 76, 60)),  # sparrow
    ((96, 112, 136), (150, 152, 160), (70, 90, 110), (60, 56, 60)),  # pigeon
)


def draw_bird(sketch):
    """A bird of about 90 units, seen from the side. Returns whether it flies."""
    rng = sketch.rng
    colours = [
        tuple(int(value) for value in np.clip(np.add(colour, rng.uniform(-10, 10, 3)), 0, 255))
        for colour in PLUMAGES[rng.integers(len(PLUMAGES))]
    ]
    flies = rng.random() < 0.6
    (_draw_flying if flies else _draw_standing)(sketch, *colours)
    return flies


def _draw_flying(sketch, back, breast, head, beak):
    """Both wings spread: high, level or low."""
    beat = sketch.rng.choice((-1, 1), p=(0.35, 0.65)) * sketch.rng.uniform(0.55, 1.0)  # above 0: wings up
    tip, elbow, fold = -22 - 46 * beat, -23 - 26 * beat, 10 * np.sign(beat)
    sketch.blob(
        [(14, -25), (24, elbow), (24, tip + 4), (10, tip + fold), (0, elbow + 4), (-6, -22)], darker(back, 0.32)
    )
    sketch.fill([(-22, -24), (-48, -30), (-46, -22), (-49, -14), (-24, -17)], darker(back, 0.15))
    sketch.blob([(-28, -21), (-6, -30), (18, -30), (29, -24), (14, -13), (-10, -13)], back)
    sketch.blob([(-20, -18), (0, -20), (24, -22), (14, -13), (-8, -12.5)], breast)
    sketch.oval(28, -28, 9.5, 8.5, head)
    sketch.fill([(35, -31), (47, -26.5), (35, -24.5)], beak)
    sketch.oval(31, -30, 1.7, 1.9, (250, 250, 250))
    sketch.oval(31.4, -30, 1.2, 1.4, (12, 12, 14))
    wing = [(15, -26), (8, elbow - 2), (-12, tip - 2), (-32, tip + fold / 2), (-27, elbow + fold), (-16, -21)]
    sketch.blob(wing, lighter(back, 0.12))
    for share in (0.2, 0.5, 0.8):
        start, end = (8 - 22 * share, -23), (-8 - 22 * share, tip + fold * (0.4 + share * 0.4))
        sketch.line([start, end], darker(back, 0.35), 1.5)


def _draw_standing(sketch, back, breast, head, beak):
    """On two thin legs, the wing folded; it looks ahead or pecks."""
    pecks = sketch.rng.random() < 0.2
    leg = (206, 132, 60) if sum(beak) > 300 else (84, 70, 60)
    for x in (-3, 6):
        sketch.line([(x, -24), (x + 1, -1)], leg, 2.6)
        sketch.line([(x - 5, -1), (x + 1, -1), (x + 9, -1)], leg, 2.4)
    sketch.fill([(-18, -34), (-50, -30), (-52, -22), (-20, -22)], darker(back, 0.2))
    body = [(-28, -31), (-14, -45), (8, -54), (24, -46), (22, -30), (6, -19), (-14, -21)]
    sketch.blob(body, back)
    sketch.blob([(24, -48), (25, -34), (10, -19), (-8, -20), (8, -30), (16, -42)], breast)
    x, y = (33.0, -40.0) if pecks else (18.0, -60.0)
    sketch.limb([(12, -46), (x, y)], (24, 18), head)
    sketch.oval(x, y, 11.5, 11, head)
    drop = 9 if pecks else 0
    sketch.fill([(x + 9, y - 4), (x + 25 - drop / 2, y + 1.5 + drop), (x + 8, y + 5)], beak)
    sketch.oval(x + 4, y - 2.5, 2.5, 2.6, (250, 250, 250))
    sketch.oval(x + 4.6, y - 2.5, 1.7, 1.9, (12, 12, 14))
    sketch.blob([(12, -46), (-6, -46), (-26, -34), (-38, -26), (-12, -25), (8, -32)], darker(back, 0.22))
    for rise in (0, 5):
        sketch.line([(4, -36 + rise), (-28, -28 + rise * 0.6)], darker(back, 0.45), 1.5)
