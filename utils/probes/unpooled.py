"""Ridge classifier on the map of a stage as it is: finds what a mean over the positions takes out.

Each channel at each position is a feature of its own, so a target that shows in one place, or in opposite signs in two,
is found. There are more features than images, so the ridge regression is solved in the dual, in closed form, and its
strength is the one with the least leave-one-out error, which the same decomposition gives (Cawley & Talbot 2003).
"""

import numpy as np
import torch

from utils.probes.attack import Attack
from utils.probes.fitting import rarer_class
from utils.probes.setup import balanced_subset

#: strengths of the ridge, in means of the kernel's diagonal
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
MOST_IMAGES = 3000  # the time grows with their cube


@torch.no_grad()
def unpooled_scores(train, labels, test):
    """Scores of a class-balanced ridge classifier on whole maps.

    Args: train (N, C, h, w) and test (M, C, h, w) tensors; labels (N,) 0/1
    Returns: (M,) scores, or None if a class has fewer than two training images
    """
    labels = torch.as_tensor(np.asarray(labels).astype(int))
    if rarer_class(labels) < 2:
        return None
    weights = (len(labels) / (2 * torch.bincount(labels).float()))[labels]  # both classes count alike
    x = train.flatten(1).float()
    mean = weights @ x / len(x)
    x -= mean
    scale = (weights @ x.square() / len(x)).sqrt()
    x /= scale.clamp_(min=1e-6)
    x *= weights.sqrt()[:, None]
    dual = _fit_dual(x @ x.T, (2.0 * labels - 1) * weights.sqrt(), weights / len(weights))
    slope = (x.T @ dual) / scale
    return torch.cat([(part.flatten(1).float() - mean) @ slope for part in test.split(256)]).numpy()


def _fit_dual(kernel, y, intercept):
    """(N,) dual coefficients of the ridge regression of (N,) `y` with an (N, N) kernel, its strength chosen.

    `intercept` (N,): the share of each image's own answer in the mean that was taken off; as the kernel has nothing
    there, its inverse would have 1 / strength of it, and small strengths would seem to err on no image.
    """
    values, vectors = torch.linalg.eigh(kernel)
    strengths = values.mean().clamp(min=1e-6) * torch.tensor(STRENGTHS)  # maps may be constant
    shrunk = 1 / (values.clamp(min=0)[:, None] + strengths)  # (N, strengths)
    duals = vectors @ (shrunk * (vectors.T @ y)[:, None])
    left_out = duals / (vectors.square() @ shrunk - intercept[:, None] / strengths)  # errors without an image
    return duals[:, left_out.square().sum(0).argmin()]


def attack_unpooled(subject):
    """{stage: scores} of a Subject at each stage with a map, fitted on `MOST_IMAGES` of its images."""
    train, test, setup = subject.train.maps, subject.test.maps, subject.setup
    places = balanced_subset(setup.y_train, MOST_IMAGES, setup.seed)
    return {stage: unpooled_scores(train[stage][places], setup.y_train[places], test[stage]) for stage in test}


UNPOOLED = Attack("unpooled", attack_unpooled)
