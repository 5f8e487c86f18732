"""Before forgetting: which kept heads may suffer, and below what the target cannot go; afterwards, whether it was so.

The prediction is a rank, not a loss: a score from 0 (nothing in common with the target) to 1.

    score(k) = |phi(k)|                          without a graph
    score(k) = (|phi(k)| + shared(k)) / 2        with the essential graph

phi(k) is the correlation of the labels of kept head k and of a target on the training images (of several targets the
one of the largest size). shared(k), averaged over the graph's layers, is the share of k's essential channels that a
target needs too, beyond what two unrelated sets of these sizes would share: with n = |E_k and E_T| / |E_k| and
c = |E_T| / channels it is max(0, (n - c) / (1 - c)).

The floor is the AUC of the target from the true kept labels alone, cross-validated inside the training images: whoever
reads the kept heads off a network that answers them rightly can still guess the target that well.
"""

import numpy as np
from scipy.stats import spearmanr
from sklearn.model_selection import StratifiedKFold

from utils.bootstrap import auc_interval
from utils.comparison import kept_label_scores
from utils.metrics import plain

FOLDS = 5
FEWEST = 3  # kept heads of which ranks can be compared
FLOOR_TOLERANCE = 0.02  # as far below the floor a probe may lie and still agree with it


def phi(a, b):
    """Correlation of two (N,) 0/1 labels (the phi coefficient), in [-1, 1]; 0 if one of them never varies."""
    a, b = (np.asarray(labels, dtype=np.float64) - np.mean(labels) for labels in (a, b))
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else 0.0


def shared_channels(graph, head, targets):
    """{layer: (share of the head's essential channels that a target needs too, share that chance would give)}."""
    found = {}
    for layer, channels in graph.layers.items():
        needed = {channel for target in targets for channel in graph.essential[layer][target]}
        own = set(graph.essential[layer][head])
        if own:
            found[layer] = (len(own & needed) / len(own), len(needed) / channels)
    return found


def beyond_chance(shares):
    """Mean over layers of max(0, (n - c) / (1 - c)) for {layer: (n, c)}; 0 where all channels are needed anyway."""
    parts = [max(0.0, (share - chance) / (1 - chance)) if chance < 1 else 0.0 for share, chance in shares.values()]
    return float(np.mean(parts)) if parts else 0.0


def estimate(data, targets, graph=None, *, seed=0, resamples=1000):
    """Predict from labels, and from the essential graph if there is one; no network is run and no image is read.

    Args:
        data: data set with attributes, labels and a training part; targets: attributes to forget
        graph: `utils.essential_graph.EssentialGraph` of the same attributes, or None
        seed: of the folds and the intervals
    Returns: {"attributes", "targets", "basis": "labels" or "labels and graph", "n": training images, "kept": [{"head",
        "score", "phi": {target: value}, "shared": {layer: [share, by chance]} or None, "reason"}], the largest score
        first, "floor": {target: {"value", "interval", "n", "n_positive"}}}, JSON-ready
    """
    rows = data.everything("train")
    labels = {name: data.labels[rows, place] for place, name in enumerate(data.attributes)}
    kept = [name for name in data.attributes if name not in targets]
    heads = [_predict(head, labels, targets, graph) for head in kept]
    return {
        "attributes": list(data.attributes),
        "targets": list(targets),
        "basis": "labels and graph" if graph else "labels",
        "n": len(rows),
        "kept": sorted(heads, key=lambda head: -head["score"]),
        "floor": {target: floor(labels, kept, target, seed, resamples) for target in targets},
    }


