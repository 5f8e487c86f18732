"""Draw a person: standing, waving, walking, running or sitting; clothes, hair and skin of every colour."""

import numpy as np

from data.synthetic.objects.sketch import darker, pick
from data.synthetic.shapes import mix

SKINS = ((112, 72, 50), (160, 110, 80), (205, 155, 120), (236, 196, 166))
HAIRS = ((24, 20, 22), (84, 50, 28), (206, 170, 96), (150, 66, 30), (176, 174, 172))
CLOTHES = (
    (190, 40, 48), (36, 78, 160), (34, 128, 84), (232, 184, 48), (238, 238, 234), (46, 46, 56), (140, 62, 142),
    (232, 120, 44), (104, 150, 196), (120, 92, 66),
)  # fmt: skip

#: {pose: (height of the hip, knees and feet of the far and the near leg, elbows and hands of both arms)}; arms are
#: relative to the shoulder
POSES = {
    "standing": (48, [((-5, -24), (-6, -2)), ((5, -24), (6, -2))], [((-13, 15), (-13, 30)), ((13, 15), (13, 30))]),
    "waving": (48, [((-6, -24), (-8, -2)), ((6, -24), (8, -2))], [((-14, 14), (-10, 28)), ((15, -9), (17, -26))]),
    "cheering": (48, [((-7, -24), (-11, -2)), ((7, -24), (11, -2))], [((-15, -9), (-17, -26)), ((15, -9), (17, -26))]),
    "walking": (47, [((-4, -25), (-15, -3)), ((8, -25), (13, -2))], [((10, 14), (17, 25)), ((-9, 15), (-11, 30))]),
    "running": (48, [((-7, -28), (-25, -19)), ((15, -33), (12, -8))], [((11, 12), (21, 4)), ((-13, 10), (-15, 24))]),
    "sitting": (13, [((20, -27), (31, -3)), ((23, -24), (36, -2))], [((8, 15), (20, 18)), ((4, 17), (17, 22))]),
}


def draw_person(sketch):
    """A person of about 100 units, seen from the front, from the side where walking, running or sitting."""
    rng = sketch.rng
    pose = list(POSES)[rng.integers(len(POSES))]
    hip_height, legs, arms = POSES[pose]
    sideways = pose in ("walking", "running", "sitting")
    skin, hair, top, bottom = pick(rng, SKINS), pick(rng, HAIRS), pick(rng, CLOTHES), pick(rng, CLOTHES)
    shoe, stride = pick(rng, ((40, 36, 36), (230, 230, 230), (130, 40, 36))), rng.uniform(0.8, 1.15)
    build, sleeves, dress = rng.uniform(0.88, 1.2), rng.random() < 0.5, rng.random() < 0.3 and pose != "sitting"
    hip = np.array([0.0, -hip_height])
    shoulder = hip + (7 if pose == "running" else 2 if sideways else 0, -31)
    reach = 0.5 if sideways else 9 * build
    _draw_arm(sketch, shoulder + (-reach, 3), shoulder + arms[0], skin, darker(top, 0.2), sleeves)
    for side, (knee, foot), shade in zip((-1, 1), legs, (0.22, 0.0), strict=True):
        cloth = darker(skin if dress else bottom, shade)
        start, straight = hip + (side * (1.5 if sideways else 4.5), 0), (stride, 1) if sideways else (1, 1)
        path = [start, np.multiply(knee, straight), np.multiply(foot, straight)]
        sketch.limb(path, (12 * build, 9.5 * build, 6.5), cloth)
        toe = 4 if sideways else 1.5 * side
        sketch.oval(path[2][0] + toe, path[2][1] - 0.5, 5.6 if sideways else 4.4, 3, darker(shoe, shade))
    _draw_torso(sketch, hip, shoulder, build * (0.8 if sideways else 1), top, bottom, dress)
    _draw_arm(sketch, shoulder + (reach, 3), shoulder + arms[1], skin, top, sleeves)
    _draw_head(sketch, shoulder + (2 if sideways else 0, -16), skin, hair, sideways)


