"""Networks with one hidden layer: find what no single direction tells, such as the XOR of two channels.

They see the channel means of a stage and the strongest components of its map together. Each of three is fitted on two
thirds of the training images, to the epoch that is best on the last third, and the three vote.
"""

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier

from utils.evaluation.metrics import auc
from utils.probes.attack import Attack
from utils.probes.fitting import one_thread, rarer_class, standardised

COMPONENTS = 64  # of a map
WIDTH, DECAY = 32, 1.0  # hidden units, scikit-learn's alpha
FOLDS, EPOCHS, PATIENCE = 3, 60, 10


def mlp_scores(train, labels, test, seed=0):
    """Scores of networks with one hidden layer of `WIDTH` ReLU units, averaged over `FOLDS` of them.

    Args: train (N, D) and test (M, D) features; labels (N,) 0/1
    Returns: (M,) scores, or None if a class has fewer than `FOLDS` training images
    """
    labels = np.asarray(labels).astype(int)
    if rarer_class(labels) < FOLDS:
        return None
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(train, labels)
    with one_thread():
        return np.mean([_scores(train, labels, test, *split, seed + i) for i, split in enumerate(splits)], axis=0)


def _scores(train, labels, test, fitted_on, held_out, seed):
    """(M,) probabilities by the epoch with the highest AUC on the held-out images; `PATIENCE` epochs later it ends."""
    fitted_on = _evened_out(fitted_on, labels, seed)
    inside, outside, test = standardised(train[fitted_on], train[held_out], test)
    model = MLPClassifier((WIDTH,), alpha=DECAY, batch_size=min(64, len(inside)), random_state=seed)
    best, best_epoch, scores = -1.0, 0, None
    for epoch in range(EPOCHS):
        model.partial_fit(inside, labels[fitted_on], classes=[0, 1])
        value = auc(model.predict_proba(outside)[:, 1], labels[held_out])
        if value > best:
            best, best_epoch, scores = value, epoch, model.predict_proba(test)[:, 1]
        elif epoch - best_epoch >= PATIENCE:
            break
    return scores


def _evened_out(places, labels, seed):
    """`places` in random order, those of the rarer class repeated until both classes are as many."""
    pools = [places[labels[places] == value] for value in (0, 1)]
    most = max(map(len, pools))
    return np.random.default_rng([seed, 12]).permutation(np.concatenate([np.resize(pool, most) for pool in pools]))


@torch.no_grad()
def map_components(train, test, seed=0):
    """The strongest components of standardised maps, whitened.

    Args: train (N, C, h, w) and test (M, C, h, w) tensors
    Returns: two (·, K) float32 arrays of K = `COMPONENTS` at most
    """
    x = train.flatten(1).float()
    mean, scale = x.mean(0), x.std(0).clamp_(min=1e-6)
    x = x.sub_(mean).div_(scale)
    generator = np.random.default_rng([seed, 13])  # a random start of subspace iteration, Halko et al. 2011
    basis = torch.from_numpy(generator.normal(size=(x.shape[1], min(COMPONENTS, *x.shape)))).float()
    for _ in range(3):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
    values = x @ basis
    slope = basis / values.std(0).clamp_(min=1e-6)
    return (x @ slope).numpy(), torch.cat(
        [(part.flatten(1).float() - mean) / scale @ slope for part in test.split(256)]
    ).numpy()


def attack_mlp(subject):
    """{stage: scores} of a Subject at each stage, of its channel means and, where it has one, its map."""
    train, test, setup, found = subject.train, subject.test, subject.setup, {}
    for stage in test.places:
        parts = [(train.stages[stage], test.stages[stage])]
        if stage in test.maps:
            parts.append(map_components(train.maps[stage], test.maps[stage], setup.seed))
        inside, outside = (np.hstack(side) for side in zip(*parts, strict=True))
        found[stage] = mlp_scores(inside, setup.y_train, outside, setup.seed)
    return found


MLP = Attack("mlp", attack_mlp, costly=True)
