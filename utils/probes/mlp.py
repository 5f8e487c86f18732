"""A network with one hidden layer on the pooled features of a stage: finds what no single direction tells."""

from functools import partial

import numpy as np
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier

from utils.evaluation.metrics import auc
from utils.probes.attack import Attack, at_every_stage
from utils.probes.fitting import one_thread, rarer_class, standardised

FOLDS = 5  # one of them is held out


def mlp_scores(train, labels, test, seed=0, width=128, epochs=60, patience=10):
    """Scores of a network with one hidden layer of `width` ReLU units, after the epoch that is best on held-out images.

    A fifth of the training images is held out, and the epoch with the highest AUC on them counts; training ends
    `patience` epochs after it. Classes are not weighted: the AUC needs no threshold.

    Args: train (N, D) and test (M, D) features; labels (N,) 0/1
    Returns: (M,) scores, or None if a class has fewer than five training images
    """
    labels = np.asarray(labels).astype(int)
    if rarer_class(labels) < FOLDS:
        return None
    fitted_on, held_out = next(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(train, labels))
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


MLP = Attack("mlp", partial(at_every_stage, mlp_scores), costly=True)
