"""Draw a dog: long muzzle, ears that hang or stand, a tail carried high; standing, walking, running, sitting."""

import numpy as np

from data.synthetic.objects.sketch import darker, lighter, pick

COATS = ((196, 142, 78), (128, 84, 50), (40, 36, 38), (232, 224, 210), (142, 136, 130), (168, 96, 48), (222, 184, 128))
COLLARS = ((200, 36, 40), (40, 90, 190), (240, 200, 60), (50, 150, 80))
BODY = [(-35, -53), (-10, -56), (18, -58), (31, -48), (24, -28), (-6, -33), (-28, -35), (-38, -43)]
SITTING = [(-29, -10), (-28, -28), (-14, -48), (4, -66), (18, -62), (19, -42), (12, -22), (4, -5), (-14, -1)]
#: {gait: (fore legs far and near, hind legs far and near)} from the trunk to the paw
GAITS = {
    "standing": (
        [[(17, -38), (17, -18), (16, -3)], [(24, -38), (25, -18), (24, -3)]],
        [[(-25, -42), (-20, -24), (-27, -13), (-25, -3)], [(-31, -42), (-26, -24), (-34, -13), (-31, -3)]],
    ),
    "walking": (
        [[(18, -38), (11, -20), (4, -4)], [(24, -38), (31, -21), (34, -3)]],
        [[(-25, -42), (-14, -26), (-17, -13), (-12, -3)], [(-31, -42), (-29, -24), (-41, -15), (-43, -3)]],
    ),
    "running": (
        [[(20, -40), (36, -30), (51, -29)], [(24, -38), (37, -24), (50, -17)]],
        [[(-27, -42), (-33, -28), (-47, -26), (-56, -16)], [(-31, -42), (-38, -26), (-50, -20), (-60, -9)]],
    ),
}


def draw_dog(sketch):
    """A dog of about 100 units from the nose to the tail, seen from the side."""
    rng = sketch.rng
    coat, ears_hang = pick(rng, COATS), rng.random() < 0.65
    second = pick(rng, COATS) if rng.random() < 0.5 else lighter(coat, 0.3)
    pose = ["standing", "walking", "running", "sitting"][rng.integers(4)]
    thick = rng.uniform(0.8, 1.2)  # a slim or a sturdy one
    if pose == "sitting":
        sketch.limb([(-26, -5), (-40, -5), (-50, -14)], (7, 6, 4), darker(coat, 0.12))
        sketch.limb([(10, -46), (12, -22), (12, -3)], (11 * thick, 8, 7), darker(coat, 0.25))
        sketch.blob(SITTING, coat)
        sketch.oval(-13, -14, 16, 14, darker(coat, 0.1))
        sketch.oval(2, -3.5, 10, 4, coat)
        sketch.limb([(13, -46), (16, -22), (17, -3)], (12 * thick, 8, 7), coat)
        sketch.oval(20, -3, 6, 3.4, second)
        sketch.oval(15, -47, 6, 13, second, -0.25)
        neck, head = (9, -60), np.array([17.0, -81.0])
    else:
        fore, hind = GAITS[pose]
        sketch.limb([(-34, -51), (-47, -59), (-54, -76)], (8, 6, 3.5), darker(coat, 0.08))
        _draw_legs(sketch, fore[0], hind[0], darker(coat, 0.28), darker(second, 0.25), thick)
        sketch.blob(BODY, coat)
        _draw_markings(sketch, second)
        _draw_legs(sketch, fore[1], hind[1], coat, second, thick)
        neck, head = (20, -50), np.array([38.0, -74.0 + (4 if pose == "running" else 0)])
    sketch.limb([neck, head + (-3, 4)], (22, 16), coat)
    collar = np.array([neck, head + (-3, 4)])
    if rng.random() < 0.6:
        middle = collar[0] + (collar[1] - collar[0]) * 0.55
        sketch.limb([middle + (-8, -4), middle + (8, 5)], (3.4, 3.4), pick(rng, COLLARS))
    _draw_head(sketch, head, coat, second, ears_hang)


def _draw_legs(sketch, fore, hind, coat, paw, thick):
    """One leg in front and one behind."""
    sketch.limb(hind, (17, 11 * thick, 7 * thick, 6.5), coat)
    sketch.limb(fore, (12 * thick, 8 * thick, 6.5), coat)
    for (x, y), _ in ((hind[-1], 0), (fore[-1], 0)):
        sketch.oval(x + 2.5, y + 0.4, 5.6, 3.2, paw)


def _draw_markings(sketch, second):
    """A saddle, a light belly, spots, or nothing."""
    kind = sketch.rng.integers(4)
    if kind == 0:
        sketch.blob([(-33, -53), (-8, -55.5), (14, -57), (12, -46), (-10, -43), (-30, -45)], second)
    elif kind == 1:
        sketch.blob([(28, -44), (23, -29), (-4, -34), (-26, -36), (-4, -38)], second)
    elif kind == 2:
        for x in (-28, -14, 0, 14):
            y = sketch.rng.uniform(-50, -40)
            sketch.oval(x + sketch.rng.uniform(-4, 4), y, *sketch.rng.uniform(2.5, 5.5, 2), second)


def _draw_head(sketch, head, coat, second, ears_hang):
    """Skull, long muzzle with a black nose, one ear or two, at times the tongue."""
    x, y = head
    if not ears_hang:
        sketch.fill([(x - 6, y - 6), (x - 5, y - 23), (x + 3, y - 8)], darker(coat, 0.3))
    if sketch.rng.random() < 0.45:
        sketch.blob([(x + 10, y + 6), (x + 16, y + 6), (x + 16, y + 16), (x + 12, y + 17)], (226, 92, 110))
    sketch.oval(x, y, 12, 11, coat)
    sketch.limb([(x + 5, y + 2), (x + 21, y + 4.5)], (14, 9.5), second)
    sketch.limb([(x + 4, y - 2), (x + 20, y + 1.5)], (10, 5), coat)
    sketch.line([(x + 8, y + 8.4), (x + 22, y + 7.6)], (36, 24, 24), 1.4)
    sketch.oval(x + 24, y + 2, 3.6, 3.1, (22, 20, 22))
    sketch.oval(x + 5, y - 3.5, 2.3, 2.4, (20, 16, 16))
    sketch.oval(x + 5.6, y - 4.2, 0.8, 0.8, (250, 250, 250))
    if ears_hang:
        sketch.blob([(x - 7, y - 9), (x, y - 8), (x - 1, y + 7), (x - 6, y + 14), (x - 12, y + 5)], darker(coat, 0.38))
    else:
        sketch.fill([(x - 11, y - 4), (x - 10, y - 23), (x - 1, y - 9)], darker(coat, 0.15))
        sketch.fill([(x - 9, y - 7), (x - 9, y - 19), (x - 4, y - 9)], darker(coat, 0.5))
