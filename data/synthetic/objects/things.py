"""Draw what stands still: a ball, a tree, a house."""

import numpy as np

from data.synthetic.objects.sketch import darker, lighter, pick
from data.synthetic.shapes import ellipse

BRIGHT = ((214, 40, 44), (36, 92, 190), (248, 204, 48), (250, 250, 246), (46, 160, 84), (240, 130, 40), (170, 70, 170))
LEAVES = ((58, 122, 52), (86, 146, 60), (44, 96, 60), (206, 122, 40), (186, 66, 40), (222, 178, 60), (110, 134, 62))
BARK = ((98, 72, 50), (120, 96, 74), (80, 62, 54))
WALLS = (
    (232, 220, 194), (206, 120, 92), (240, 240, 236), (226, 196, 110), (150, 170, 180), (196, 150, 130), (134, 92, 60),
)  # fmt: skip
ROOFS = ((150, 62, 48), (84, 66, 62), (96, 104, 116), (180, 96, 60), (60, 74, 86))


def draw_ball(sketch):
    """A ball 100 units across: a football, a beach ball, a basketball, a tennis ball or one with a band."""
    rng = sketch.rng
    (_draw_football, _draw_beach_ball, _draw_basketball, _draw_tennis_ball, _draw_banded_ball)[rng.integers(5)](sketch)
    sketch.oval(-16, -70, 12, 8, (255, 255, 255), -0.6)  # the window's reflection


def _draw_football(sketch):
    """White, with a black patch in the middle and five at the rim, seams between them."""
    turn, dark = sketch.rng.uniform(0, 2 * np.pi), pick(sketch.rng, ((24, 24, 28), (30, 60, 140), (170, 30, 36)))
    sketch.oval(0, -50, 50, 50, (244, 244, 240))
    angles = turn + np.arange(5) * 2 * np.pi / 5
    for angle in angles:
        way = np.array([np.cos(angle), np.sin(angle)])
        side = np.array([-way[1], way[0]])
        rim = [way * 33, way * 40 + side * 15, way * 49 + side * 10, way * 49 - side * 10, way * 40 - side * 15]
        sketch.fill(np.array(rim) + (0, -50), dark)
        sketch.line(np.array([way * 16, way * 34]) + (0, -50), (110, 110, 112), 3)
    sketch.fill(np.stack([np.cos(angles), np.sin(angles)], axis=1) * 18 + (0, -50), dark)


def _draw_beach_ball(sketch):
    """Six segments of two or more colours that meet in a cap."""
    turn, colours = sketch.rng.uniform(0, 2 * np.pi), sketch.rng.permutation(len(BRIGHT))[:3]
    cap = np.array([sketch.rng.uniform(-14, 14), -50 + sketch.rng.uniform(-14, 14)])
    rim = ellipse(0, -50, 50, 50, 36)
    start = int(turn / (2 * np.pi) * 36)
    for segment in range(6):
        edge = [rim[(start + segment * 6 + step) % 36] for step in range(7)]
        sketch.fill([cap, *edge], BRIGHT[colours[segment % 3]])
    sketch.oval(*cap, 9, 9, (250, 250, 246))


def _draw_basketball(sketch):
    """Orange with dark seams."""
    tilt = sketch.rng.uniform(-0.6, 0.6)
    sketch.oval(0, -50, 50, 50, pick(sketch.rng, ((222, 112, 40), (200, 92, 44))))
    along = np.linspace(-1, 1, 13)
    seams = [np.stack([along * 48, along * 0], 1), np.stack([along * 0, along * 48], 1)]
    seams += [np.stack([side * (29 - 14 * (1 - along**2)), along * 39], 1) for side in (-1, 1)]
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    for seam in seams:
        sketch.line(seam @ turn + (0, -50), (52, 30, 22), 4.5)


def _draw_tennis_ball(sketch):
    """Yellow green with one white seam."""
    sketch.oval(0, -50, 50, 50, pick(sketch.rng, ((206, 226, 62), (186, 214, 70))))
    along = np.linspace(-1, 1, 13)
    for side in (-1, 1):
        sketch.line(np.stack([side * (33 - 23 * (1 - along**2)), along * 35 - 50], 1), (248, 250, 236), 6)


