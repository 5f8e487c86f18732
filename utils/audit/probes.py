"""Probes: how well classifiers fitted on a network's frozen features still rank images by an attribute.

Each takes features and labels of training images and gives scores for other images; figures and intervals of the
scores are made elsewhere. Nothing of the test images is used to fit, to standardise or to choose.
"""

import functools
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

from utils.evaluation.metrics import auc

#: scikit-learn's C (inverse weight of the L2 penalty) of the linear probe; on ties the earlier one wins
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 3


@functools.cache
def _libraries():
    return ThreadpoolController()  # made when first used: by then every library is loaded


def one_thread():
    """Context that keeps numpy's algebra to one thread: fits this small lose most of their time in waking others."""
    return _libraries().limit(limits=1, user_api="blas")


def standardised(train, *others):
    """`train` and `others` (N, D) shifted and scaled by the mean and deviation of `train`, as float32."""
    scaler = StandardScaler().fit(np.asarray(train, dtype=np.float64))  # sums of many images want the digits
    return [scaler.transform(np.asarray(v, dtype=np.float64)).astype(np.float32) for v in (train, *others)]


def fit_logistic(features, labels, C, start=None):
    """Class-balanced L2 logistic regression, begun at `start`, an earlier fit.

    Args: features (N, D), labels (N,) 0/1 with both classes; C: as scikit-learn's
    Returns: the fitted `LogisticRegression`
    """
    model = LogisticRegression(C=C, class_weight="balanced", tol=1e-3, max_iter=300, warm_start=True)
    if start is not None:
        model.coef_, model.intercept_, model.classes_ = start.coef_, start.intercept_, start.classes_
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 300 steps settle the ranking long before the last digit
        return model.fit(features, labels)


def choose_c(features, labels, seed=0, grid=C_GRID, folds=FOLDS):
    """The C with the highest mean AUC over folds of the training images.

    Args: features (N, D) raw, standardised fold by fold; labels (N,) 0/1 with both classes
    Returns: one of `grid`; its middle if a class has fewer than two images, so that nothing can be held out
    """
    rarest = min(np.bincount(labels, minlength=2))
    if rarest < 2:
        return grid[len(grid) // 2]
    scores = np.zeros(len(grid))
    splits = StratifiedKFold(min(folds, rarest), shuffle=True, random_state=seed).split(features, labels)
    for fitted_on, held_out in splits:
        train, test = standardised(features[fitted_on], features[held_out])
        model = None
        for i, C in enumerate(grid):  # each fit begins where the one before ended
            model = fit_logistic(train, labels[fitted_on], C, model)
            scores[i] += auc(model.decision_function(test), labels[held_out])
    return grid[int(np.argmax(scores))]


def linear_scores(train, labels, test, seed=0):
    """Scores of a linear probe, its C chosen by cross-validation inside the training images.

    Args: train (N, D) and test (M, D) features; labels (N,) 0/1
    Returns: ((M,) scores, the C chosen); (None, None) if the training images lack a class
    """
    labels = np.asarray(labels).astype(int)
    if len(np.unique(labels)) < 2:
        return None, None
    C = choose_c(train, labels, seed)
    train, test = standardised(train, test)
    return fit_logistic(train, labels, C).decision_function(test), C


def mlp_scores(train, labels, test, seed=0, width=128, epochs=60, patience=10):
    """Scores of a network with one hidden layer of `width` ReLU units, after the epoch that is best on held-out images.

    A fifth of the training images is held out, and the epoch with the highest AUC on them counts; training ends
    `patience` epochs after it. Classes are not weighted: the AUC needs no threshold.

    Args: train (N, D) and test (M, D) features; labels (N,) 0/1
    Returns: (M,) scores, or None if a class has fewer than five training images
    """
    labels = np.asarray(labels).astype(int)
    if min(np.bincount(labels, minlength=2)) < 5:
        return None
    fitted_on, held_out = next(StratifiedKFold(5, shuffle=True, random_state=seed).split(train, labels))
    inside, outside, test = standardised(train[fitted_on], train[held_out], test)
    model = MLPClassifier((width,), alpha=1e-2, batch_size=min(64, len(inside)), random_state=seed)
    best, best_epoch, scores = -1.0, 0, None
    with one_thread():
        for epoch in range(epochs):
            model.partial_fit(inside, labels[fitted_on], classes=[0, 1])
            value = auc(model.predict_proba(outside)[:, 1], labels[held_out])
            if value > best:
                best, best_epoch, scores = value, epoch, model.predict_proba(test)[:, 1]
            elif epoch - best_epoch >= patience:
                break
    return scores


def knn_scores(train, labels, test):
    """Scores of k nearest neighbours, k = root of the number of training images: share of positives among them.

    Args: train (N, D) and test (M, D) features; labels (N,) 0/1
    Returns: (M,) scores, or None if the training images lack a class
    """
    labels = np.asarray(labels).astype(int)
    if len(np.unique(labels)) < 2:
        return None
    train, test = standardised(train, test)
    model = KNeighborsClassifier(max(1, round(len(labels) ** 0.5)), weights="distance", algorithm="brute")
    with one_thread():
        return model.fit(train, labels).predict_proba(test)[:, 1]
