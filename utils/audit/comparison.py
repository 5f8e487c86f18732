"""What a network is compared with: the oracle or an untrained network, the original, and two baselines without cost."""

from dataclasses import asdict

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from utils.attacks.registry import ATTACKS
from utils.attacks.relearning import area_between
from utils.audit.gaps import attack_gaps, one_sided
from utils.audit.verdict import decide, head_rates, knows_target
from utils.evaluation.bootstrap import mean_interval, paired_changes
from utils.evaluation.metrics import bernoulli_js, linear_cka, ratio

#: most kept labels whose combinations are counted cell by cell; above, a logistic regression
MOST_CELLS = 6
GROUPS = 20


def compare_network(name, readouts, kept, setup):
    """Add to a network's record what takes a second one: gaps of attacks, relearning areas, kept changes, the verdict.

    Args: readouts: {name: NetworkReadouts} of all networks; kept: attributes that were to be kept; setup: AuditSetup
    """
    own, oracle, record = readouts[name], readouts.get("oracle"), readouts[name].record
    record["gaps"] = {"reference": reference_of(readouts), "attacks": _gaps(own, readouts, setup)}
    if oracle and own is not oracle:
        measured, curves = (setup.y_test, setup.resamples, setup.seed), oracle.subject.curves
        record["relearning"] = {
            kind: part | {"area": area_between(own.subject.curves.get(kind, []), curves.get(kind, []), *measured)}
            for kind, part in record["relearning"].items()
        }
    since = next((role for role in ("original", "oracle") if role in readouts), None)
    before = readouts[since].subject.test if since not in (None, name) else None
    changes = kept_changes(before, own.subject.test, kept, setup) if before else {}
    record["kept_changes"] = {"since": since, "heads": changes}
    original = readouts.get("original")
    gaps, other_gaps = split_by_decision(record["gaps"]["attacks"])
    verdict = decide(
        target=setup.target,
        auc={key: record["shipped"][key] for key in ("value", "interval", "n", "n_positive")},
        rates=head_rates(original and original.record["heads"].get(setup.target), record["heads"].get(setup.target)),
        attacks=record["attacks"],
        gaps=gaps,
        other_gaps=other_gaps,
        reference=record["gaps"]["reference"],
        kept=None if kept and since is None else changes,
        known=original is None or _knows_target(original, readouts, setup),
        untrained=_untrained(readouts),
        one_sided=_one_sided(own, readouts),
    )
    record["verdict"] = asdict(verdict)


def reference_of(readouts):
    """Name of the network that all are compared with: the oracle, else the random one, else None."""
    return next((role for role in ("oracle", "random") if role in readouts), None)


def _gaps(own, readouts, setup):
    """`attack_gaps` of a network to the reference; {} if there is none."""
    reference, original = reference_of(readouts), None
    if reference is None:
        return {}
    if reference == "oracle" and "original" in readouts:
        original = readouts["original"].found
    return attack_gaps(own.found, readouts[reference].found, original, setup)


def _one_sided(own, readouts):
    """`one_sided` of a network and its reference, of the attacks that decide; none if there is no reference."""
    reference = reference_of(readouts)
    pairs = one_sided(own.found, readouts[reference].found) if reference else []
    return [(attack, place) for attack, place in pairs if ATTACKS[attack].decides]


def split_by_decision(gaps):
    """Gaps of the attacks that decide, and of the others: two {attack: {place: gap}}."""
    deciding = {attack: places for attack, places in gaps.items() if ATTACKS[attack].decides}
    return deciding, {attack: places for attack, places in gaps.items() if attack not in deciding}


def _untrained(readouts):
    """Figures of the attacks on an untrained network beside an oracle; None if there are not both."""
    return readouts["random"].record["attacks"] if {"oracle", "random"} <= set(readouts) else None


def _knows_target(original, readouts, setup):
    return knows_target(original.record["shipped"], split_by_decision(_gaps(original, readouts, setup))[0])


def kept_changes(before, after, kept, setup):
    """`paired_changes` of the kept heads that two networks have, from their `Features` of the test images."""
    heads = [head for head in kept if head in before.attributes and head in after.attributes]
    logits = [part.logits[:, [part.attributes.index(head) for head in heads]] for part in (before, after)]
    labels = setup.test_labels[:, setup.columns(heads)]
    return paired_changes(*logits, labels, heads, setup.resamples, setup.seed)


def distance_to_oracle(network, oracle, heads, resamples=1000, seed=0):
    """How far a network's kept heads and features are from the oracle's on the same images.

    Args: network, oracle: `Features` of the same images; heads: names to compare, as far as both networks have them
    Returns: {"js": {head: mean Bernoulli Jensen-Shannon divergence in nats}, "equal_decisions": {head: share},
        "cka": {stage: linear CKA}}, each figure with its interval and n; stages that both networks have
    """
    out = {"js": {}, "equal_decisions": {}, "cka": {}}
    for name in (name for name in network.attributes if name in heads and name in oracle.attributes):
        ours, theirs = (part.logits[:, part.attributes.index(name)] for part in (network, oracle))
        out["js"][name] = mean_interval(bernoulli_js(expit(ours), expit(theirs)), resamples, seed)
        out["equal_decisions"][name] = mean_interval((ours > 0) == (theirs > 0), resamples, seed)
    for stage in (stage for stage in network.stages if stage in oracle.stages):
        out["cka"][stage] = cka_interval(network.stages[stage], oracle.stages[stage], seed)
    return out


def cka_interval(x, y, seed=0, groups=GROUPS):
    """Linear CKA with a 95 % interval by the delete-a-group jackknife: a thousand resamples of it would take minutes.

    Args: x (N, D), y (N, E) features of the same images
    Returns: {"value", "interval", "n"}; None where a network's features do not vary or N is under 2 images a group
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
    cells, test_cells = train_kept.astype(int) @ code, test_kept.astype(int) @ code
    size = 2 ** train_kept.shape[1]
    positives, images = np.bincount(cells, target, size), np.bincount(cells, minlength=size)
    return ((positives + target.mean()) / (images + 1))[test_cells]


def drop_head_logits(logits, column, base_rate):
    """Copy of (N, K) logits with one head replaced by its base rate: the forgetting that costs nothing."""
    out = np.array(logits)
    out[:, column] = logit(np.clip(base_rate, 1e-6, 1 - 1e-6))
    return out
