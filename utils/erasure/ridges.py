"""How strongly each site must be edited: by how much more it tells of the targets than an untrained network's does.

Pooled features of any network tell something: a network that was never trained sets the level below which nobody needs
to go. With d the distance of the two classes along the best line, in standard deviations (AUC = Phi(d / sqrt 2)),

    ridge = GENTLE * d_untrained / max(d - d_untrained, a little) / strength

Of a shift that the edit's input tells apart by a distance D, a ridge r leaves the part r / (r + D^2): the ridge that
leaves d_untrained of d is proportional to d_untrained / (d - d_untrained). A site that tells no more than untrained
features is so left almost alone, and one that tells everything is cleared. Where the maps are largest FIRST of that
ridge is used, for what little the few channels there tell is missed by the discriminant, and where they are smallest,
right below the heads, LAST of it: an edit there costs the kept heads little. An edit of the whole kernel sees more
inputs, with a larger D, and takes WHOLE of it. All four were chosen on validation images.
"""

import copy

import numpy as np
import torch
from scipy.stats import norm

from utils.evaluation.metrics import auc

GENTLE, FIRST, LAST, WHOLE = 0.15, 0.35, 0.1, 4.0
LEAST_FLOOR = 0.3  # of d_untrained: an AUC of 0.58
SHRINKAGE = 0.3  # of the discriminant, on standardised features
FOLDS = 2
LEAST_EXCESS, MOST_RIDGE = 0.1, 30.0
CLIP = 0.5005, 0.9995  # AUCs beyond which no distance can be told


def site_ridges(own, untrained, labels, groups, strength=1.0, areas=None, whole=()):
    """{site: (T,) ridges, one for each target}.

    Args:
        own: {site: (N, C) pooled features of the network}; untrained: {site: (M, C) of an untrained one}, the first M
        labels: (N, T) 0/1 array; groups: (N,) numbers of the images, so that repeats fall into one fold
        areas: {site: positions of its maps}; None: as if all were of one size
        whole: sites whose whole kernel is edited
    """
    areas, ridges = areas or dict.fromkeys(own, 1), {}
    largest, smallest = max(areas.values()), min(areas.values())
    for site, features in own.items():
        first = len(untrained[site])
        needed = []
        for column in np.asarray(labels).T:
            told = distance(cross_fitted_auc(features, column, groups))
            floor = max(distance(cross_fitted_auc(untrained[site], column[:first], groups[:first])), LEAST_FLOOR)
            needed.append(GENTLE * floor / max(told - floor, LEAST_EXCESS) / strength)
        share = 1.0 if largest == smallest else {largest: FIRST, smallest: LAST}.get(areas[site], 1.0)
        share *= WHOLE if site in whole else 1.0
        ridges[site] = [min(one, MOST_RIDGE) * share for one in needed]
    return ridges


def distance(area):
    """d of two normal classes whose AUC is `area`; below 0.5: as good as none."""
    return 2**0.5 * float(norm.ppf(min(max(area, CLIP[0]), CLIP[1])))


def cross_fitted_auc(features, labels, groups):
    """AUC of a regularised linear discriminant, each half of the images scored by the other half's.

    Args: features (N, C) tensor; labels (N,) 0/1; groups (N,) ints, images of one group share a fold
    Returns: a float; 0.5 if a fold lacks a class
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
        found = standard[scored] @ torch.linalg.solve_ex(covariance, means[0] - means[1])[0]
        scores[scored] = (found - found.mean()) / (found.std() + 1e-6)
    area = auc(scores.cpu().numpy(), np.asarray(labels))
    return 0.5 if area is None else area


def untrained_like(model, seed=0):
    """A copy of a network whose parameters were drawn anew by each layer's own rule, in eval mode."""
    fresh = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return fresh.eval()