def _predict(head, labels, targets, graph):
    phis = {target: phi(labels[head], labels[target]) for target in targets}
    nearest = max(phis, key=lambda target: abs(phis[target]))
    score, shares = abs(phis[nearest]), None
    words = f"its labels go {'with' if phis[nearest] >= 0 else 'against'} {nearest} (phi {phis[nearest]:+.2f})"
    if graph:
        shares = shared_channels(graph, head, targets)
        score = (score + beyond_chance(shares)) / 2
        mean, chance = np.mean(list(shares.values()), axis=0) if shares else (0.0, 0.0)
        words += f"; {mean:.0%} of its essential channels are the target's too ({chance:.0%} by chance)"
    shares = shares and {layer: list(pair) for layer, pair in shares.items()}
    return {"head": head, "score": float(score), "phi": phis, "shared": shares, "reason": words}


def floor(labels, kept, target, seed=0, resamples=1000):
    """AUC of the target from the true kept labels, each image scored by a fit on the other folds.

    Args: labels: {attribute: (N,) 0/1}; kept: names; target: name
    Returns: `utils.bootstrap.auc_interval`; value None if a class of the target has fewer than two images
    """
    y = np.asarray(labels[target]).astype(int)
    others = np.stack([labels[name] for name in kept], 1)
    rarest = int(np.bincount(y, minlength=2).min())
    if rarest < 2:
        return {"value": None, "interval": None, "n": len(y), "n_positive": int(y.sum())}
    scores = np.zeros(len(y))
    folds = StratifiedKFold(min(FOLDS, rarest), shuffle=True, random_state=seed)
    for fitted_on, held_out in folds.split(others, y):
        scores[held_out] = kept_label_scores(others[fitted_on], y[fitted_on], others[held_out])
    return auc_interval(scores, y, resamples, seed)


def loss_of(before, after):
    """Worst of a head's losses of AUC and of accuracy, a fraction, below 0 for a gain; None where undefined.

    Args: before, after: figures of the head, see `utils.metrics.figures_per_head`
    """
    losses = [before[key] - after[key] for key in ("auc", "accuracy") if None not in (before[key], after[key])]
    return max(losses, default=None)


def compare(estimated, heads, probes=None):
    """An estimate held against what was measured.

    Args:
        estimated: of `estimate`; heads: {attribute: {"before": figures, "after": figures}} on the test part
        probes: {target: {stage: AUC of the linear probe}} of the unlearned network, as far as an audit found them
    Returns: {"basis", "kept": [{"head", "score", "loss"}] in the order predicted, "spearman": rank correlation of score
        and loss, None for fewer than three kept heads, "worst_foreseen": whether the head with the highest score lost
        most, None if undefined or of one head, "floor": {target: {"floor", "probe", "head", "held"}}}

    The floor held if the best linear probe of the unlearned network lies at most 0.02 below it. A silent head alone
    says nothing about it (a constant answer has an AUC of 0.5), so without an audit "held" is None.
    """
    pairs = [(one["head"], one["score"], loss_of(**_sides(heads[one["head"]]))) for one in estimated["kept"]]
    known = [(score, loss) for _, score, loss in pairs if loss is not None]
    spearman = worst = None
    if len(known) > 1:
        worst = bool(known[0][1] == max(loss for _, loss in known))
    if len(known) >= FEWEST and all(np.ptp(column) > 0 for column in zip(*known, strict=True)):
        spearman = plain(spearmanr(*zip(*known, strict=True)).statistic)
    return {
        "basis": estimated["basis"],
        "kept": [dict(zip(("head", "score", "loss"), pair, strict=True)) for pair in pairs],
        "spearman": spearman,
        "worst_foreseen": worst,
        "floor": {
            target: _floor_held(figure["value"], heads[target]["after"]["auc"], (probes or {}).get(target))
            for target, figure in estimated["floor"].items()
        },
    }


def _sides(head):
    return {"before": head["before"], "after": head["after"]}


def _floor_held(value, head, probes):
    known = [auc for auc in (probes or {}).values() if auc is not None]
    probe = max(known, default=None)
    held = None if None in (probe, value) else bool(probe >= value - FLOOR_TOLERANCE)
    return {"floor": value, "probe": probe, "head": head, "held": held}
