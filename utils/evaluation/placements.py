"""AUC of scores and differences of AUCs on the same images, with standard errors in closed form.

An AUC is the mean, over images with the attribute, of the share of images without it that score lower. These shares and
their counterpart on the other side also say how far other images would move the AUC (DeLong, DeLong & Clarke-Pearson
1988), as resamples of the images would: both are compared in tests/evaluation/test_placements.py.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata


@dataclass(frozen=True)
class Placements:
    """What each image adds to an AUC, or to a difference of AUCs.

    positive: (P,) of each image with the attribute, the share of images without it that score lower, ties half
    negative: (Q,) of each image without it, the share of images with it that score higher, ties half
    """

    positive: np.ndarray
    negative: np.ndarray

    @property
    def value(self):
        """The AUC or the difference; None where a class is missing."""
        return float(self.positive.mean()) if len(self.positive) and len(self.negative) else None

    @property
    def standard_error(self):
        """Of the value, over images; None where a class has fewer than two."""
        parts = self.positive, self.negative
        if min(map(len, parts)) < 2:
            return None
        return float(sum(part.var(ddof=1) / len(part) for part in parts)) ** 0.5

    def __sub__(self, other):
        return Placements(self.positive - other.positive, self.negative - other.negative)

    def figure(self, least=0.0):
        """{"value", "interval": 95 %, "n", "n_positive"}; the interval ends at `least`, 0 or -1, and at 1."""
        value, error = self.value, self.standard_error
        interval = None if error is None else [max(least, value - 1.96 * error), min(1.0, value + 1.96 * error)]
        counts = {"n": len(self.positive) + len(self.negative), "n_positive": len(self.positive)}
        return {"value": value, "interval": interval, **counts}

    def p_value(self):
        """One-sided, that the value is 0 or less; None where it has no error."""
        value, error = self.value, self.standard_error
        if error is None:
            return None
        return float(norm.sf(value / error)) if error > 0 else float(value <= 0)


def place(scores, labels):
    """`Placements` of scores, averaged over draws.

    Args: scores (M,) or (D, M), larger: more likely positive; labels (M,) 0/1
    """
    scores, positive = np.atleast_2d(np.asarray(scores, dtype=np.float64)), np.asarray(labels).astype(bool)
    ranks = rankdata(scores, axis=1)  # among all, less the rank among its own class: how many of the other are below
    above, below = (ranks[:, side] - rankdata(scores[:, side], axis=1) for side in (positive, ~positive))
    counts = [max(1, side.sum()) for side in (~positive, positive)]
    return Placements(above.mean(0) / counts[0], 1 - below.mean(0) / counts[1])
