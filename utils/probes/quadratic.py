"""Quadratic discriminant on the strongest components of a stage's pooled features: finds what second moments tell.

Two classes with one mean may differ in how their features vary. Components are whitened, so that the shrinkage of each
class's covariance (Ledoit & Wolf 2004) leads to what both classes share; their number is chosen by cross-validation.
"""

import functools

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold

from utils.evaluation.metrics import auc
from utils.probes.attack import Attack, at_every_stage
from utils.probes.fitting import one_thread, rarer_class, standardised

COMPONENTS = (24, 64)
FOLDS = 3


def quadratic_scores(train, labels, test, seed=0):
    """Scores of a quadratic discriminant with shrunk covariances.

    Args: train (N, D) and test (M, D) features; labels (N,) 0/1
    Returns: (M,) scores, or None if a class has fewer than six training images
    """
    labels = np.asarray(labels).astype(int)
    if rarer_class(labels) < 2 * FOLDS:
        return None
    with one_thread():
        values = np.zeros(len(COMPONENTS))
        for fitted_on, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(train, labels):
            scores = _scores(train[fitted_on], labels[fitted_on], train[held_out], COMPONENTS, seed)
            values += [auc(each, labels[held_out]) for each in scores]
        return _scores(train, labels, test, [COMPONENTS[int(values.argmax())]], seed)[0]


def _scores(train, labels, test, components, seed):
    """[(M,) scores] with each number of components."""
    train, test = standardised(train, test)
    most = min(max(components), *train.shape)
    with np.errstate(invalid="ignore"):  # shares of a variance of 0: features may be constant, or copies of each other
        pca = PCA(most, random_state=seed).fit(train)
    scale = np.sqrt(np.maximum(pca.explained_variance_, 1e-6))
    train, test = pca.transform(train) / scale, pca.transform(test) / scale
    found = []
    for count in components:
        far = [LedoitWolf().fit(train[labels == c, :count]).mahalanobis(test[:, :count]) for c in (0, 1)]
        found.append(far[0] - far[1])  # the constant, of the determinants, ranks nothing
    return found


QUADRATIC = Attack("quadratic", functools.partial(at_every_stage, quadratic_scores))
