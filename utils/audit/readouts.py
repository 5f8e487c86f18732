"""All read-outs of one net on one forgotten attribute, from one pass over the images."""

from dataclasses import dataclass, field, replace

import numpy as np

from utils.audit.features import LAST, Features, extract_features
from utils.audit.membership import membership_attack
from utils.audit.probes import knn_scores, linear_scores, mlp_scores
from utils.audit.relearning import area_between, curve_figures, head_curve, plan_draws, whole_net_curve
from utils.evaluation.bootstrap import auc_contrast, auc_interval, bootstrap_intervals
from utils.evaluation.metrics import figures_per_head, roc_points


@dataclass
class Reading:
    """What one net answered: raw scores that later comparisons pair up, and the JSON-ready `record`.

    Attributes: `train` and `test` Features; `probes` {stage: (M,) scores or None}; `beside` {"mlp", "knn": the same};
    `curves` {"head", "whole_net": relearning curves}
    """

    train: Features
    test: Features
    probes: dict = field(default_factory=dict)
    beside: dict = field(default_factory=dict)
    curves: dict = field(default_factory=dict)
    record: dict = field(default_factory=dict)

    def target_logits(self, target):
        """(train, test) logits of the target's head; None if the net has no such head."""
        if target not in self.test.attributes:
            return None
        column = self.test.attributes.index(target)
        return self.train.logits[:, column], self.test.logits[:, column]


def read_net(name, model, question, *, stages=None, watch, progress=True, step=lambda what: None):
    """Everything that one net can be asked by itself.

    Args:
        watch: `utils.common.run.Stopwatch`, gets the seconds of each part
        step: called with the name of each part as it begins
    Returns: Reading
    """
    q = question
    step("features")
    with watch("features"):
        how = {"stages": stages, "batch_size": q.batch_size, "device": q.device, "progress": progress}
        parts = [
            extract_features(model, q.data, rows, label=f"features of {name}", **how) for rows in (q.train, q.test)
        ]
    reading = Reading(*parts)
    step("probes")
    with watch("probes"):
        read_probes(reading, q)
    step("relearning")
    with watch("relearning, head"):
        plan = plan_draws(q.y_train, q.level.sizes, q.level.draws, q.seed)
        train, test = (part.stages[LAST] for part in (reading.train, reading.test))
        reading.curves["head"] = head_curve(train, q.y_train, test, plan)
    with watch("relearning, whole net"):
        plan = plan_draws(q.y_train, q.level.whole_net_sizes, q.level.draws, q.seed, q.level.one_draw_above)
        reading.curves["whole_net"] = whole_net_curve(
            model, q.data, reading.train, q.y_train, q.test, plan, device=q.device, seed=q.seed, progress=progress
        )
    with watch("intervals"):
        reading.record["relearning"] = {
            kind: {"curve": curve_figures(curve, q.y_test, q.resamples, q.seed)}
            for kind, curve in reading.curves.items()
        }
    step("head")
    read_head(reading, q, watch)
    return reading


def read_probes(reading, question):
    """Fit the probes of a reading, and write their figures to its record."""
    q, record, strengths = question, {}, {}
    for stage in reversed(reading.test.stages):  # the last features first: a last stage is often the same numbers
        train, test = reading.train.stages[stage], reading.test.stages[stage]
        last = reading.test.stages[LAST]
        if stage != LAST and test.shape == last.shape and np.allclose(test, last, atol=1e-5):
            reading.probes[stage], strengths[stage] = reading.probes[LAST], strengths[LAST]
        else:
            reading.probes[stage], strengths[stage] = linear_scores(train, q.y_train, test, q.seed)
    reading.probes = {stage: reading.probes[stage] for stage in reading.test.stages}
    for stage, scores in reading.probes.items():
        record[stage] = score_figure(scores, q) | {"C": strengths[stage]}
    if reading.probes[LAST] is not None:
        record[LAST]["roc"] = roc_points(reading.probes[LAST], q.y_test)
    train, test = reading.train.stages[LAST], reading.test.stages[LAST]
    reading.beside = {
        "mlp": mlp_scores(train, q.y_train, test, q.seed),
        "knn": knn_scores(train, q.y_train, test),
    }
    reading.record["probes"] = record
    reading.record |= {kind: score_figure(scores, q) for kind, scores in reading.beside.items()}


def read_head(reading, question, watch):
    """Figures of every head, of the target's head and of the attack on its labels, written to the record."""
    q, record = question, reading.record
    names = reading.test.attributes
    labels, everywhere = q.test_labels[:, q.columns(names)], q.test_labels.all(1)
    with watch("intervals"):
        record["heads"] = figures_per_head(reading.test.logits, labels, names, everywhere)
        intervals = bootstrap_intervals(reading.test.logits, labels, names, everywhere, q.resamples, q.seed)
        for head, figures in record["heads"].items():
            figures["intervals"] = intervals[head]
        logits = reading.target_logits(q.target)
        if logits is None:  # nothing to rank with: a constant, as if the head were dropped
            counts = {"n": len(q.y_test), "n_positive": int(q.y_test.sum())}
            record["shipped"] = {"value": 0.5, "interval": [0.5, 0.5], **counts, "has_head": False, "roc": None}
        else:
            record["shipped"] = score_figure(logits[1], q) | {"has_head": True, "roc": roc_points(logits[1], q.y_test)}
    with watch("membership"):
        record["membership"] = None  # a net without the head never saw the labels; images in both parts are no others
        if logits is not None and not np.isin(q.train, q.test).any():
            record["membership"] = membership_attack(logits[0], q.y_train, logits[1], q.y_test, q.seed, q.resamples)


def score_figure(scores, question):
    """{"value", "interval", "n", "n_positive"} of the AUC of (M,) scores; value None if there are no scores."""
    y = question.y_test
    if scores is None:
        return {"value": None, "interval": None, "n": len(y), "n_positive": int(y.sum())}
    return auc_interval(scores, y, question.resamples, question.seed)


def gap_figure(scores, reference, question):
    """`score_figure` of the difference of two AUCs on the same images, paired."""
    if scores is None or reference is None:
        return score_figure(None, question)
    return auc_contrast([scores, reference], [1.0, -1.0], question.y_test, question.resamples, question.seed)


def probe_gaps(reading, reference, question):
    """({stage: gap}, {"mlp", "knn": gap}) of a net's probes to a reference's, at the stages that both have."""
    stages = [stage for stage in reading.probes if stage in reference.probes]
    return (
        {stage: gap_figure(reading.probes[stage], reference.probes[stage], question) for stage in stages},
        {kind: gap_figure(reading.beside[kind], reference.beside[kind], question) for kind in reading.beside},
    )


def curve_areas(reading, oracle, question):
    """{"head", "whole_net": area between the relearning curve and the oracle's}."""
    q = question
    return {
        kind: area_between(curve, oracle.curves[kind], q.y_test, q.resamples, q.seed)
        for kind, curve in reading.curves.items()
    }


def with_logits(reading, train_logits, test_logits, question, watch):
    """The same net with other logits: its features, probes and relearning stay, its heads are read anew."""
    changed = replace(
        reading,
        train=replace(reading.train, logits=train_logits),
        test=replace(reading.test, logits=test_logits),
        record=dict(reading.record),
    )
    read_head(changed, question, watch)
    return changed
