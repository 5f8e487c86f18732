"""How strongly each site is edited: by how much further apart its features hold a target's classes than untrained ones.

Pooled features of any network separate the classes a little: a network that was never trained sets the level below
which no edit needs to go. With d the distance of the two classes along the best line, in standard deviations
(AUC = Phi(d / sqrt 2)),

    ridge = BASE_RIDGE * d_untrained / max(d - d_untrained, a little) / strength

Of a shift that the edit's input separates by a distance D, a ridge r leaves the part r / (r + D^2): the ridge that
leaves d_untrained of d is proportional to d_untrained / (d - d_untrained). So a site that separates them no better than
an untrained one is left almost alone. Where maps are largest, FIRST_STAGE_FACTOR: the discriminant misses what little
the few channels there hold. Where they are smallest, right below the heads, LAST_STAGE_FACTOR: an edit there costs the
kept heads little. An edit of the full kernel has more inputs, so a larger D, and takes FULL_KERNEL_FACTOR. The factors
and BASE_RIDGE were chosen on validation images.
"""

import numpy as np
import torch
from scipy.stats import norm

from utils.evaluation.metrics import auc

BASE_RIDGE, FIRST_STAGE_FACTOR, LAST_STAGE_FACTOR, FULL_KERNEL_FACTOR = 0.15, 0.35, 0.1, 4.0
LEAST_UNTRAINED = 0.3  # of d_untrained: an AUC of 0.58
LEAST_EXCESS, MOST_RIDGE = 0.1, 30.0
SHRINKAGE = 0.3  # of the discriminant, on standardised features
FOLDS = 2
CLIP = 0.5005, 0.9995  # AUCs beyond which an estimate of the distance means nothing


def site_ridges(features, untrained, labels, groups, strength=1.0, areas=None, full_kernel=()):
    """The ridge of each site against each target.

    Args:
        features: {site: (N, C) pooled features}; untrained: {site: (M, C) of an untrained network}, M <= N, the first M
        labels: (N, T) 0/1 array; groups: (N,) numbers of the images, so that repeats fall into one fold
        areas: {site: positions of its maps}; None: as if all were of one size
        full_kernel: sites whose full kernel is edited
    Returns: {site: [T ridges]}
    """
    areas, ridges = areas or dict.fromkeys(features, 1), {}
    largest, smallest = max(areas.values()), min(areas.values())
    for site, own in features.items():
        fresh, needed = untrained[site], []
        for column in np.asarray(labels).T:
            distance = distance_of_auc(cross_fitted_auc(own, column, groups))
            floor = distance_of_auc(cross_fitted_auc(fresh, column[: len(fresh)], groups[: len(fresh)]))
            floor = max(floor, LEAST_UNTRAINED)
            needed.append(BASE_RIDGE * floor / max(distance - floor, LEAST_EXCESS) / strength)
        stages = {largest: FIRST_STAGE_FACTOR, smallest: LAST_STAGE_FACTOR} if largest > smallest else {}
        factor = stages.get(areas[site], 1.0) * (FULL_KERNEL_FACTOR if site in full_kernel else 1.0)
        ridges[site] = [min(ridge, MOST_RIDGE) * factor for ridge in needed]
    return ridges


def distance_of_auc(area):
    """Distance d, in standard deviations, of two normal classes whose AUC is `area`; almost 0 below 0.5."""
    return 2**0.5 * float(norm.ppf(min(max(area, CLIP[0]), CLIP[1])))


def cross_fitted_auc(features, labels, groups):
    """AUC of a regularised linear discriminant, each half of the images scored by the other half's.

    Args: features: (N, C) tensor; labels: (N,) 0/1; groups: (N,) ints, images of one group share a fold
    Returns: a float; 0.5 if a fold lacks a class
    Raises: torch.linalg.LinAlgError if a discriminant has no solution
    """
    standard = (features - features.mean(0)) / (features.std(0) + 1e-6)
    has = torch.as_tensor(np.asarray(labels).astype(bool), device=features.device)
    fold = torch.as_tensor(np.asarray(groups) % FOLDS, device=features.device)
    scores = torch.zeros(len(standard), device=features.device)
    for number in range(FOLDS):
        fitted_on, scored = fold != number, fold == number
        parts = [standard[fitted_on & has], standard[fitted_on & ~has]]
        if min(len(part) for part in parts) < 2 or not scored.any():
            return 0.5
        means = [part.mean(0) for part in parts]
        within = torch.cat([part - mean for part, mean in zip(parts, means, strict=True)])
        covariance = within.T @ within / len(within)
        covariance.diagonal().add_(SHRINKAGE)
        score = standard[scored] @ torch.linalg.solve(covariance, means[0] - means[1])
        scores[scored] = (score - score.mean()) / (score.std() + 1e-6)
    area = auc(scores.cpu().numpy(), np.asarray(labels))
    return 0.5 if area is None else area
