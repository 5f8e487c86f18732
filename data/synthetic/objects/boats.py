"""Draw a boat: with sails, with a cabin, or for rowing."""

from data.synthetic.objects.sketch import darker, pick
from data.synthetic.shapes import mix

HULLS = ((236, 236, 232), (176, 40, 40), (34, 70, 128), (132, 88, 50), (46, 120, 96), (50, 50, 56), (230, 176, 50))
SAILS = ((246, 244, 236), (236, 214, 170), (206, 60, 50), (60, 110, 180), (240, 190, 60))
WOOD = (146, 104, 62)


def draw_boat(sketch):
    """A boat of about 100 units whose water line is at y = 0, bow to the right."""
    hull = pick(sketch.rng, HULLS)
    (_draw_sailing, _draw_motor, _draw_rowing)[sketch.rng.choice(3, p=(0.5, 0.3, 0.2))](sketch, hull)


def _draw_hull(sketch, hull, left, right, height, rise):
    """A hull with a raised bow, a band along its top, a darker one at the water."""
    top = [(left, -height), (0, -height + 1.5), (right, -height - rise)]
    sketch.fill([*top, (right - 14, 0), (left + 7, 0)], hull)
    sketch.fill([(left + 4, -4), (right - 11, -4), (right - 14, 0), (left + 7, 0)], darker(hull, 0.45))
    sketch.line(top, mix(hull, WOOD, 0.7) if sum(hull) > 500 else (236, 232, 220), 2.6)


def _draw_sailing(sketch, hull):
    """Mast, main sail and foresail, at times a stripe in the sail and a pennant."""
    rng, sail = sketch.rng, pick(sketch.rng, SAILS, 8)
    height, belly = rng.uniform(80, 98), rng.uniform(2, 8)
    sketch.line([(4, -12), (4, -height)], (110, 84, 60), 2.6)
    sketch.fill([(1, -height + 3), (-10 - belly, -height * 0.55), (-36, -20), (1, -18)], sail)
    sketch.fill([(7, -height + 8), (20 + belly, -height * 0.45), (42, -19), (7, -17)], darker(sail, 0.12))
    if rng.random() < 0.5:
        stripe = pick(rng, SAILS)
        sketch.fill([(1, -46), (-19 - belly / 2, -44), (-25 - belly / 3, -35), (1, -37)], stripe)
    for y in (-height * 0.7, -height * 0.45):
        sketch.line([(1, y), (-10 - (height + y) * 0.3, y + 2)], darker(sail, 0.25), 0.9)
    if rng.random() < 0.6:
        sketch.fill([(4, -height), (16, -height + 3), (4, -height + 6)], (206, 40, 44))
    sketch.line([(3, -18), (-38, -19)], (110, 84, 60), 2.2)
    _draw_hull(sketch, hull, -44, 46, 14, rng.uniform(1, 5))


def _draw_motor(sketch, hull):
    """A cabin with windows on a high hull; a funnel, a mast with a lamp, a rail."""
    rng, cabin = sketch.rng, pick(sketch.rng, ((240, 238, 232), (222, 206, 176), (196, 208, 216)))
    place = rng.uniform(-16, 2)
    if rng.random() < 0.5:
        sketch.fill([(place - 12, -36), (place - 4, -36), (place - 5, -54), (place - 11, -54)], pick(rng, HULLS))
        sketch.fill([(place - 11.3, -54), (place - 4.8, -54), (place - 5, -49), (place - 11, -49)], (30, 30, 34))
    sketch.line([(place + 10, -38), (place + 10, -58)], (90, 84, 80), 1.8)
    sketch.fill([(place - 18, -16), (place - 17, -38), (place + 14, -38), (place + 20, -16)], cabin)
    sketch.fill([(place - 20, -38), (place - 19, -42), (place + 17, -42), (place + 16, -38)], darker(cabin, 0.3))
    for x in (-13, -3, 7):
        sketch.fill([(place + x, -34), (place + x + 7, -34), (place + x + 7, -26), (place + x, -26)], (64, 96, 124))
    for x in (24, 32, 40):
        sketch.line([(x, -20), (x, -29)], (210, 210, 210), 1.2)
    sketch.line([(20, -28), (44, -31)], (210, 210, 210), 1.4)
    _draw_hull(sketch, hull, -46, 50, 18, rng.uniform(4, 8))
    for x in (-30, -18, -6):
        sketch.oval(x, -11, 2.2, 2.2, (30, 40, 54))


def _draw_rowing(sketch, hull):
    """Low and open, with benches inside and two oars."""
    sketch.fill([(-43, -16), (43, -18), (36, -9), (-38, -8)], darker(WOOD, 0.35))
    for x in (-20, 4, 24):
        sketch.fill([(x - 4, -17), (x + 4, -17), (x + 4, -12), (x - 4, -12)], WOOD)
    _draw_hull(sketch, hull, -45, 47, 14, sketch.rng.uniform(3, 6))
    for side, x in ((-1, -4), (1, 10)):
        end = (x + side * 34, 1)
        sketch.line([(x - side * 12, -26), end], (186, 142, 88), 2.2)
        sketch.limb([(x + side * 27, -4), end], (3, 5.5), (186, 142, 88))
