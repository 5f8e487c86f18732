"""The drawn faces: each attribute shows, and in its place."""

import numpy as np

from data.synthetic_attributes import ATTRIBUTES
from data.synthetic_canvas import ellipse
from data.synthetic_faces import draw_face


def test_each_attribute_changes_the_picture():
    for number, name in enumerate(ATTRIBUTES):
        off = np.zeros(40, dtype=np.uint8)
        off[[ATTRIBUTES.index("Young"), ATTRIBUTES.index("Attractive")]] = 1
        if name not in ("Goatee", "Mustache", "5_o_Clock_Shadow", "Sideburns"):
            off[ATTRIBUTES.index("No_Beard")] = 1
        on = off.copy()
        on[number] ^= 1
        first, second = (np.asarray(draw_face(row, np.random.default_rng(0)), dtype=float) for row in (off, on))
        assert (np.abs(first - second).max(axis=2) > 40).sum() > 60, name


def test_an_open_mouth_shows_below_the_nose_and_a_bald_head_above_the_brows():
    plain = np.zeros(40, dtype=np.uint8)
    plain[[ATTRIBUTES.index(name) for name in ("Young", "Attractive", "No_Beard", "Male")]] = 1
    # means of 30 faces: with other labels a face draws other numbers, so that single pictures differ everywhere
    for name, region in (("Mouth_Slightly_Open", slice(125, 165)), ("Bald", slice(25, 80))):
        on = plain.copy()
        on[ATTRIBUTES.index(name)] = 1
        faces = [
            np.mean(
                [np.asarray(draw_face(row, np.random.default_rng(seed)), dtype=float) for seed in range(30)], axis=0
            )
            for row in (plain, on)
        ]
        difference = np.abs(faces[0] - faces[1])[:, 60:118].mean(axis=(1, 2))  # middle columns, per line
        assert difference[region].mean() > 1.5 * np.delete(difference, np.arange(218)[region]).mean(), name


def test_an_ellipse_keeps_to_its_radii():
    points = ellipse(3, -2, 5, 2, count=4)  # right, bottom, left, top
    np.testing.assert_allclose(points, [[8, -2], [3, 0], [-2, -2], [3, -4]], atol=1e-12)
