"""Nearest neighbours in the pooled features of a stage: finds what lies in clusters, however they are shaped."""

from functools import partial

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from utils.probes.attack import Attack, at_every_stage
from utils.probes.fitting import one_thread, rarer_class, standardised


def neighbour_scores(train, labels, test, seed=0):
    """Scores of k nearest neighbours, k = root of the number of training images: share of positives among them.

    Args: train (N, D) and test (M, D) features; labels (N,) 0/1; seed: nothing is drawn
    Returns: (M,) scores, or None if the training images lack a class
    """
    labels = np.asarray(labels).astype(int)
    if not rarer_class(labels):
        return None
    train, test = standardised(train, test)
    model = KNeighborsClassifier(max(1, round(len(labels) ** 0.5)), weights="distance", algorithm="brute")
    with one_thread():
        return model.fit(train, labels).predict_proba(test)[:, 1]


NEIGHBOURS = Attack("neighbours", partial(at_every_stage, neighbour_scores))
