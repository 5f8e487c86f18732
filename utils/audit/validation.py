"""One network judged on validation rows: what is forgotten, what is kept, and the word of the verdict.

The read-outs are those of an audit that a choice among settings needs: the target's head, the probes of every stage
and the kept heads. Relearning and membership are left to the audit of the setting chosen.
"""

from dataclasses import asdict, dataclass

import numpy as np

from utils.audit.comparison import probe_gaps
from utils.audit.features import extract_features
from utils.audit.probes import one_thread
from utils.audit.readouts import NetworkReadouts, read_out_probes, score_figure
from utils.audit.setup import LEVELS, AuditSetup, balanced_subset
from utils.audit.verdict import ALLOWED_LOSS, AUC_TOLERANCE, PROBE_TOLERANCE, decide
from utils.common.errors import InputError
from utils.evaluation.bootstrap import paired_changes
from utils.evaluation.metrics import figures_per_head

SHARE = 0.2  # of the training part, held out
_STREAM = 9  # of random numbers
_RATES = {
    "tpr_all_positive": ("n_all_positive", "true-positive rate on all-positive images"),
    "tpr": ("n_positive", "true-positive rate"),
}


@dataclass(frozen=True)
class Ruler:
    """What every setting is measured against.

    questions: {target: AuditSetup} whose "test" images are the validation rows; references: {target: NetworkReadouts}
    kind: "oracle" or "random", what the references are; logits: (M, K) of the original; before: {head: its figures}
    """

    questions: dict
    references: dict
    kind: str
    logits: np.ndarray
    before: dict


def validation_rows(data, targets, share=SHARE, seed=0):
    """(rows to learn from, validation rows), both sorted; the test part is in neither.

    A split with a validation part gives that, and the whole training part to learn from. Otherwise `share` of the
    training rows is held out by `seed`, of each combination of target labels alike.

    Raises: InputError if one of the two sides would lack a class of a target
    """
    train, columns = data.rows("train"), [data.attributes.index(target) for target in targets]
    if len(data.rows("valid")):
        fit, held = train, data.rows("valid")
    else:
        code = data.labels[train][:, columns].astype(int) @ 2 ** np.arange(len(columns))
        generator, drawn = np.random.default_rng([seed, _STREAM]), []
        for value in np.unique(code):
            pool = train[code == value]
            drawn.append(generator.choice(pool, round(share * len(pool)), replace=False))
        held = np.sort(np.concatenate(drawn))
        fit = np.setdiff1d(train, held)
    for target, column in zip(targets, columns, strict=True):
        for rows in (fit, held):
            if len(np.unique(data.labels[rows, column])) < 2:
                raise InputError(
                    f"too few training images with and without {target} to hold some out: "
                    "use more images, or --strength with a number and no --frontier"
                )
    return fit, held


def make_ruler(original, reference, kind, data, targets, fit, held, *, seed=0, stages=None, progress=True, **how):
    """Run the original and the reference once, and keep what settings are compared with.

    Args: kind: "oracle" or "random"; how: `device`, `batch_size` and `resamples` of `utils.audit.setup.AuditSetup`
    """
    questions, references = {}, {}
    for target in targets:
        labels = data.labels[fit, data.attributes.index(target)]
        rows = fit[balanced_subset(labels, LEVELS["quick"].train_rows, seed)]
        labels = data.labels[rows], data.labels[held]
        questions[target] = AuditSetup(data, target, rows, held, *labels, LEVELS["quick"], seed, **how)
        references[target] = read(reference, questions[target], stages, progress)
    q = questions[targets[0]]
    how = {"batch_size": q.batch_size, "device": q.device, "progress": progress, "label": "original"}
    seen = extract_features(original, data, held, stages=(), **how)
    before = figures_per_head(seen.logits, q.test_labels[:, q.columns(seen.attributes)], seen.attributes)
    return Ruler(questions, references, kind, seen.logits, before)


def read(model, question, stages=None, progress=True):
    """`utils.audit.readouts.NetworkReadouts` of a network with its probes fitted, nothing else."""
    how = {"stages": stages, "batch_size": question.batch_size, "device": question.device, "progress": progress}
    reading = NetworkReadouts(
        *(extract_features(model, question.data, rows, **how) for rows in (question.train, question.test))
    )
    with one_thread():
        read_out_probes(reading, question)
    return reading


def measure(model, ruler, stages=None, progress=True):
    """All figures of one network on the validation rows.

    Returns: {"targets": {target: {"head_auc", "probes", "gaps", "verdict"}}, "kept": changes of the kept heads since
        the original, and the worst of them: "head_distance" |AUC - 0.5|, "worst_gap", "kept_loss" (of AUC or
        accuracy, a fraction, below 0 for a gain), and "excess", see `excess`}
    """
    found, kept = {}, None
    for target, question in ruler.questions.items():
        reading = read(model, question, stages, progress)
        kept = _kept_changes(reading, ruler) if kept is None else kept
        found[target] = _of_target(reading, ruler, target, kept)
    losses = [-figure["value"] for head in kept.values() for figure in head.values() if figure["value"] is not None]
    gaps = [figure["value"] for one in found.values() for figure in one["gaps"].values()]
    heads = [one["head_auc"]["value"] for one in found.values()]
    point = {"targets": found, "kept": kept, "kept_loss": max(losses, default=None)}
    point["worst_gap"] = None if None in gaps else max(gaps)
    point["head_distance"] = None if None in heads else max(abs(value - 0.5) for value in heads)
    return point | {"excess": excess(point)}


def _kept_changes(reading, ruler):
    question = next(iter(ruler.questions.values()))
    heads = [head for head in reading.test.attributes if head not in ruler.questions]
    places = [reading.test.attributes.index(head) for head in heads]
    labels = question.test_labels[:, question.columns(heads)]
    before, after = ruler.logits[:, places], reading.test.logits[:, places]
    return paired_changes(before, after, labels, heads, question.resamples, question.seed)


def _of_target(reading, ruler, target, kept):
    """Figures of one target, and the word that `utils.audit.verdict` gives for them."""
    question, names = ruler.questions[target], reading.test.attributes
    logits = reading.test.logits
    gaps, beside = probe_gaps(reading, ruler.references[target], question)
    now, first = figures_per_head(logits, question.test_labels[:, question.columns(names)], names)[target], ruler.before
    rates = [
        {"name": words, "before": first[target][key], "after": now[key], "n": now[count]}
        for key, (count, words) in _RATES.items()
        if now[key] is not None
    ]
    head = score_figure(logits[:, names.index(target)], question)
    probes = {s: {k: figure[k] for k in ("value", "interval")} for s, figure in reading.record["probes"].items()}
    shown = {"auc": head, "rates": rates, "probes": probes, "gaps": gaps, "other_gaps": beside, "kept": kept}
    verdict = decide(**shown, reference=ruler.kind)
    words = {name: value for name, value in asdict(verdict).items() if name != "numbers"}
    return {"head_auc": head, "probes": probes, "gaps": gaps, "verdict": words}


def excess(point):
    """How far a setting is from what counts as erased: 0 if nothing is beyond its allowance, None if undefined.

    The head's distance from chance, the worst gap and the worst kept loss, each by what lies above its allowance
    (`utils.audit.verdict`: 0.05, 0.02, 0.005), in units of that allowance, are added. Intervals are not asked.
    """
    allowed = {"head_distance": AUC_TOLERANCE, "worst_gap": PROBE_TOLERANCE, "kept_loss": max(ALLOWED_LOSS.values())}
    if any(point[name] is None for name in allowed):
        return None
    return sum(max(0.0, point[name] / most - 1) for name, most in allowed.items())