def _draw_arm(sketch, start, joints, skin, cloth, sleeves):
    """An arm from the shoulder over the elbow to the hand; half of the sleeves are long."""
    elbow, hand = joints
    sketch.limb([start, elbow, hand], (7.5, 6, 4.5), cloth if sleeves else skin)
    sketch.limb([start, start + (elbow - start) * 0.6], (8.5, 7.5), cloth)
    sketch.oval(*hand, 3.2, 3.2, skin)


def _draw_torso(sketch, hip, shoulder, build, top, bottom, dress):
    """Shirt or coat from the shoulders to the hip, or a dress down to the knees; a belt or a stripe at times."""
    (x, y), (a, b) = hip, shoulder
    half, waist = 12.5 * build, 8.5 * build
    outline = [(a - half + 3, b), (a + half - 3, b), (a + half, b + 6), (x + waist, y - 12), (x + waist + 1, y + 4)]
    sketch.blob([*outline, (x - waist - 1, y + 4), (x - waist, y - 12), (a - half, b + 6)], top)
    if dress:
        sketch.fill([(x - waist, y - 10), (x + waist, y - 10), (x + 17 * build, y + 22), (x - 17 * build, y + 22)], top)
    elif sketch.rng.random() < 0.4:
        stripe = mix(top, bottom, 0.7)
        sketch.line([(x - waist, y - 14), (x + waist, y - 14)], stripe, 4)
    if sketch.rng.random() < 0.25:  # a bag across
        sketch.line([(a - half + 5, b + 1), (x + waist, y - 2)], darker(bottom, 0.4), 2.4)
        sketch.fill([(x + waist - 4, y - 4), (x + waist + 7, y - 4), (x + waist + 6, y + 9), (x + waist - 3, y + 9)],
                    darker(bottom, 0.3))  # fmt: skip


def _draw_head(sketch, centre, skin, hair, sideways):
    """Neck, face and hair; a third of the heads wear a hat."""
    rng, (x, y) = sketch.rng, centre
    long_hair, hat = rng.random() < 0.45, rng.random() < 0.3
    sketch.limb([(x - (1 if sideways else 0), y + 6), (x - (2 if sideways else 0), y + 15)], (7, 8), darker(skin, 0.14))
    if long_hair:
        back = -4 if sideways else 0
        ends = [(x - 10 + back, y + 14), (x - 11 + back, y), (x - 6, y - 11), (x + 6, y - 11)]
        sketch.blob([*ends, (x + (4 if sideways else 11), y), (x + (1 if sideways else 10), y + 14)], hair)
    sketch.oval(x, y, 8.6, 10.4, skin)
    if sideways:
        sketch.fill([(x + 7, y - 2), (x + 11.5, y + 3), (x + 7, y + 5)], skin)
    crown = [(x - 9.4, y + 1), (x - 9, y - 8), (x, y - 12.5), (x + 9, y - 8), (x + (7 if sideways else 9.4), y - 3)]
    sketch.blob([*crown, (x + 2, y - 6), (x - 5, y - 4 if not sideways else y + 4)], hair)
    for eye in (3.8,) if sideways else (-3.6, 3.6):
        sketch.oval(x + eye, y - 0.5, 1.35, 1.6, (28, 24, 30))
    middle = 5 if sideways else 0
    sketch.line([(x + middle - 3, y + 5), (x + middle, y + 6), (x + middle + 3, y + 5)], (150, 52, 52), 1.5)
    if hat:
        colour = pick(rng, CLOTHES)
        sketch.blob([(x - 9, y - 5), (x - 7, y - 13), (x, y - 16), (x + 7, y - 13), (x + 9, y - 5)], colour)
        brim = (x + 3, 14) if sideways else (x, 13)
        sketch.oval(brim[0], y - 5, brim[1], 2.4, darker(colour, 0.25))