def _draw_banded_ball(sketch):
    """One colour, a band of another with dots in it."""
    first, second = (BRIGHT[number] for number in sketch.rng.permutation(len(BRIGHT))[:2])
    sketch.oval(0, -50, 50, 50, first)
    along = np.linspace(-1, 1, 13)
    upper = np.stack([along * 48, -58 - 12 * (1 - along**2)], 1)
    lower = np.stack([along * 48, -42 - 12 * (1 - along**2)], 1)
    sketch.fill([*upper, *lower[::-1]], second)
    for x in (-26, 0, 26):
        sketch.oval(x, -60 + abs(x) * 0.16, 5, 5, first)


def draw_tree(sketch):
    """A tree of about 100 units: with a crown, a fir, or a poplar; green or as in autumn."""
    rng, bark, leaf = sketch.rng, pick(sketch.rng, BARK), pick(sketch.rng, LEAVES)
    (_draw_crown, _draw_fir, _draw_poplar)[rng.choice(3, p=(0.5, 0.3, 0.2))](sketch, bark, leaf)


def _draw_crown(sketch, bark, leaf):
    """A trunk with branches under a crown of many tufts, dark below and light above."""
    rng = sketch.rng
    lean, broad = rng.uniform(-5, 5), rng.uniform(0.85, 1.25)
    sketch.limb([(0, -2), (lean * 0.5, -30), (lean, -56)], (13, 9, 6), bark)
    sketch.limb([(lean * 0.6, -34), (-17 + lean, -56)], (6, 3), darker(bark, 0.2))
    sketch.limb([(lean * 0.6, -38), (17 + lean, -58)], (6, 3), bark)
    sketch.fill([(-9, 0), (0, -10), (9, 0)], darker(bark, 0.2))
    turns = np.linspace(0, 2 * np.pi, 9, endpoint=False) + rng.uniform(0, 1)
    places = np.stack([np.cos(turns) * 25 * broad + lean, np.sin(turns) * 19 - 68], axis=1)
    for x, y in [*places[np.argsort(-places[:, 1])], (lean, -70)]:
        tone = darker(leaf, 0.3) if y > -64 else leaf if y > -78 else lighter(leaf, 0.12)
        sketch.oval(x, y, rng.uniform(12, 16) * broad, rng.uniform(11, 15), tone)
    for _ in range(16):
        x, y = rng.normal(lean, 15 * broad), rng.normal(-70, 11)
        sketch.oval(x, y, 3, 2.2, lighter(leaf, 0.22) if y < -68 else darker(leaf, 0.2))
    if rng.random() < 0.25:  # fruit
        for _ in range(7):
            sketch.oval(rng.normal(lean, 14), rng.normal(-68, 10), 2.6, 2.6, (206, 40, 40))


def _draw_fir(sketch, bark, leaf):
    """Tiers of needles with ragged edges."""
    green = tuple(int(value) for value in np.add(np.multiply(leaf, 0.25), (24, 66, 40)))
    sketch.limb([(0, -1), (0, -20)], (9, 8), bark)
    for tier in range(4):
        low, half = -14 - tier * 20, 34 - tier * 7.5
        points = [(0, low - 32)]
        for step in range(9):
            points.append((half - step * half / 4, low + (0 if step % 2 == 0 else -5)))
        sketch.fill(points, darker(green, 0.25))
        sketch.fill([(0, low - 32), (-half * 0.9, low - 2), (-half * 0.1, low - 6)], lighter(green, 0.08))


def _draw_poplar(sketch, bark, leaf):
    """Slender and high."""
    rng = sketch.rng
    sketch.limb([(0, -1), (0, -30)], (8, 6), bark)
    sketch.blob([(0, -102), (13, -76), (15, -46), (8, -20), (-8, -20), (-15, -46), (-13, -76)], darker(leaf, 0.18))
    sketch.blob([(-1, -98), (7, -74), (6, -46), (0, -26), (-10, -46), (-10, -76)], leaf)
    for _ in range(14):
        sketch.oval(rng.uniform(-8, 8), rng.uniform(-84, -30), 2.4, 3.4, lighter(leaf, rng.uniform(0, 0.3)))


