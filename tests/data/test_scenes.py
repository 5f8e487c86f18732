"""The drawn scenes: every kind is drawn where its box says, and nothing but the kind depends on the kind."""

import numpy as np
import pytest

from data.synthetic.objects.sketch import Layer, Sketch
from data.synthetic.scenes.backdrop import paint_backdrop, paint_over
from data.synthetic.scenes.kinds import KINDS, draw_labels
from data.synthetic.scenes.scene import DRAWN, Scene, draw_scene, find_boxes, plan_scene


def random(*numbers):
    return np.random.default_rng(numbers)


def scene_of(*layers):
    """A grey scene with some layers, named by letters, from the back to the front."""
    ground = np.full((120, 160, 3), 100, np.float32)
    return Scene(ground, np.ones_like(ground), np.zeros_like(ground), list("abc"[: len(layers)]), list(layers))


def square(left, top, side=20):
    """A white layer of full coverage."""
    white = np.full((side, side, 4), 255, np.float32) / (1, 1, 1, 255)
    return Layer(white.astype(np.float32), left, top)


def boxes_of(*layers):
    scene = scene_of(*layers)
    return find_boxes(scene, scene.paint()[1])


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_changes_the_picture_in_its_box_up_to_every_edge_and_nowhere_else(kind):
    labels = [name == kind for name in KINDS]
    scene = plan_scene(labels, random(4, KINDS.index(kind)))
    scene.kinds, scene.layers = scene.kinds[:1], scene.layers[:1]
    image, covered = scene.paint()
    (box,) = find_boxes(scene, covered)
    assert box.kind == kind and not box.occluded
    scene.layers = []
    changed = (np.asarray(image) != np.asarray(scene.paint()[0])).any(axis=2)
    left, top, right, bottom = box.corners
    inside = changed[top : bottom + 1, left : right + 1]
    assert changed.sum() == inside.sum() > 40
    near = [inside[:2].any(), inside[-2:].any(), inside[:, :2].any(), inside[:, -2:].any()]
    assert all(near)  # a pixel that is covered by a hair's breadth may round to the same colour


def test_boxes_lie_in_the_picture_and_name_the_kinds_that_were_asked_for():
    found = set()
    for index, labels in enumerate(draw_labels(24, seed=8)):
        image, boxes = draw_scene(labels, random(8, index))
        assert image.size == (160, 120) and len(boxes) <= 5
        assert {box.kind for box in boxes} == {kind for kind, label in zip(KINDS, labels, strict=True) if label}
        for left, top, right, bottom in (box.corners for box in boxes):
            assert 0 <= left <= right < 160 and 0 <= top <= bottom < 120
        found |= {flag for box in boxes for flag in ("truncated", "occluded", "difficult") if getattr(box, flag)}
    assert found >= {"truncated", "occluded"}


@pytest.mark.parametrize(
    ("front", "corners", "occluded", "difficult"),
    [
        ((90, 50), (40, 50, 59, 69), False, False),  # beside it
        ((50, 50), (40, 50, 49, 69), True, False),  # the right half is hidden
        ((43, 50), (40, 50, 42, 69), True, True),  # three columns of twenty are left: 60 of 400 pixels
    ],
)
def test_the_box_of_an_object_is_what_those_before_it_leave(front, corners, occluded, difficult):
    back, before = boxes_of(square(40, 50), square(*front))
    assert (back.corners, back.occluded, back.difficult) == (corners, occluded, difficult)
    assert (before.occluded, before.truncated) == (False, False)


def test_an_object_that_the_frame_cuts_is_truncated_and_a_tiny_one_is_difficult():
    (cut,) = boxes_of(square(-10, 110))
    assert (cut.corners, cut.truncated, cut.occluded, cut.difficult) == ((0, 110, 9, 119), True, False, True)
    assert cut == boxes_of(square(-10, 110))[0]
    (tiny,) = boxes_of(square(5, 5, side=7))  # 49 pixels
    assert tiny.difficult and not tiny.truncated


def test_later_layers_lie_in_front_and_half_a_coverage_mixes_half():
    pixels = np.zeros((4, 4, 3), np.float32)
    layer = Layer(np.full((2, 2, 4), 0.5, np.float32) * (200, 200, 200, 1), -1, 0)
    covered = paint_over(pixels, layer)
    assert covered.tolist() == [[0.5, 0, 0, 0], [0.5, 0, 0, 0], [0] * 4, [0] * 4]
    assert pixels[0, 0].tolist() == [50, 50, 50] and pixels[0, 1].tolist() == [0, 0, 0]


def test_the_backdrop_hangs_on_no_kind_but_for_shadows():
    empty = plan_scene(np.zeros(10), random(5))
    for kind in range(10):
        one = plan_scene(np.arange(10) == kind, random(5))
        np.testing.assert_array_equal(one.noise, empty.noise)
        np.testing.assert_array_equal(one.gain, empty.gain)
        assert (one.ground <= empty.ground).all() and (one.ground < empty.ground).mean() < 0.3


def test_equal_streams_give_equal_scenes_and_backdrops():
    labels = np.ones(10) * (np.arange(10) < 5)
    (first, boxes), (second, same) = (draw_scene(labels, random(7)) for _ in range(2))
    assert boxes == same and first.tobytes() == second.tobytes()
    assert paint_backdrop(random(1)).horizon != paint_backdrop(random(2)).horizon


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_drawn_of_many_shapes_in_many_ways_about_100_units_large(kind):
    ways = set()
    for seed in range(6):
        sketch = Sketch(random(seed))
        DRAWN[kind][0](sketch)
        left, top, right, bottom = sketch.bounds()
        assert 45 < max(right - left, bottom - top) < 130 and bottom < 55
        ways.add(len(sketch.shapes))
        assert len(sketch.shapes) > 3
    assert len(ways) > 1


def test_a_sketch_is_mirrored_and_scaled_round_its_foot():
    sketch = Sketch(random(0))
    sketch.fill([(0, -10), (20, -10), (20, 0), (0, 0)], (200, 100, 50))
    right, left = (sketch.render((50, 60), 2, mirror, 0.0, np.array([0.0, -1.0])) for mirror in (1, -1))
    for layer, columns in ((right, (50, 89)), (left, (10, 49))):
        seen = layer.pixels[..., 3] > 0.6
        x, y = np.flatnonzero(seen.any(axis=0)) + layer.left, np.flatnonzero(seen.any(axis=1)) + layer.top
        assert (x[0], x[-1]) == columns and (y[0], y[-1]) == (40, 59)
