"""Draw a car from the side or the front, and a bicycle."""

from math import cos, pi, sin

from data.synthetic.objects.sketch import darker, lighter, pick

PAINTS = (
    (188, 34, 40), (34, 76, 156), (236, 236, 236), (44, 46, 52), (150, 156, 162), (38, 110, 74), (236, 186, 40),
    (222, 112, 36), (120, 170, 196), (112, 58, 44),
)  # fmt: skip
GLASS, TYRE, RIM = (150, 186, 206), (28, 28, 32), (176, 178, 184)
#: {style: (outline, windows)}; the car drives to the right
CARS = {
    "sedan": (
        [(-49, -9), (-50, -21), (-45, -26), (-31, -28), (-17, -41)]
        + [(11, -41), (27, -28), (45, -24), (50, -17), (50, -9)],
        [[(-26, -28), (-15, -38), (-3, -38), (-3, -28)], [(0, -28), (0, -38), (10, -38), (22, -28)]],
    ),
    "hatchback": (
        [(-42, -9), (-45, -25), (-38, -42), (-30, -45), (8, -45), (24, -30), (40, -25), (44, -18), (44, -9)],
        [[(-37, -30), (-32, -41), (-14, -41), (-14, -30)], [(-11, -30), (-11, -41), (6, -41), (18, -30)]],
    ),
    "van": (
        [(-49, -9), (-50, -48), (-46, -52), (24, -52), (40, -33), (49, -29), (50, -9)],
        [[(10, -32), (10, -48), (22, -48), (35, -32)], [(-14, -34), (-14, -48), (6, -48), (6, -34)]],
    ),
    "pickup": (
        [(-50, -9), (-51, -27), (-12, -27), (-10, -44), (12, -44), (26, -29), (47, -26), (50, -18), (50, -9)],
        [[(-7, -29), (-6, -41), (10, -41), (20, -29)]],
    ),
}  # fmt: skip


def draw_car(sketch):
    """A car of about 100 units from the side, or of 64 from the front or behind."""
    paint = pick(sketch.rng, PAINTS)
    if sketch.rng.random() < 0.25:
        _draw_front(sketch, paint, rear=sketch.rng.random() < 0.4)
    else:
        _draw_side(sketch, paint, list(CARS)[sketch.rng.integers(len(CARS))])


def _draw_side(sketch, paint, style):
    """Body, windows, doors, lights, wheels."""
    outline, windows = CARS[style]
    sketch.fill([(-47, -14), (47, -14), (46, -5), (-46, -5)], (36, 36, 42))
    sketch.fill(outline, paint)
    sketch.fill([(outline[0][0], -15), (outline[-1][0], -15), (outline[-1][0], -9), (outline[0][0], -9)],
                darker(paint, 0.35))  # fmt: skip
    glass = pick(sketch.rng, (GLASS, (60, 72, 84), (120, 150, 170)))
    for window in windows:
        sketch.fill(window, glass)
        (left, low), (_, high) = window[0], window[1]
        sketch.fill([(left + 7, low), (left + 10, high), (left + 13, high), (left + 10, low)], lighter(glass, 0.35))
    for x in {"sedan": (-29, -1.5, 22), "hatchback": (-12.5, 17), "van": (8, 34), "pickup": (-10, 20)}[style]:
        sketch.line([(x, -29), (x, -10)], darker(paint, 0.5), 1.2)
        sketch.line([(x + 3, -24), (x + 8, -24)], darker(paint, 0.6), 1.8)
    right, left = outline[-2][0], outline[0][0]
    sketch.oval(right - 2.5, -20, 4, 3.2, (255, 240, 170))
    sketch.fill([(left - 0.5, -24), (left + 4, -24), (left + 4, -17), (left - 0.5, -17)], (206, 30, 34))
    sketch.fill([(right - 6, -13), (right + 2, -13), (right + 2, -8), (right - 6, -8)], (120, 122, 128))
    for x in (left + 20, right - 19):
        sketch.oval(x, -10.5, 12, 12, darker(paint, 0.6))
        sketch.oval(x, -9.5, 9.5, 9.5, TYRE)
        sketch.oval(x, -9.5, 5.6, 5.6, RIM)
        sketch.oval(x, -9.5, 2, 2, (90, 92, 98))
    if style == "sedan" and sketch.rng.random() < 0.2:  # a taxi's sign
        sketch.fill([(-8, -41), (-6, -47), (6, -47), (8, -41)], (250, 224, 90))


