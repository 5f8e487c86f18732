"""The drawn faces: each attribute shows, in its place, and nowhere else gives itself away."""

import numpy as np
import pytest

from data.synthetic.faces.attributes import ATTRIBUTES
from data.synthetic.faces.face import draw_face
from data.synthetic.shapes import ellipse, mix

BEARDS = ("Goatee", "Mustache", "5_o_Clock_Shadow", "Sideburns")


def pair_of_faces(name, seed):
    """The same face without and with one attribute: (218, 178, 3) float arrays."""
    off = np.zeros(40, dtype=np.uint8)
    off[[ATTRIBUTES.index("Young"), ATTRIBUTES.index("Attractive")]] = 1
    off[ATTRIBUTES.index("No_Beard")] = name not in BEARDS
    on = off.copy()
    on[ATTRIBUTES.index(name)] ^= 1
    return [np.asarray(draw_face(row, np.random.default_rng(seed)), dtype=float) for row in (off, on)]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_attribute_shows_and_leaves_the_rest_of_the_picture_alone(name):
    off, on = pair_of_faces(name, seed=2)
    changed = np.abs(off - on).max(axis=2)
    assert (changed > 25).sum() > 60
    if name != "Blurry":  # the corners show backdrop, light and noise, which no attribute chooses
        assert changed[:15, :15].max() == 0 and changed[:15, -15:].max() == 0


@pytest.mark.parametrize(("name", "top", "bottom"), [("Mouth_Slightly_Open", 120, 170), ("Bald", 15, 217)])
def test_a_mouth_opens_below_the_nose_and_baldness_starts_at_the_crown(name, top, bottom):
    for seed in range(4):
        changed = np.abs(np.subtract(*pair_of_faces(name, seed))).max(axis=2) > 25
        lines = np.flatnonzero(changed.any(axis=1))
        assert lines.size and top <= lines.min() and lines.max() <= bottom


def test_equal_streams_draw_equal_faces():
    labels = np.random.default_rng(1).integers(0, 2, 40)
    first, second = (np.asarray(draw_face(labels, np.random.default_rng(7))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_an_ellipse_keeps_to_its_radii():
    points = ellipse(3, -2, 5, 2, count=4)  # right, bottom, left, top
    np.testing.assert_allclose(points, [[8, -2], [3, 0], [-2, -2], [3, -4]], atol=1e-12)


def test_mixing_colours_goes_from_the_first_to_the_second():
    assert [mix((0, 100, 255), (100, 0, 255), share) for share in (0, 0.25, 1)] == [
        (0, 100, 255),
        (25, 75, 255),
        (100, 0, 255),
    ]
