"""One network measured on validation rows: what is forgotten, what is kept, and the word of the verdict.

The read-outs are those of an audit that a choice among strengths needs: the target's head, the attacks that cost least
and the kept heads. The other attacks are left to the audit of the strength chosen.
"""

import copy
from dataclasses import asdict, dataclass, replace
from functools import partial

from utils.audit.comparison import kept_changes
from utils.audit.gaps import attack_gaps, one_sided
from utils.audit.readouts import figures_of, open_subject, run_attacks, score_figure
from utils.audit.verdict import decide, head_rates, knows_target
from utils.common.run import Stopwatch
from utils.erasure.erasure import erase
from utils.erasure.strength import choose_strength, sweep_strengths, validation_rows
from utils.evaluation.metrics import figures_per_head
from utils.network.modes import evaluating
from utils.probes.features import Features
from utils.probes.linear import LINEAR
from utils.probes.quadratic import QUADRATIC
from utils.probes.setup import LEVELS, AuditSetup, balanced_subset
from utils.probes.unpooled import UNPOOLED

CHEAP = (LINEAR, UNPOOLED, QUADRATIC)


@dataclass(frozen=True)
class ValidationReference:
    """What every strength is measured against.

    setups: {target: `AuditSetup` whose "test" images are the M validation rows}
    found: {target: what `CHEAP` attacks find in the reference network}; kind: "oracle" or "random", what it is
    known: {target: whether the original knows it}
    original: `Features` of the original on those rows; options: of `utils.audit.readouts.open_subject`
    """

    setups: dict
    found: dict
    kind: str
    known: dict
    original: Features
    options: dict


def make_validation_reference(networks, data, targets, rows, *, seed=0, stages=None, progress=True, **how):
    """Run the original and the reference network once, and keep what strengths are compared with.

    Args:
        networks: {"original", and "oracle" or else "random"}
        rows: (rows that attacks are fitted on, validation rows), as of `utils.erasure.strength.validation_rows`
        stages: module names to attack; how: `device`, `batch_size` and `resamples` of `AuditSetup`
    Returns: ValidationReference
    Raises: InputError if a network's outputs are not finite
    """
    (learning, held_out), setups, found, known = rows, {}, {}, {}
    kind = "oracle" if "oracle" in networks else "random"
    options = {"stages": stages, "progress": progress}
    for target in targets:
        labels = data.labels[learning, data.attributes.index(target)]
        fitted = learning[balanced_subset(labels, LEVELS["quick"].train_rows, seed)]
        labels = data.labels[fitted], data.labels[held_out]
        setups[target] = AuditSetup(data, target, fitted, held_out, *labels, LEVELS["quick"], seed, **how)
        found[target] = _attack(networks[kind], setups[target], options)[0]
        before, subject = _attack(networks["original"], setups[target], options)
        gaps = attack_gaps(before, found[target], None, setups[target])
        known[target] = knows_target(_head_figure(subject, setups[target]), gaps)
    return ValidationReference(setups, found, kind, known, subject.test, options)


def _attack(model, setup, options):
    """({attack: {place: `Placements`}} of the cheap attacks, the `Subject`) of a network, its maps let go of."""
    with evaluating(model):
        subject = open_subject("network", model, setup, **options)
        found = run_attacks(subject, CHEAP, Stopwatch(setup.device))
    subject.train.maps.clear(), subject.test.maps.clear()
    return found, subject


def _head_figure(subject, setup):
    return score_figure(subject.test.logits[:, subject.test.attributes.index(setup.target)], setup)