def _draw_front(sketch, paint, rear):
    """Windscreen, bonnet, lights, plate; the lights of the rear are red."""
    for side in (-1, 1):
        sketch.fill([(side * 30, -14), (side * 18, -14), (side * 18, 0), (side * 30, 0)], TYRE)
        sketch.oval(side * 35, -32, 4.5, 3, darker(paint, 0.3))
    sketch.fill([(-26, -30), (-19, -50), (19, -50), (26, -30)], paint)
    sketch.fill([(-22, -31), (-16.5, -46), (16.5, -46), (22, -31)], pick(sketch.rng, (GLASS, (60, 72, 84))))
    sketch.fill([(-12, -31), (-7, -46), (-3, -46), (-8, -31)], (206, 222, 230))
    sketch.blob([(-33, -22), (-27, -32), (0, -34), (27, -32), (33, -22), (32, -7), (0, -5), (-32, -7)], paint)
    sketch.fill([(-31, -12), (31, -12), (30, -5), (-30, -5)], darker(paint, 0.45))
    for side in (-1, 1):
        if rear:
            sketch.fill([(side * 31, -26), (side * 22, -26), (side * 22, -18), (side * 31, -18)], (214, 30, 34))
        else:
            sketch.oval(side * 25, -21, 6.5, 4.6, (252, 246, 214))
            sketch.oval(side * 25, -21, 3, 3, (255, 255, 250))
    if not rear:
        sketch.fill([(-15, -24), (15, -24), (13, -15), (-13, -15)], (38, 38, 44))
        for y in (-22, -19.5, -17):
            sketch.line([(-14, y), (14, y)], (150, 152, 158), 0.9)
    sketch.fill([(-8, -13), (8, -13), (8, -8), (-8, -8)], (240, 240, 230))


def draw_bicycle(sketch):
    """A bicycle of about 100 units from the side; it may lean on its stand, with basket, rack or mudguards."""
    rng, paint = sketch.rng, pick(sketch.rng, PAINTS)
    radius, low_bar = rng.uniform(20, 23), rng.random() < 0.4
    rear, front, crank = (-30, -radius), (31, -radius), (-4, -radius + 1)
    seat, head = (-13, -50), (20, -52)
    for wheel in (rear, front):
        sketch.ring(*wheel, radius - 3, (176, 178, 184), 1.4)
        for turn in range(0, 24, 3):
            end = _on_circle(wheel, radius - 3, turn / 24)
            sketch.line([wheel, end], (186, 188, 194), 0.8)
        sketch.ring(*wheel, radius - 1.5, (30, 30, 34), 3.6)
        sketch.oval(*wheel, 2.6, 2.6, (80, 82, 88))
    if rng.random() < 0.5:
        for wheel in (rear, front):
            arc = [_on_circle(wheel, radius + 2, (12.5 + step) / 24) for step in range(10)]
            sketch.line(arc, darker(paint, 0.3), 2.4)
    if rng.random() < 0.35:
        sketch.line([(-44, -46), (-14, -46)], (60, 60, 66), 2.6)
        sketch.line([(-38, -46), rear], (60, 60, 66), 1.8)
    tubes = [(crank, seat), (crank, rear), (rear, (-11, -45)), (head, front), ((21, -46), crank)]
    tubes.append((crank if low_bar else (-11, -46), (20.5, -40) if low_bar else (20.5, -48)))
    for start, end in tubes:
        sketch.limb([start, end], (3.6, 3.6), paint)
    if low_bar:
        sketch.limb([(-9, -38), (2, -30), (20.5, -40)], (3.4, 3.4, 3.4), paint)
    sketch.limb([seat, (-14, -55)], (2.6, 2.6), (110, 112, 118))
    sketch.limb([(-22, -56), (-13, -56.5), (-4, -55)], (6, 5, 3), (42, 32, 30))
    sketch.limb([head, (19, -59)], (2.8, 2.8), (110, 112, 118))
    if rng.random() < 0.5:
        sketch.limb([(19, -59), (29, -60), (32, -54), (27, -50)], (2.8, 2.8, 2.8, 2.8), (40, 40, 44))
    else:
        sketch.limb([(24, -60), (16, -62), (8, -60)], (2.8, 2.8, 3.6), (40, 40, 44))
    if rng.random() < 0.35:
        sketch.fill([(24, -60), (44, -60), (41, -45), (26, -45)], (176, 130, 76))
        for x in (29, 34, 39):
            sketch.line([(x, -60), (x, -45)], (120, 84, 46), 1.0)
    sketch.ring(*crank, 5.5, (70, 72, 78), 2.2)
    sketch.limb([(crank[0] - 5, crank[1] - 8), (crank[0] + 5, crank[1] + 8)], (2.4, 2.4), (54, 54, 60))
    for side in (-1, 1):
        sketch.limb([(crank[0] + side * 5 - 3, crank[1] + side * 8), (crank[0] + side * 5 + 3, crank[1] + side * 8)],
                    (2.6, 2.6), (30, 30, 34))  # fmt: skip


def _on_circle(centre, radius, turn):
    """The point of a circle at `turn` turns from its right, clockwise."""
    return centre[0] + radius * cos(2 * pi * turn), centre[1] + radius * sin(2 * pi * turn)
