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
    "person": (draw_person, 52, 92),
    "dog": (draw_dog, 42, 70),
    "cat": (draw_cat, 42, 66),
    "car": (draw_car, 66, 108),
    "bicycle": (draw_bicycle, 52, 84),
    "ball": (draw_ball, 15, 27),
    "tree": (draw_tree, 66, 112),
    "house": (draw_house, 74, 122),
    "bird": (draw_bird, 32, 54),
    "boat": (draw_boat, 62, 100),
}
FAR = 0.5  # size at the horizon, as a share of that at the front
TRIES = 40
LEAST_SEEN, LEAST_INSIDE = 0.15, 0.4  # of every object: what others leave of it, what the frame leaves of it
DIFFICULT_SEEN, DIFFICULT_PIXELS = 0.3, 60  # below: few people would name it


@dataclass(frozen=True)
class Box:
    """What is seen of one object: pixels (left, top, right, bottom) from 0, the last ones included."""

    kind: str
    corners: tuple
    truncated: bool  # a part lies outside the frame
    occluded: bool  # a part is hidden by another object
    difficult: bool  # little of it is seen


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
    for depth, kind, sketch, height, standing, stream in sorted(sketched, key=lambda one: one[0]):
        layer, seen, foot, scale = _place(kind, sketch, (depth, height), backdrop, seen, stream)
        scene.kinds.append(kind)
        scene.layers.append(layer)
        if standing:
            _draw_shadow(shadows, sketch, foot, scale, backdrop.light)
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
    light = rng.uniform(0.68, 1.12) + rng.uniform(0, 0.16) * (across + down)
    warmth = 1 + rng.uniform(-0.1, 0.1) * np.array([1, 0, -1])
    noise = rng.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32) * np.float32(rng.uniform(1, 9))
    return (light[..., None] * warmth).astype(np.float32), noise


def _add_copies(kinds, rng):
    """The kinds of all objects: some come twice or more, as long as there is room; no kind goes by the others."""
    copies = list(kinds)
    for kind in kinds:
        while len(copies) < MOST and rng.random() < 0.2:
            copies.append(kind)
    return copies


def _sketch_object(kind, backdrop, rng):
    """(depth, kind, sketch, height above the ground, whether it stands on it, rng); depth is a row of the ground."""
    sketch = Sketch(rng)
    draw, _, _ = DRAWN[kind]
    flies = draw(sketch) or (kind == "ball" and rng.random() < 0.25)
    low = backdrop.shore + 3
    share = rng.random() ** (1.5 if kind in ("tree", "house") else 0.8)
    depth = low + (HEIGHT - 3 - low) * share
    if kind == "boat" and backdrop.shore > backdrop.horizon:
        return rng.uniform(backdrop.horizon + 4, backdrop.shore), kind, sketch, 0.0, True, rng
    return depth, kind, sketch, rng.uniform(0.15, 0.9) * depth if flies else 0.0, not flies, rng


def _place(kind, sketch, position, backdrop, seen, rng):
    """Try places until enough is seen of this object and of those behind it; each try is a little smaller.

    Args: position: (depth, height above the ground); seen: [(pixels in the frame, what of them is seen)] of the others
    Returns: (Layer, `seen` with this one, foot (x, y), scale)
    """
    depth, height = position
    _, smallest, largest = DRAWN[kind]
    near = (depth - backdrop.horizon) / (HEIGHT - backdrop.horizon)
    scale = rng.uniform(smallest, largest) / 100 * (FAR + (1 - FAR) * near)
    mirror, tilt = rng.choice((-1, 1)), rng.normal(0, 0.035)
    best = None
    for attempt in range(TRIES):
        size = scale * 0.97**attempt
        foot = (rng.uniform(-0.04, 1.04) * WIDTH, depth - height)
        layer = sketch.render(foot, size, mirror, tilt, backdrop.light)
        own = paint_over(np.zeros((HEIGHT, WIDTH, 3), np.float32), layer)
        others = [(whole, left * (1 - own)) for whole, left in seen]
        enough = [own.sum() / layer.pixels[..., 3].sum() / LEAST_INSIDE]
        enough += [left.sum() / whole / LEAST_SEEN for whole, left in others]
        worst = min(enough)
        if best is None or worst > best[0]:
            best = worst, (layer, [*others, (own.sum(), own)], foot, size)
        if worst >= 1:
            break
    return best[1]


def _draw_shadow(shadows, sketch, foot, scale, light):
    """A flat shadow at the foot, shifted away from the light."""
    left, _, right, _ = sketch.bounds()
    half = max((right - left) * scale * 0.42, 2.0)
    x, y = foot[0] - light[0] * half * 0.35, foot[1]
    box = [x - half, y - half * 0.16, x + half, y + half * 0.2 + 0.5]
    ImageDraw.Draw(shadows).ellipse([float(value) for value in box], fill=230)
