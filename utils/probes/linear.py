"""Linear probe: a logistic regression on the pooled features of a stage, its C chosen by cross-validation.

What it finds a linear layer behind that stage could use (Alain & Bengio 2016, arXiv:1610.01644). A rotation of the
channels hides nothing from it.
"""

import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from utils.evaluation.metrics import auc
from utils.probes.attack import Attack, at_every_stage
from utils.probes.fitting import one_thread, rarer_class, standardised

#: scikit-learn's C (inverse weight of the L2 penalty) of the linear probe; on ties the earlier one wins
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 3


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
    rarest = rarer_class(labels)
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
    Returns: (M,) scores, or None if the training images lack a class
    """
    labels = np.asarray(labels).astype(int)
    if not rarer_class(labels):
        return None
    C = choose_c(train, labels, seed)
    train, test = standardised(train, test)
    return fit_logistic(train, labels, C).decision_function(test)


LINEAR = Attack("linear", partial(at_every_stage, linear_scores))
