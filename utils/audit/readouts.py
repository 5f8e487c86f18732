"""All read-outs of one network on one forgotten attribute, from one pass over the images."""

from dataclasses import dataclass, field

import numpy as np

from utils.audit.features import LAST, Features, extract_features
from utils.audit.membership import membership_attack
from utils.audit.probes import knn_scores, linear_scores, mlp_scores
from utils.audit.relearning import curve_figures, fine_tuning_curve, head_curve, plan_draws
from utils.evaluation.bootstrap import auc_interval, bootstrap_intervals
from utils.evaluation.metrics import figures_per_head, roc_points


@dataclass
class NetworkReadouts:
    """What an audit measures on one network: scores of the M test images, and their figures.

    train, test: `Features`; probes: {stage: (M,) scores of the linear probe, or None}; other_probes: the same for
    "mlp" and "knn"; curves: {"head", "whole_net" of fine-tuning: relearning curve}; record: the figures, JSON-ready
    """

    train: Features
    test: Features
    probes: dict = field(default_factory=dict)
    other_probes: dict = field(default_factory=dict)
    curves: dict = field(default_factory=dict)
    record: dict = field(default_factory=dict)


def read_out_network(name, model, setup, watch, *, stages=None, progress=True):
    """Every read-out that needs no second network.

    Args:
        name: of the network, for the progress bar; model: network with attribute heads
        setup: AuditSetup; watch: `utils.common.run.Stopwatch`, gets the seconds of each part
        stages: module names to probe; the network's `default_stages` if not given
    Returns: NetworkReadouts
    Raises: as `utils.audit.features.extract_features`
    """
    options = {"stages": stages, "batch_size": setup.batch_size, "device": setup.device, "progress": progress}
    options["label"] = f"features of {name}"
    with watch("features"):
        parts = [extract_features(model, setup.data, rows, **options) for rows in (setup.train, setup.test)]
    readouts = NetworkReadouts(*parts)
    with watch("probes"):
        read_out_probes(readouts, setup)
    with watch("relearning"):
        _read_out_relearning(model, readouts, setup, progress)
    with watch("heads"):
        read_out_heads(readouts, setup)
    with watch("membership"):
        read_out_membership(readouts, setup)
    return readouts


def read_out_probes(readouts, setup):
    """Fit the probes on the training images; their scores and figures on the test images go into `readouts`."""
    fitted = _linear_probes(readouts, setup)
    train, test = readouts.train.stages[LAST], readouts.test.stages[LAST]
    readouts.probes = {stage: fitted[stage][0] for stage in readouts.test.stages}
    readouts.other_probes = {
        "mlp": mlp_scores(train, setup.y_train, test, setup.seed),
        "knn": knn_scores(train, setup.y_train, test),
    }
    figures = {
        stage: score_figure(scores, setup) | {"C": fitted[stage][1]} for stage, scores in readouts.probes.items()
    }
    if readouts.probes[LAST] is not None:
        figures[LAST]["roc"] = roc_points(readouts.probes[LAST], setup.y_test)
    readouts.record["probes"] = figures
    readouts.record |= {kind: score_figure(scores, setup) for kind, scores in readouts.other_probes.items()}


def _linear_probes(readouts, setup):
    """{stage: ((M,) scores, C)}; the last features come first, as a last stage often holds the same numbers."""
    fitted, last = {}, readouts.test.stages[LAST]
    for stage in reversed(readouts.test.stages):
        train, test = readouts.train.stages[stage], readouts.test.stages[stage]
        if stage != LAST and test.shape == last.shape and np.allclose(test, last, atol=1e-5):
            fitted[stage] = fitted[LAST]
        else:
            fitted[stage] = linear_scores(train, setup.y_train, test, setup.seed)
    return fitted


def _read_out_relearning(model, readouts, setup, progress):
    """Relearning curves, by the head alone and, where the level has sizes for it, by the whole network."""
    y, level, seed = setup.y_train, setup.level, setup.seed
    plan = plan_draws(y, level.sizes, level.draws, seed)
    readouts.curves["head"] = head_curve(readouts.train.stages[LAST], y, readouts.test.stages[LAST], plan)
    plan = plan_draws(y, level.fine_tuning_sizes, level.draws, seed, level.one_draw_above)
    options = {"device": setup.device, "seed": seed, "progress": progress}
    curve = fine_tuning_curve(model, setup.data, readouts.train, y, setup.test, plan, **options)
    readouts.curves["whole_net"] = curve
    readouts.record["relearning"] = {
        kind: {"curve": curve_figures(curve, setup.y_test, setup.resamples, seed)}
        for kind, curve in readouts.curves.items()
    }


def read_out_heads(readouts, setup):
    """Figures of every head, with intervals, and of the target's as it was shipped, go into `readouts.record`."""
    record, names = readouts.record, readouts.test.attributes
    labels, all_positive = setup.test_labels[:, setup.columns(names)], setup.test_labels.all(1)
    scored = readouts.test.logits, labels, names, all_positive
    record["heads"] = figures_per_head(*scored)
    for head, intervals in bootstrap_intervals(*scored, setup.resamples, setup.seed).items():
        record["heads"][head]["intervals"] = intervals
    if setup.target in names:
        scores = readouts.test.logits[:, names.index(setup.target)]
        record["shipped"] = score_figure(scores, setup) | {"has_head": True, "roc": roc_points(scores, setup.y_test)}
    else:  # nothing to rank with: a constant, as if the head were dropped
        chance = {"value": 0.5, "interval": [0.5, 0.5], "has_head": False, "roc": None}
        record["shipped"] = score_figure(None, setup) | chance


def read_out_membership(readouts, setup):
    """Figure of the attack on the target's labels goes into `readouts.record`; None if there is nothing to attack."""
    names, figure = readouts.test.attributes, None
    # a network without the head never saw the labels, and images in both parts are no others
    if setup.target in names and not np.isin(setup.train, setup.test).any():
        train, test = (part.logits[:, names.index(setup.target)] for part in (readouts.train, readouts.test))
        figure = membership_attack(train, setup.y_train, test, setup.y_test, setup.seed, setup.resamples)
    readouts.record["membership"] = figure


def score_figure(scores, setup):
    """{"value", "interval", "n", "n_positive"} of the AUC of (M,) scores; value None if there are no scores."""
    y = setup.y_test
    if scores is None:
        return {"value": None, "interval": None, "n": len(y), "n_positive": int(y.sum())}
    return auc_interval(scores, y, setup.resamples, setup.seed)
