"""A scene: its objects placed one before the other on a backdrop, painted, and the box of what is seen of each."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data.synthetic.objects.birds import draw_bird
from data.synthetic.objects.boats import draw_boat
from data.synthetic.objects.cats import draw_cat
from data.synthetic.objects.dogs import draw_dog
from data.synthetic.objects.people import draw_person
from data.synthetic.objects.sketch import Sketch
from data.synthetic.objects.things import draw_ball, draw_house, draw_tree
from data.synthetic.objects.vehicles import draw_bicycle, draw_car
from data.synthetic.scenes.backdrop import HEIGHT, WIDTH, paint_backdrop, paint_over
from data.synthetic.scenes.kinds import KINDS, MOST

#: {kind: (who draws it, pixels that 100 units take at the front: smallest and largest)}
DRAWN = {
    "person": (draw_person, 80, 112),
    "dog": (draw_dog, 72, 108),
    "cat": (draw_cat, 76, 110),
    "car": (draw_car, 84, 122),
    "bicycle": (draw_bicycle, 76, 110),
    "ball": (draw_ball, 34, 56),
    "tree": (draw_tree, 78, 116),
    "house": (draw_house, 88, 126),
    "bird": (draw_bird, 68, 104),
    "boat": (draw_boat, 80, 118),
}
FAR = 0.75  # size at the horizon, as a share of that at the front
TRIES = 40
LEAST_SEEN, LEAST_INSIDE = 0.3, 0.6  # of every object: what others leave of it, what the frame leaves of it
DIFFICULT_SEEN, DIFFICULT_PIXELS = 0.4, 60  # below: few people would name it


@dataclass(frozen=True)
class Box:
    """What is seen of one object: pixels (left, top, right, bottom) from 0, the last ones included."""

    kind: str
    corners: tuple
    truncated: bool  # a part lies outside the frame
    occluded: bool  # a part is hidden by another object
    difficult: bool  # little of it is seen


@dataclass(frozen=True)
class _Sketched:
    """An object with its place in depth, before it has one from left to right."""

    kind: str
    sketch: Sketch
    rng: np.random.Generator
    depth: float  # the row of the ground where it stands, or over which it flies
    height: float  # pixels above the ground


@dataclass
class Scene:
    """A scene before it is painted: the ground with all shadows, and the objects from the back to the front."""

    ground: np.ndarray  # (120, 160, 3) float32
    gain: np.ndarray  # (120, 160, 3) float32: light of the place, of the hour
    noise: np.ndarray  # (120, 160, 1) float32
    kinds: list = field(default_factory=list)
    layers: list = field(default_factory=list)

    def paint(self):
        """The picture: (PIL image RGB 160 x 120, [coverage (120, 160) of each object by itself])."""
        pixels = self.ground.copy()
        covered = [paint_over(pixels, layer) for layer in self.layers]
        return Image.fromarray(np.clip(pixels * self.gain + self.noise, 0, 255).astype(np.uint8)), covered


def draw_scene(labels, rng):
    """One scene.

    Args: labels: (10,) of 0/1, columns as in KINDS; rng: numpy Generator
    Returns: (PIL image RGB 160 x 120, [Box] from the back to the front)
    """
    scene = plan_scene(labels, rng)
    image, covered = scene.paint()
    return image, find_boxes(scene, covered)


def plan_scene(labels, rng):
    """Choose backdrop, objects, their places and the light: a Scene. Takes what `draw_scene` takes."""
    first, second, third, *streams = rng.spawn(3 + MOST)
    backdrop = paint_backdrop(first)
    scene = Scene(backdrop.pixels, *_choose_light(second))
    kinds = _add_copies([kind for kind, label in zip(KINDS, labels, strict=True) if label], third)
    sketched = [_sketch_object(kind, backdrop, stream) for kind, stream in zip(kinds, streams, strict=False)]
    shadows = Image.new("L", (WIDTH, HEIGHT), 0)
    seen = []  # [(pixels of an object in the frame, what of them is seen (120, 160))]
    for item in sorted(sketched, key=lambda one: one.depth):
        layer, seen, foot, scale = _place(item, backdrop, seen)
        scene.kinds.append(item.kind)
        scene.layers.append(layer)
        if item.height == 0:
            _draw_shadow(shadows, item.sketch, foot, scale, backdrop.light)
    soft = np.asarray(shadows.filter(ImageFilter.GaussianBlur(1.4)), dtype=np.float32)[..., None] / 255
    scene.ground *= 1 - 0.5 * soft
    return scene


def find_boxes(scene, covered):
    """[Box] of the objects of a scene whose coverages are `covered`."""
    boxes = []
    for number, (kind, layer, own) in enumerate(zip(scene.kinds, scene.layers, covered, strict=True)):
        seen = own * np.prod([1 - other for other in covered[number + 1 :]], axis=0)
        rows, columns = np.flatnonzero(seen.max(axis=1) > 0), np.flatnonzero(seen.max(axis=0) > 0)
        corners = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))
        whole, inside, left = layer.pixels[..., 3].sum(), own.sum(), seen.sum()
        difficult = left < DIFFICULT_SEEN * whole or left < DIFFICULT_PIXELS
        boxes.append(Box(kind, corners, bool(inside < 0.99 * whole), bool(left < 0.95 * inside), bool(difficult)))
    return boxes


def _choose_light(rng):
    """(gain (120, 160, 3), noise (120, 160, 1)): brightness that falls off to one side, warmth, grain."""
    direction = rng.uniform(0, 2 * np.pi)
    across = np.linspace(-1, 1, WIDTH, dtype=np.float32) * np.float32(np.cos(direction))
    down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None] * np.float32(np.sin(direction))
    light = rng.uniform(0.76, 1.12) + rng.uniform(0, 0.16) * (across + down)
    warmth = 1 + rng.uniform(-0.1, 0.1) * np.array([1, 0, -1])
    noise = rng.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32) * np.float32(rng.uniform(1, 6))
    return (light[..., None] * warmth).astype(np.float32), noise


def _add_copies(kinds, rng):
    """The kinds of all objects: some come twice or more, as long as there is room; no kind goes by the others."""
    copies = list(kinds)
    for kind in kinds:
        while len(copies) < MOST and rng.random() < 0.2:
            copies.append(kind)
    return copies


def _sketch_object(kind, backdrop, rng):
    """Draw an object and choose where it stands; boats lie on the water if there is some. Returns: _Sketched"""
    sketch = Sketch(rng)
    flies = DRAWN[kind][0](sketch) or (kind == "ball" and rng.random() < 0.25)
    low = backdrop.shore + 3
    depth = low + (HEIGHT - 3 - low) * rng.random() ** (1.5 if kind in ("tree", "house") else 0.8)
    if kind == "boat" and backdrop.shore > backdrop.horizon:
        depth = rng.uniform(backdrop.horizon + 4, backdrop.shore)
    return _Sketched(kind, sketch, rng, depth, rng.uniform(0.15, 0.75) * depth if flies else 0.0)


def _place(item, backdrop, seen):
    """Try places until enough is seen of this object and of those behind it; each try is a little smaller.

    Args: item: _Sketched; seen: [(pixels in the frame, what of them is seen)] of the others
    Returns: (Layer, `seen` with this one, foot (x, y), scale)
    """
    _, smallest, largest = DRAWN[item.kind]
    near = (item.depth - backdrop.horizon) / (HEIGHT - backdrop.horizon)
    scale = item.rng.uniform(smallest, largest) / 100 * (FAR + (1 - FAR) * near)
    if item.height == 0:  # what stands has its head in the frame
        scale = min(scale, (item.depth + 3) / -item.sketch.bounds()[1])
    mirror, tilt = item.rng.choice((-1, 1)), item.rng.normal(0, 0.035)
    best = None
    for attempt in range(TRIES):
        size = scale * 0.97**attempt
        foot = (item.rng.uniform(-0.04, 1.04) * WIDTH, item.depth - item.height)
        layer = item.sketch.render(foot, size, mirror, tilt, backdrop.light)
        own = paint_over(np.zeros((HEIGHT, WIDTH, 3), np.float32), layer)
        others = [(whole, left * (1 - own)) for whole, left in seen]
        enough = [own.sum() / layer.pixels[..., 3].sum() / LEAST_INSIDE]
        enough += [left.sum() / whole / LEAST_SEEN for whole, left in others]
        if best is None or min(enough) > best[0]:
            best = min(enough), (layer, [*others, (own.sum(), own)], foot, size)
        if min(enough) >= 1:
            break
    return best[1]


def _draw_shadow(shadows, sketch, foot, scale, light):
    """A flat shadow at the foot, shifted away from the light."""
    left, _, right, _ = sketch.bounds()
    half = max((right - left) * scale * 0.42, 2.0)
    x, y = foot[0] - light[0] * half * 0.35, foot[1]
    box = [x - half, y - half * 0.16, x + half, y + half * 0.2 + 0.5]
    ImageDraw.Draw(shadows).ellipse([float(value) for value in box], fill=230)
