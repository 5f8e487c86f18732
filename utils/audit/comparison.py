"""What a net is compared with: its distance to the oracle, and two baselines that cost nothing."""

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from utils.evaluation.bootstrap import mean_interval
from utils.evaluation.metrics import bernoulli_js, linear_cka, ratio

#: most kept labels whose combinations are counted cell by cell; above, a logistic regression
MOST_CELLS = 6
GROUPS = 20


def distance_to_oracle(logits, attributes, stages, oracle, resamples=1000, seed=0):
    """How far a net's kept heads and features are from the oracle's on the same images.

    Args:
        logits (N, K) and attributes of the net; stages {stage: (N, C)} its features; oracle: `Features`
    Returns: {"js": {head: mean Bernoulli Jensen-Shannon divergence in nats}, "equal_decisions": {head: share},
        "cka": {stage: linear CKA}}, each figure with its interval and n; heads and stages that both nets have
    """
    out = {"js": {}, "equal_decisions": {}, "cka": {}}
    for name in (name for name in attributes if name in oracle.attributes):
        ours, theirs = logits[:, attributes.index(name)], oracle.logits[:, oracle.attributes.index(name)]
        out["js"][name] = mean_interval(bernoulli_js(expit(ours), expit(theirs)), resamples, seed)
        out["equal_decisions"][name] = mean_interval((ours > 0) == (theirs > 0), resamples, seed)
    for stage in (stage for stage in stages if stage in oracle.stages):
        out["cka"][stage] = cka_interval(stages[stage], oracle.stages[stage], seed)
    return out


def cka_interval(x, y, seed=0, groups=GROUPS):
    """Linear CKA with a 95 % interval by the delete-a-group jackknife: a thousand resamples of it would take minutes.

    Args: x (N, D), y (N, E) features of the same images
    Returns: {"value", "interval", "n"}; None where a net's features do not vary or N is under 2 images a group
    """
    value = linear_cka(x, y)
    out = {"value": value, "interval": None, "n": len(x)}
    if value is None or len(x) < 2 * groups:
        return out
    group = np.random.default_rng([seed, 3]).permutation(len(x)) % groups
    x, y = (z - z.mean(0) for z in (np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)))
    shared, own, other = (_left_out_norms(*pair, group) for pair in ((x, y), (x, x), (y, y)))
    without = ratio(shared**2, own * other)
    if np.isnan(without).any():
        return out
    error = np.sqrt((groups - 1) / groups * np.sum((without - without.mean()) ** 2))
    return out | {"interval": [max(0.0, float(value - 1.96 * error)), min(1.0, float(value + 1.96 * error))]}


def _left_out_norms(x, y, group):
    """Norm of the centred cross-products X'Y without each group in turn; x and y are centred over all images.

    The products are sums over images, so a group is taken off the total instead of summing all others again.
    """
    total, norms = x.T @ y, []
    for g in range(group.max() + 1):
        own, other = x[group == g], y[group == g]
        shift = np.outer(own.sum(0), other.sum(0)) / (len(x) - len(own))  # the others' mean is no longer 0
        norms.append(np.linalg.norm(total - own.T @ other - shift))
    return np.array(norms)


def kept_label_scores(train_kept, train_target, test_kept):
    """Scores for the target from the true kept labels alone: what stays known while those labels stay true.

    Args: train_kept (N, K-1) and test_kept (M, K-1) true labels; train_target (N,) 0/1
    Returns: (M,) scores: the share of positives among training images with the same kept labels (drawn to the base
        rate by one image), or with more than six kept labels a logistic regression on them
    """
    train_kept, test_kept = np.asarray(train_kept), np.asarray(test_kept)
    target = np.asarray(train_target).astype(float)
    if train_kept.shape[1] > MOST_CELLS:
        if target.min() == target.max():
            return np.full(len(test_kept), target.mean())
        return LogisticRegression(max_iter=1000).fit(train_kept, target.astype(int)).decision_function(test_kept)
    code = 2 ** np.arange(train_kept.shape[1])
    cells, asked = train_kept.astype(int) @ code, test_kept.astype(int) @ code
    size = 2 ** train_kept.shape[1]
    positives, images = np.bincount(cells, target, size), np.bincount(cells, minlength=size)
    return ((positives + target.mean()) / (images + 1))[asked]


def drop_head_logits(logits, column, base_rate):
    """Copy of (N, K) logits with one head replaced by its base rate: the forgetting that costs nothing."""
    out = np.array(logits)
    out[:, column] = logit(np.clip(base_rate, 1e-6, 1 - 1e-6))
    return out