def measure(model, reference):
    """All figures of one network on the validation rows.

    Args: reference: `ValidationReference`
    Returns: {"targets": {target: {"head_auc", "gaps", "verdict"}}, "kept": changes of the kept heads since the
        original, and the worst of them: "head_distance" |AUC - 0.5|, "worst_gap" of an attack, "kept_loss" (of AUC or
        accuracy, a fraction, below 0 for a gain)}, JSON-ready
    Raises: InputError if the network's outputs are not finite
    """
    targets, kept = {}, None
    for target, setup in reference.setups.items():
        found, subject = _attack(model, setup, reference.options)
        heads = [head for head in subject.test.attributes if head not in reference.setups]
        kept = kept_changes(reference.original, subject.test, heads, setup) if kept is None else kept
        targets[target] = _measure_target(found, subject, reference, target, kept)
    losses = [-figure["value"] for head in kept.values() for figure in head.values() if figure["value"] is not None]
    gaps = [gap["value"] for one in targets.values() for places in one["gaps"].values() for gap in places.values()]
    gaps = [value for value in gaps if value is not None]
    heads = [one["head_auc"]["value"] for one in targets.values()]
    point = {"targets": targets, "kept": kept, "kept_loss": max(losses, default=None)}
    point["worst_gap"] = max(gaps, default=None)
    point["head_distance"] = None if None in heads else max(abs(value - 0.5) for value in heads)
    return point


def _measure_target(found, subject, reference, target, kept):
    """Figures of one target, and the word that `utils.audit.verdict` gives for them."""
    setup, names, logits = reference.setups[target], subject.test.attributes, subject.test.logits
    gaps = attack_gaps(found, reference.found[target], None, setup)
    labels = setup.test_labels[:, setup.columns(names)]
    rates = head_rates(*(figures_per_head(some, labels, names)[target] for some in (reference.original.logits, logits)))
    head = _head_figure(subject, setup)
    figures = {"auc": head, "rates": rates, "attacks": figures_of(found, setup), "gaps": gaps, "kept": kept}
    about = {"target": target, "reference": reference.kind, "known": reference.known[target], "other_gaps": {}}
    about["one_sided"] = one_sided(found, reference.found[target])
    verdict = asdict(decide(**figures, **about))
    del verdict["numbers"]
    return {"head_auc": head, "gaps": gaps, "verdict": verdict}


def sweep_on_validation(networks, data, targets, settings, strengths=(), *, device="cpu", progress=True, **how):
    """Erase at several strengths, each time from a fresh copy of the original, and measure on validation rows.

    Args:
        networks: {"original": untouched network, and "oracle" or else "random"}, on `device`; they stay as they are
        data: `utils.datasets.dataset.ImageDataset` or what has its attributes, labels, rows and batches
        settings: `ErasureSettings`, its strength does not matter; strengths: numbers above 0, or none: `STRENGTHS`
        how: `stages`, `batch_size` and `resamples` of `make_validation_reference`
    Returns: {"targets", "reference", "validation": counts, "settings", "original": figures, "points": [figures with
        "strength" and "seconds" of the erasure], "chosen": a strength, "reached": whether it is ERASED}, JSON-ready
    Raises: InputError as `erase`, `validation_rows` and `choose_strength`
    """
    rows = validation_rows(data, targets, settings.seed)
    how = {"seed": settings.seed, "device": str(device), "progress": progress, **how}
    reference = make_validation_reference(networks, data, targets, rows, **how)

    def erase_at(strength):
        model = copy.deepcopy(networks["original"])
        changed = replace(settings, strength=strength)
        erase(model, data, targets, changed, rows=rows[0], device=device, progress=progress)
        return model

    measure_network = partial(measure, reference=reference)
    points = sweep_strengths(erase_at, measure_network, strengths, device=device, progress=progress)
    chosen, reached = choose_strength(points)
    return {
        "targets": list(targets),
        "reference": reference.kind,
        "validation": _count_rows(data, targets, *rows),
        "settings": {name: value for name, value in asdict(settings).items() if name != "strength"},
        "original": measure_network(networks["original"]),
        "points": points,
        "chosen": chosen["strength"],
        "reached": reached,
    }


def _count_rows(data, targets, learning, held_out):
    positives = {target: int(data.labels[held_out, data.attributes.index(target)].sum()) for target in targets}
    part = "valid" if len(data.rows("valid")) else "train"
    return {"part": part, "learnt_from": len(learning), "rows": len(held_out), "positives": positives}