def draw_house(sketch):
    """A house of about 100 units: a gable to the front or a long roof; door, windows, chimney, at times a side wall."""
    rng = sketch.rng
    wall, roof, half, height = pick(rng, WALLS), pick(rng, ROOFS), rng.uniform(30, 40), rng.uniform(36, 54)
    top, gable = -height, rng.random() < 0.55
    if rng.random() < 0.75:
        x = rng.uniform(-0.55, 0.3) * half
        sketch.fill([(x, top), (x, top - 34), (x + 9, top - 34), (x + 9, top)], (140, 82, 66))
        sketch.fill(
            [(x - 1.5, top - 37), (x + 10.5, top - 37), (x + 10.5, top - 33), (x - 1.5, top - 33)], (90, 60, 54)
        )
    if gable:
        depth = rng.uniform(12, 24)
        sketch.fill([(half, 0), (half, top), (half + depth, top + 2), (half + depth, -3)], darker(wall, 0.28))
        sketch.fill([(0, top - 30), (half + 5, top + 3), (half + depth + 5, top + 4), (depth + 2, top - 28)],
                    darker(roof, 0.22))  # fmt: skip
        sketch.fill([(-half, 0), (-half, top), (0, top - 28), (half, top), (half, 0)], wall)
        for side in (-1, 1):
            sketch.limb([(0, top - 31), (side * (half + 4), top + 2)], (5.5, 5.5), roof)
        sketch.oval(0, top - 10, 5, 5, (70, 92, 112))
    else:
        sketch.fill([(-half, 0), (-half, top), (half, top), (half, 0)], wall)
        sketch.fill([(-half - 6, top + 2), (-half + 9, top - 25), (half - 9, top - 25), (half + 6, top + 2)], roof)
        for share in (0.33, 0.66):
            y = top + 2 - 27 * share
            sketch.line([(-half - 6 + 15 * share, y), (half + 6 - 15 * share, y)], darker(roof, 0.25), 1.2)
    sketch.fill([(-half, -4), (half, -4), (half, 0), (-half, 0)], darker(wall, 0.4))
    _draw_door_and_windows(sketch, half, height, wall)


def _draw_door_and_windows(sketch, half, height, wall):
    """A door with a knob; windows with frames and cross bars, in one row or two."""
    rng = sketch.rng
    door, frame = pick(rng, ((120, 60, 40), (40, 80, 120), (150, 36, 40), (60, 100, 70))), lighter(wall, 0.6)
    glass = pick(rng, ((84, 120, 150), (52, 66, 84), (250, 220, 130)))
    x = rng.choice((-0.55, 0.0, 0.5)) * half
    sketch.fill([(x - 7.5, 0), (x - 7.5, -24), (x + 7.5, -24), (x + 7.5, 0)], frame)
    sketch.fill([(x - 6, 0), (x - 6, -22.5), (x + 6, -22.5), (x + 6, 0)], door)
    sketch.oval(x + 3.5, -11, 1.2, 1.2, (240, 210, 110))
    rows = (-15,) if height < 42 else (-14, -height + 10)
    for y in rows:
        for place in (-0.62, 0.0, 0.62):
            a = place * half
            if y > -22 and abs(a - x) < 15:
                continue
            sketch.fill([(a - 7, y - 7.5), (a + 7, y - 7.5), (a + 7, y + 6), (a - 7, y + 6)], frame)
            sketch.fill([(a - 5.4, y - 6), (a + 5.4, y - 6), (a + 5.4, y + 4.5), (a - 5.4, y + 4.5)], glass)
            sketch.line([(a, y - 6), (a, y + 4.5)], frame, 1.3)
            sketch.line([(a - 5.4, y - 1), (a + 5.4, y - 1)], frame, 1.3)
