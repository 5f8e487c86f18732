"""All read-outs of one network on one forgotten attribute, from one pass over the images."""

from dataclasses import dataclass, field

import numpy as np

from utils.attacks.membership import membership_attack
from utils.attacks.relearning import curve_figures
from utils.evaluation.bootstrap import auc_interval, bootstrap_intervals
from utils.evaluation.metrics import figures_per_head, roc_points
from utils.evaluation.placements import place
from utils.network.modes import exact_float32
from utils.probes.attack import Subject
from utils.probes.features import extract_features
from utils.probes.fitting import one_thread


@dataclass
class NetworkReadouts:
    """What an audit measures on one network.

    subject: the network and its features; found: {attack: {place: `Placements`, None where it was not fitted}};
    record: the figures, JSON-ready
    """

    subject: Subject
    found: dict = field(default_factory=dict)
    record: dict = field(default_factory=dict)


def open_subject(name, model, setup, *, stages=None, progress=True):
    """`Subject` of a network: one pass over the training images, one over the test images.

    Args: stages: module names to attack; the network's `default_stages` if not given; progress: show bars
    Raises: as `utils.probes.features.extract_features`
    """
    options = {"stages": stages, "batch_size": setup.batch_size, "device": setup.device, "progress": progress}
    options |= {"label": f"features of {name}", "maps": True}
    parts = [extract_features(model, setup.data, rows, **options) for rows in (setup.train, setup.test)]
    return Subject(name, model, *parts, setup)


def read_out_network(subject, attacks, watch):
    """Every read-out that needs no second network but for the attacks that use the original.

    Args: attacks: [`Attack`]; watch: `utils.common.run.Stopwatch`, gets the seconds of each part
    Returns: NetworkReadouts
    Raises: as `run_attacks`
    """
    readouts = NetworkReadouts(subject, run_attacks(subject, attacks, watch))
    readouts.record["attacks"] = figures_of(readouts.found, subject.setup)
    with watch("curves"), one_thread():
        _record_curves(readouts)
    with watch("heads"):
        read_out_heads(readouts)
    with watch("membership"), one_thread():
        read_out_membership(readouts)
    return readouts


def run_attacks(subject, attacks, watch):
    """{attack: {place: `Placements`, or None}} of some attacks on a Subject.

    Args: attacks: [`Attack`]; watch: `utils.common.run.Stopwatch`, gets the seconds of each
    Raises: ValueError if an attack gives scores that are not finite, or not one for each test image
    """
    found = {}
    for attack in attacks:
        with watch(attack.name), one_thread(), exact_float32():
            scores = attack.run(subject)
        found[attack.name] = {
            where: None if values is None else place(_checked(values, attack, where, subject), subject.setup.y_test)
            for where, values in scores.items()
        }
    return found


def _checked(scores, attack, where, subject):
    scores, images = np.asarray(scores), len(subject.setup.test)
    if scores.ndim not in (1, 2) or scores.shape[-1] != images or not np.isfinite(scores).all():
        text = f"attack {attack.name!r} on {subject.name}, {where}: scores {scores.shape} for {images} test images"
        raise ValueError(f"{text}: they must be (M,) or (D, M) and finite")
    return scores


def figures_of(found, setup):
    """{attack: {place: figure}} of {attack: {place: `Placements` or None}}."""
    nothing = score_figure(None, setup)
    return {
        attack: {where: nothing if placed is None else placed.figure() for where, placed in places.items()}
        for attack, places in found.items()
    }


def _record_curves(readouts):
    """Relearning curves as numbers, by the head alone and, where it was run, by the whole network."""
    setup, curves = readouts.subject.setup, {"head": [], "whole_net": [], **readouts.subject.curves}
    readouts.record["relearning"] = {
        kind: {"curve": curve_figures(curve, setup.y_test, setup.resamples, setup.seed)}
        for kind, curve in curves.items()
    }


def read_out_heads(readouts):
    """Figures of every head, with intervals, and of the target's as it was shipped, go into `readouts.record`."""
    record, setup, test = readouts.record, readouts.subject.setup, readouts.subject.test
    labels, all_positive = setup.test_labels[:, setup.columns(test.attributes)], setup.test_labels.all(1)
    scored = test.logits, labels, test.attributes, all_positive
    record["heads"] = figures_per_head(*scored)
    for head, intervals in bootstrap_intervals(*scored, setup.resamples, setup.seed).items():
        record["heads"][head]["intervals"] = intervals
    if setup.target in test.attributes:
        scores = test.logits[:, test.attributes.index(setup.target)]
        record["shipped"] = score_figure(scores, setup) | {"has_head": True, "roc": roc_points(scores, setup.y_test)}
    else:  # nothing to rank with: a constant, as if the head were dropped
        chance = {"value": 0.5, "interval": [0.5, 0.5], "has_head": False, "roc": None}
        record["shipped"] = score_figure(None, setup) | chance


def read_out_membership(readouts):
    """Figure of the attack on the target's labels goes into `readouts.record`; None if there is nothing to attack."""
    subject, setup, figure = readouts.subject, readouts.subject.setup, None
    names = subject.test.attributes
    # a network without the head never saw the labels, and images in both parts are no others
    if setup.target in names and not np.isin(setup.train, setup.test).any():
        train, test = (part.logits[:, names.index(setup.target)] for part in (subject.train, subject.test))
        figure = membership_attack(train, setup.y_train, test, setup.y_test, setup.seed, setup.resamples)
    readouts.record["membership"] = figure


def score_figure(scores, setup):
    """{"value", "interval", "n", "n_positive"} of the AUC of (M,) scores; value None if there are no scores."""
    y = setup.y_test
    if scores is None:
        return {"value": None, "interval": None, "n": len(y), "n_positive": int(y.sum())}
    return auc_interval(scores, y, setup.resamples, setup.seed)
