"""Draw a cat: a round face with whiskers and two pointed ears, a long thin tail; sitting, walking, lying, stalking."""

import numpy as np

from data.synthetic.objects.sketch import darker, lighter, pick
from data.synthetic.shapes import mix

COATS = ((206, 128, 58), (126, 124, 126), (38, 36, 40), (236, 230, 220), (146, 112, 80), (92, 84, 80), (226, 190, 140))
EYES = ((120, 190, 70), (232, 196, 60), (90, 170, 210))
PINK = (226, 140, 140)
SEATED = [(-17, -3), (-20, -18), (-14, -38), (-8, -54), (8, -54), (14, -38), (20, -18), (17, -3), (0, 0)]
WALKING = [(-34, -40), (-8, -42), (20, -43), (30, -36), (24, -24), (-4, -26), (-30, -25), (-38, -33)]
LYING = [(-40, -8), (-38, -22), (-18, -31), (12, -28), (30, -22), (36, -8), (24, 0), (-30, 0)]


def draw_cat(sketch):
    """A cat of about 90 units; its face turns to who looks."""
    rng = sketch.rng
    coat = pick(rng, COATS)
    white = lighter(coat, 0.75) if rng.random() < 0.45 else coat  # breast and paws
    stripes = darker(coat, 0.42) if rng.random() < 0.5 else None
    pose = ("sitting", "walking", "lying")[rng.choice(3, p=(0.42, 0.38, 0.2))]
    head = {"sitting": _draw_seated, "walking": _draw_walking, "lying": _draw_lying}[pose](sketch, coat, white, stripes)
    _draw_head(sketch, head, coat, white, stripes)


def _draw_seated(sketch, coat, white, stripes):
    """Front view: pear-shaped, fore legs together, the tail beside. Returns the place of the head."""
    if sketch.rng.random() < 0.5:
        sketch.limb([(16, -5), (30, -7), (36, -20), (30, -36)], (7, 6.5, 6, 5), darker(coat, 0.12))
    else:
        sketch.limb([(16, -4), (28, -3), (38, -9), (42, -20)], (7, 6.5, 6, 4.5), darker(coat, 0.12))
    sketch.blob(SEATED, coat)
    for side in (-1, 1):
        sketch.oval(side * 13, -11, 9, 11, darker(coat, 0.12))
        sketch.oval(side * 15, -2.8, 7, 3, white)
    _draw_stripes(sketch, stripes, [[(s * 15, y), (s * 8, y + 2)] for s in (-1, 1) for y in (-38, -31, -24)])
    sketch.blob([(-6, -52), (6, -52), (8, -38), (4, -24), (-4, -24), (-8, -38)], white)
    for side in (-1, 1):
        sketch.limb([(side * 5, -34), (side * 4.5, -4)], (8, 6.5), mix(coat, white, 0.4))
        sketch.oval(side * 5, -2.8, 5, 3.2, white)
    sketch.line([(0, -30), (0, -3)], darker(coat, 0.4), 1.2)
    return np.array([sketch.rng.uniform(-3, 3), -65.0])


def _draw_walking(sketch, coat, white, stripes):
    """Side view: slender, the tail up in a bow. Returns the place of the head."""
    lift = sketch.rng.uniform(0.2, 1.1)
    tail = [(-34, -37), (-48, -40 - 10 * lift), (-52, -52 - 14 * lift), (-45, -62 - 16 * lift)]
    sketch.limb(tail, (6.5, 6, 5.5, 4.5), coat)
    steps = sketch.rng.uniform(-7, 7, 4)
    for x, step in ((-25, steps[0]), (17, steps[1])):
        sketch.limb([(x, -30), (x + step * 0.4, -16), (x + step, -3)], (11, 7, 5.5), darker(coat, 0.28))
    sketch.blob(WALKING, coat)
    _draw_stripes(sketch, stripes, [[(x, -42), (x + 2, -30)] for x in (-26, -17, -8, 1, 10)])
    sketch.oval(-28, -30, 10, 11, coat)
    for x, step in ((-30, steps[2]), (24, steps[3])):
        sketch.limb([(x, -29), (x + step * 0.4, -16), (x + step, -3)], (12, 7, 5.5), coat)
        sketch.oval(x + step + 1.5, -2.6, 4.8, 2.8, white)
    return np.array([35.0, -51.0])


def _draw_lying(sketch, coat, white, stripes):
    """Side view, on the ground, paws in front. Returns the place of the head."""
    sketch.limb([(-38, -8), (-48, -4), (-40, -2), (-20, -3)], (7, 7, 6.5, 5), darker(coat, 0.18))
    sketch.blob(LYING, coat)
    _draw_stripes(sketch, stripes, [[(x, -30 + abs(x + 8) * 0.15), (x + 3, -16)] for x in (-28, -19, -10, -1, 8)])
    sketch.oval(-24, -11, 14, 10.5, darker(coat, 0.1))
    for y in (-5, -3):
        sketch.limb([(20, y - 1), (43, y)], (8, 6), mix(coat, white, 0.6))
    return np.array([28.0, -34.0])


def _draw_stripes(sketch, colour, paths):
    """The stripes of a tabby, where there is a colour for them."""
    for path in paths if colour else ():
        sketch.limb(path, (3.8, 1.6), colour)


def _draw_head(sketch, head, coat, white, stripes):
    """The face: ears, eyes with slits, pink nose, whiskers."""
    (x, y), iris = head, pick(sketch.rng, EYES)
    for side in (-1, 1):
        sketch.fill([(x + side * 15, y - 3), (x + side * 13.5, y - 22), (x + side * 2, y - 11)], coat)
        sketch.fill([(x + side * 12.5, y - 7), (x + side * 12, y - 17), (x + side * 5.5, y - 10)], PINK)
    sketch.oval(x, y, 16.5, 13.5, coat)
    _draw_stripes(sketch, stripes, [[(x + s, y - 13), (x + s * 0.8, y - 7)] for s in (-5, 0, 5)])
    _draw_stripes(sketch, stripes, [[(x + s * 16, y + 2), (x + s * 10, y + 3)] for s in (-1, 1)])
    for side in (-1, 1):
        sketch.oval(x + side * 3.8, y + 6, 5.4, 4.6, mix(coat, white, 0.8) if white != coat else lighter(coat, 0.22))
        sketch.oval(x + side * 6.8, y - 2, 4.1, 3.8, iris)
        sketch.oval(x + side * 6.8, y - 2, 1.3, 3.5, (14, 14, 16))
    sketch.fill([(x - 2.6, y + 2.2), (x + 2.6, y + 2.2), (x, y + 5.2)], PINK)
    sketch.line([(x - 4, y + 8), (x, y + 6), (x + 4, y + 8)], darker(coat, 0.6), 1.1)
    whisker = (245, 245, 240) if sum(coat) < 480 else (90, 84, 80)
    for side in (-1, 1):
        for rise in (-2.5, 1.5):
            sketch.line([(x + side * 7, y + 5), (x + side * 23, y + 5 + rise)], whisker, 0.7)
