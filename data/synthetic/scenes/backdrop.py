"""Paint what lies behind the objects of a scene: sky, hills, water, ground, bushes, stones and fences.

Nothing here hangs on the kinds in the scene: no kind is given away by its surroundings.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data.synthetic.objects.sketch import Sketch, darker, lighter, pick
from data.synthetic.shapes import mix

WIDTH, HEIGHT = 160, 120
FINE = 2
SKIES = (  # above, at the horizon
    ((88, 150, 220), (196, 222, 240)),
    ((140, 164, 186), (208, 212, 214)),
    ((94, 96, 160), (248, 176, 120)),
    ((40, 52, 96), (120, 112, 146)),
    ((150, 196, 232), (240, 236, 214)),
)
GROUNDS = (
    (96, 148, 72), (138, 160, 84), (206, 186, 138), (134, 134, 138), (166, 132, 96), (226, 230, 236), (180, 172, 160),
)  # fmt: skip
WATERS = ((64, 118, 160), (88, 150, 160), (70, 96, 130))


@dataclass(frozen=True)
class Backdrop:
    """The picture without objects, (120, 160, 3) float32; the ground begins at `shore`, water lies above it."""

    pixels: np.ndarray
    horizon: float
    shore: float  # equals the horizon where there is no water
    light: np.ndarray  # unit vector (2,) to where the light comes from


def paint_backdrop(rng):
    """Choose and paint one."""
    horizon = rng.uniform(30, 62)
    shore = horizon + (rng.uniform(10, 32) if rng.random() < 0.45 else 0)
    angle = rng.uniform(-0.9, 0.9) * np.pi / 2
    light = np.array([np.sin(angle), -np.cos(angle)])
    above, below = SKIES[rng.integers(len(SKIES))]
    ground = pick(rng, GROUNDS, 16)
    image = Image.fromarray(_graded(horizon, above, below, ground))
    pen = ImageDraw.Draw(image)
    _paint_sky(pen, rng, horizon, below)
    _paint_hills(pen, rng, horizon, mix(below, ground, 0.55))
    if shore > horizon:
        _paint_water(pen, rng, horizon, shore, mix(pick(rng, WATERS), below, 0.25))
    _paint_ground(pen, rng, shore, ground)
    image = image.reduce(FINE).filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0)))
    pixels = np.asarray(image, dtype=np.float32)
    for _ in range(rng.integers(0, 4)):
        paint_over(pixels, _draw_distractor(rng, shore, ground, light))
    return Backdrop(pixels, horizon, shore, light)


def paint_over(pixels, layer):
    """Lay a layer over pixels (H, W, 3), in place. Returns its coverage (H, W), 0 outside it."""
    height, width = pixels.shape[:2]
    covered = np.zeros((height, width), dtype=np.float32)
    rows, columns = layer.pixels.shape[:2]
    top, left = max(layer.top, 0), max(layer.left, 0)
    bottom, right = min(layer.top + rows, height), min(layer.left + columns, width)
    if top < bottom and left < right:
        part = layer.pixels[top - layer.top : bottom - layer.top, left - layer.left : right - layer.left]
        share = part[..., 3:]
        here = pixels[top:bottom, left:right]
        here += (part[..., :3] - here) * share
        covered[top:bottom, left:right] = share[..., 0]
    return covered


def _graded(horizon, above, below, ground):
    """(H, W, 3) uint8, FINE times larger: the sky from `above` to `below`, then the ground, darker in front."""
    y = np.arange(HEIGHT * FINE, dtype=np.float32)[:, None] / FINE
    sky = np.asarray(above) + (np.asarray(below) - above) * np.clip(y / horizon, 0, 1)
    land = np.asarray(ground) * (1.06 - 0.22 * np.clip((y - horizon) / (HEIGHT - horizon), 0, 1))
    column = np.clip(np.where(y < horizon, sky, land), 0, 255).astype(np.uint8)
    return np.repeat(column[:, None], WIDTH * FINE, axis=1)


def _paint_sky(pen, rng, horizon, below):
    """The sun or the moon, and clouds."""
    if rng.random() < 0.3:
        _oval(pen, rng.uniform(10, 150), rng.uniform(8, horizon - 8), *(rng.uniform(4, 8),) * 2, (255, 246, 206))
    white = lighter(below, 0.6)
    for _ in range(rng.integers(0, 5)):
        x, y, size = rng.uniform(0, WIDTH), rng.uniform(4, horizon * 0.75), rng.uniform(4, 11)
        for _ in range(5):
            _oval(pen, x + rng.normal(0, size), y + rng.normal(0, size / 5), size * 0.9, size * 0.42, white)


def _paint_hills(pen, rng, horizon, colour):
    """Hills, a wood or the roofs of a town along the horizon."""
    kind = rng.integers(4)
    x = np.linspace(0, WIDTH, 41)
    rise = np.zeros(41)
    if kind == 1:
        rise = sum(rng.uniform(1, 8) * np.sin(x / rng.uniform(14, 34) + rng.uniform(0, 6)) + 4 for _ in range(2))
    elif kind == 2:
        rise = rng.uniform(3, 8, 41)
    elif kind == 3:
        rise, x = np.repeat(rng.uniform(2, 14, 20), 2), np.repeat(np.linspace(0, WIDTH, 21), 2)[1:-1]
    points = [(0, horizon + 1), *zip(x, horizon - np.maximum(rise, 0), strict=True), (WIDTH, horizon + 1)]
    pen.polygon([(float(a) * FINE, float(b) * FINE) for a, b in points], fill=darker(colour, rng.uniform(0.05, 0.4)))


def _paint_water(pen, rng, horizon, shore, water):
    """A lake between the horizon and a shore, with ripples."""
    x = np.linspace(0, WIDTH, 17)
    edge = shore + np.cumsum(rng.normal(0, 0.7, 17))
    points = [(0, horizon), (WIDTH, horizon), *zip(x[::-1], edge[::-1], strict=True)]
    pen.polygon([(float(a) * FINE, float(b) * FINE) for a, b in points], fill=water)
    for _ in range(26):
        x, y, length = rng.uniform(0, WIDTH), rng.uniform(horizon + 1, shore - 1), rng.uniform(3, 14)
        colour = lighter(water, rng.uniform(0.1, 0.35)) if rng.random() < 0.6 else darker(water, 0.15)
        pen.line([x * FINE, y * FINE, (x + length) * FINE, y * FINE], fill=colour, width=1)


def _paint_ground(pen, rng, shore, ground):
    """Patches, blades or pebbles, at times a path or a road with its line."""
    if rng.random() < 0.35:
        y, thick, slope = rng.uniform(shore + 8, HEIGHT - 8), rng.uniform(5, 14), rng.uniform(-8, 8)
        road = pick(rng, ((120, 120, 124), (176, 150, 112), (150, 148, 146)))
        corners = [(0, y), (WIDTH, y + slope), (WIDTH, y + slope + thick), (0, y + thick)]
        pen.polygon([(a * FINE, b * FINE) for a, b in corners], fill=road)
        for x in range(0, WIDTH, 16) if rng.random() < 0.5 else ():
            middle = y + thick / 2 + slope * x / WIDTH
            pen.line([x * FINE, middle * FINE, (x + 7) * FINE, middle * FINE], fill=lighter(road, 0.6), width=2)
    tones = lighter(ground, 0.16), darker(ground, 0.14)
    places = rng.random((110, 5)) * (WIDTH, 1, 2.1, 0.6, 2) + (0, 0, 0.5, 0.3, 0)
    for x, y, radius_x, radius_y, tone in places.tolist():
        _oval(pen, x, shore + (HEIGHT - shore) * y**0.8, radius_x, radius_y, tones[int(tone)])


def _draw_distractor(rng, shore, ground, light):
    """A bush, a stone, a fence, a lamp or a heap, as a layer."""
    sketch = Sketch(rng)
    kind = rng.integers(5)
    if kind == 0:
        leaf = pick(rng, ((66, 120, 60), (110, 130, 66), (150, 110, 60)))
        for x in range(-30, 31, 12):
            sketch.oval(
                x, rng.uniform(-24, -12), rng.uniform(11, 17), rng.uniform(12, 18), darker(leaf, rng.uniform(0, 0.3))
            )
    elif kind == 1:
        stone = pick(rng, ((136, 132, 128), (164, 156, 144), (110, 112, 118)))
        sketch.blob([(-24, 0), (-22, -14), (-6, -24), (14, -20), (25, -6), (22, 0)], stone)
        sketch.line([(-10, -18), (-2, -9), (8, -11)], darker(stone, 0.3), 1.5)
    elif kind == 2:
        wood = pick(rng, ((140, 104, 70), (226, 222, 212), (110, 92, 78)))
        for y in (-12, -22):
            sketch.fill([(-90, y - 2.5), (90, y - 2.5), (90, y + 2.5), (-90, y + 2.5)], darker(wood, 0.12))
        for x in range(-88, 89, 16):
            sketch.fill([(x - 3, 0), (x - 3, -26), (x, -31), (x + 3, -26), (x + 3, 0)], wood)
    elif kind == 3:
        sketch.fill([(-2, 0), (-1.4, -92), (1.4, -92), (2, 0)], (74, 76, 82))
        sketch.oval(0, -96, 6, 8, (240, 232, 190))
    else:
        heap = mix(ground, pick(rng, ((214, 176, 90), (150, 116, 84), (190, 184, 176))), 0.8)
        sketch.blob([(-34, 0), (-22, -18), (0, -30), (20, -20), (34, 0)], heap)
    y = rng.uniform(shore + 4, HEIGHT - 4)
    scale = rng.uniform(0.4, 0.9) * (0.5 + 0.5 * (y - shore) / (HEIGHT - shore))
    return sketch.render((rng.uniform(0, WIDTH), y), scale, 1, 0.0, light)


def _oval(pen, x, y, radius_x, radius_y, colour):
    box = [(x - radius_x) * FINE, (y - radius_y) * FINE, (x + radius_x) * FINE, (y + radius_y) * FINE]
    pen.ellipse(box, fill=colour)
