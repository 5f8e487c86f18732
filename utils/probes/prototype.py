"""Difference of the class means of 1, 4 and 16 images a class: what an attacker with a handful of images finds.

Nothing is fitted: an image is scored along the line from one mean to the other (prototypes of Snell et al. 2017,
arXiv:1703.05175). The images drawn are the same for every network.
"""

from functools import partial

import numpy as np

from utils.probes.attack import Attack, at_every_stage
from utils.probes.fitting import rarer_class, standardised

SIZES = (1, 4, 16)
DRAWS = 8


def prototype_scores(train, labels, test, seed=0):
    """Scores along the difference of two class means, for each size and draw.

    Args: train (N, D) and test (M, D) features; labels (N,) 0/1
    Returns: (D, M) scores of `DRAWS` draws of each size that both classes have; None if the images lack a class
    """
    labels = np.asarray(labels).astype(int)
    pools = [np.flatnonzero(labels == value) for value in (0, 1)]
    generator = np.random.default_rng([seed, 11])
    train, test = standardised(train, test)
    lines = [
        np.subtract(*(train[generator.choice(pool, size, replace=False)].mean(0) for pool in reversed(pools)))
        for size in SIZES
        if size <= rarer_class(labels)
        for _ in range(DRAWS)
    ]
    return np.stack(lines) @ test.T if lines else None


PROTOTYPE = Attack("prototype", partial(at_every_stage, prototype_scores))
