"""Colours and outlines that every drawing uses: shares of two colours, ellipses, curves, mirrored points."""

from functools import cache

import numpy as np


def mix(first, second, share):
    """The colour `share` of the way from `first` to `second`, as a tuple of ints."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


def ellipse(x, y, radius_x, radius_y, count=24):
    """Points (count, 2) of an upright ellipse round (x, y)."""
    cosine, sine = _circle(count)
    return np.stack([x + radius_x * cosine, y + radius_y * sine], axis=1)


@cache
def _circle(count):
    """Cosines and sines of `count` even steps of a turn."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.cos(turn), np.sin(turn)


def curve(left, right, bend, count=13):
    """Points (count, 2) from `left` to `right` through a parabola whose middle lies `bend` units lower."""
    along = np.linspace(0, 1, count)
    x = left[0] + (right[0] - left[0]) * along
    y = left[1] + (right[1] - left[1]) * along + 4 * bend * along * (1 - along)
    return np.stack([x, y], axis=1)


def mirrored(points, side):
    """`points` for the right half (side 1) or mirrored to the left (side -1)."""
    return np.asarray(points, dtype=float) * (side, 1)
