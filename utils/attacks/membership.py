"""Membership of a label: does the head's answer tell whether the pair of image and label was trained on?"""

import numpy as np
from scipy.special import entr, expit, xlog1py, xlogy
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from utils.evaluation.bootstrap import auc_interval
from utils.evaluation.metrics import modified_entropy

FOLDS = 5
#: {key: share of others taken for members} at which the share of members that are recognised is given
FALSE_POSITIVES = {"tpr_at_1_percent": 0.01, "tpr_at_0.1_percent": 0.001}


def attack_features(logits, labels):
    """What the attacker sees of each sample: loss, confidence, entropy, modified entropy (Song & Mittal 2021).

    Args: logits (N,) of the head under attack; labels (N,) 0/1, the label whose membership is in question
    Returns: (N, 4) float64
    """
    p = np.clip(expit(np.asarray(logits, dtype=np.float64)), 1e-12, 1 - 1e-12)
    y = np.asarray(labels).astype(np.float64)
    loss = -(xlogy(y, p) + xlog1py(1 - y, -p))
    return np.stack([loss, np.maximum(p, 1 - p), entr(p) + entr(1 - p), modified_entropy(p, y)], axis=1)


def matched(member_labels, other_labels, seed=0):
    """Equally many members and others of each class, at random.

    Without this an attacker would win by a difference of base rates, which has nothing to do with training.

    Args: member_labels (N,) and other_labels (M,), both 0/1
    Returns: two sorted arrays of n places each, in `member_labels` and in `other_labels`
    """
    generator = np.random.default_rng([seed, 1])
    members, others = [], []
    for value in (0, 1):
        pools = [np.flatnonzero(np.asarray(labels) == value) for labels in (member_labels, other_labels)]
        count = min(len(pool) for pool in pools)
        members.append(generator.choice(pools[0], count, replace=False))
        others.append(generator.choice(pools[1], count, replace=False))
    return np.sort(np.concatenate(members)), np.sort(np.concatenate(others))


def membership_attack(member_logits, member_labels, other_logits, other_labels, seed=0, resamples=1000):
    """AUC of a balanced logistic attack, each sample scored by an attack that was fitted without it.

    Args: logits (N,) and labels (N,) of training images, logits (M,) and labels (M,) of held-out images
    Returns: {"value", "interval", "n", "n_positive", and "tpr_at_1_percent", "tpr_at_0.1_percent": as
        `true_positive_rate`} with n members and others together, members counted as positive; value and rates None if
        fewer than 10 of each class can be matched
    """
    inside, outside = matched(member_labels, other_labels, seed)
    logits = np.concatenate([np.asarray(member_logits)[inside], np.asarray(other_logits)[outside]])
    labels = np.concatenate([np.asarray(member_labels)[inside], np.asarray(other_labels)[outside]]).astype(int)
    is_member = np.repeat([1, 0], [len(inside), len(outside)])
    if min(np.bincount(labels[: len(inside)], minlength=2)) < 2 * FOLDS:
        empty = {"value": None, "interval": None, "n": len(is_member), "n_positive": len(inside)}
        return empty | dict.fromkeys(FALSE_POSITIVES)
    features, scores = attack_features(logits, labels), np.empty(len(is_member))
    # by class too: a fold with more of one class among its members would pull the attack fitted without it under 0.5
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, 2 * is_member + labels)
    for fitted_on, held_out in splits:
        attack = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        attack.fit(features[fitted_on], is_member[fitted_on])
        scores[held_out] = attack.decision_function(features[held_out])
    rates = {key: true_positive_rate(scores, is_member, share) for key, share in FALSE_POSITIVES.items()}
    return auc_interval(scores, is_member, resamples, seed) | rates


def true_positive_rate(scores, is_member, most):
    """Share of members above a threshold that at most a share `most` of the others is above (Carlini et al. 2022).

    Args: scores (N,), is_member (N,) 0/1 with both
    Returns: a share; None where one other image is more than `most` of them, so that no threshold is known to fit
    """
    others = np.sort(scores[is_member == 0])
    allowed = int(most * len(others))
    return float(np.mean(scores[is_member == 1] > others[-1 - allowed])) if allowed else None
