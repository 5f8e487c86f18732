"""The audit: every read-out for an original net, an unlearned one and what they are compared with, and the verdict.

The audit measures what these probes, attacks and draws find. What they do not find may still be there: nothing here
certifies that an attribute is gone.
"""

import dataclasses

import numpy as np
from tqdm import tqdm

from utils.audit.comparison import distance_to_oracle, drop_head_logits, kept_label_scores
from utils.audit.probes import one_thread
from utils.audit.readouts import curve_areas, probe_gaps, read_net, with_logits
from utils.audit.setup import set_up_audit
from utils.audit.verdict import decide
from utils.common.errors import InputError
from utils.common.run import Stopwatch, peak_rss_bytes
from utils.evaluation.bootstrap import auc_interval, paired_changes

#: the nets an audit knows, in the order in which they are read and shown
NETS = ("oracle", "original", "unlearned", "random")
DROP_HEAD = "drop_head"
_PARTS = 4  # of `read_net`


def audit(
    nets,
    data,
    target,
    *,
    forgotten=(),
    level="quick",
    seed=0,
    device="cpu",
    stages=None,
    batch_size=256,
    resamples=1000,
    progress=True,
):
    """All read-outs on one forgotten attribute, for every net at hand, and the verdict.

    Args:
        nets: {"unlearned": net, and any of "original", "oracle", "random"}, on `device`, their heads named among the
            data's attributes; the oracle usually has no head for the target. Without an original the kept heads are
            compared with the oracle's
        data: `utils.datasets.dataset.ImageDataset` or anything with its attributes, labels, everything and batches
        target: the forgotten attribute this audit is about; others that were forgotten as well go into `forgotten` too,
            so that they do not count as kept
        level: "quick" or "full", see `utils.audit.setup.LEVELS`
        stages: module names to probe; each net's `default_stages` if not given
    Returns: JSON-ready dictionary. Equal for equal arguments on the same machine, but for "timing"
    Raises: InputError for an unknown attribute, level or net, for heads that the data has no labels for, or a net whose
        outputs are not finite
    """
    question = set_up_audit(
        data, target, level=level, seed=seed, device=device, batch_size=batch_size, resamples=resamples
    )
    _check(nets, data)
    kept = [name for name in data.attributes if name != target and name not in forgotten]
    watch = Stopwatch(device)
    readings = {}
    names = [name for name in NETS if name in nets]
    bar = tqdm(total=_PARTS * len(names), desc="audit", unit="part", disable=None if progress else True)
    for name in names:

        def step(what, name=name):
            bar.set_postfix_str(f"{name}: {what}")
            bar.update()

        reading = read_net(name, nets[name], question, stages=stages, watch=watch, progress=progress, step=step)
        readings[name] = reading
        with watch("comparisons"), one_thread():
            _measure_distance(reading, readings.get("oracle"), kept, question)
        if name == "original" and target in reading.test.attributes:
            readings[DROP_HEAD] = _drop_head(reading, question, watch)
    bar.close()
    with watch("comparisons"), one_thread():
        for name, reading in readings.items():
            _compare(name, reading, readings, kept, question)
    return {
        "target": target,
        "attributes": list(data.attributes),
        "kept": kept,
        "level": {"name": level, **_listed(dataclasses.asdict(question.level))},
        "seed": seed,
        "resamples": resamples,
        "n": _counts(question),
        "stages": list(readings["unlearned"].probes),
        "nets": {name: reading.record for name, reading in readings.items()},
        "kept_labels": _kept_labels(question, kept),
        "verdict": readings["unlearned"].record["verdict"],
        "notes": _notes(nets, question),
        "timing": {"seconds": watch.seconds, "peak_rss_bytes": peak_rss_bytes()},
    }


def _check(nets, data):
    unknown = [name for name in nets if name not in NETS]
    if unknown or "unlearned" not in nets:
        raise InputError(f"an audit needs a net 'unlearned' and knows {', '.join(NETS)}: got {', '.join(nets)}")
    for name, net in nets.items():
        missing = [attribute for attribute in net.attributes if attribute not in data.attributes]
        if missing:
            raise InputError(f"the {name} net has heads without labels in the data opened: {', '.join(missing)}")


def _measure_distance(reading, oracle, kept, question):
    """Distance to the oracle, which was read first; then let go of the features, the largest thing here."""
    reading.record["distance"] = None
    if oracle and reading is not oracle:
        heads = [head for head in reading.test.attributes if head in kept]
        logits = reading.test.logits[:, [reading.test.attributes.index(head) for head in heads]]
        reading.record["distance"] = distance_to_oracle(
            logits, heads, reading.test.stages, oracle.test, question.resamples, question.seed
        )
        reading.test.stages.clear()
    reading.train.stages.clear()


def _drop_head(original, question, watch):
    column = original.test.attributes.index(question.target)
    train = question.data.rows("train")
    rate = question.data.labels[train, question.columns([question.target])].mean()
    logits = [drop_head_logits(part.logits, column, rate) for part in (original.train, original.test)]
    return with_logits(original, *logits, question, watch)


def _compare(name, reading, readings, kept, question):
    """Add to a net's record what takes another net to say: gaps, areas, changes of the kept heads, the verdict."""
    record, q = reading.record, question
    oracle = readings.get("oracle")
    reference = "oracle" if oracle else "random" if "random" in readings else None
    gaps, beside = probe_gaps(reading, readings[reference], q) if reference else ({}, {})
    record |= {"probe_gaps": {"reference": reference, "linear": gaps, **beside}}
    if oracle and reading is not oracle:
        areas = curve_areas(reading, oracle, q)
        record["relearning"] = {kind: part | {"area": areas[kind]} for kind, part in record["relearning"].items()}
    before = "original" if "original" in readings else "oracle" if oracle else None
    record["kept_changes"] = {"since": before, "heads": {}}
    if before not in (None, name):
        record["kept_changes"]["heads"] = _kept_changes(readings[before], reading, kept, q)
    verdict = decide(_deciding(reading, readings.get("original"), gaps, beside, reference, q))
    record["verdict"] = dataclasses.asdict(verdict)


def _kept_changes(before, after, kept, question):
    heads = [head for head in kept if head in before.test.attributes and head in after.test.attributes]
    logits = [part.test.logits[:, [part.test.attributes.index(head) for head in heads]] for part in (before, after)]
    labels = question.test_labels[:, question.columns(heads)]
    return paired_changes(*logits, labels, heads, question.resamples, question.seed)


def _deciding(reading, original, gaps, beside, reference, question):
    """The read-outs that `utils.audit.verdict.decide` asks for, out of a record."""
    record, target = reading.record, question.target
    figures = record["heads"].get(target)
    first = original.record["heads"].get(target) if original else None
    rates = []
    for key, n, words in (
        ("tpr_all_positive", "n_all_positive", "true-positive rate on all-positive images"),
        ("tpr", "n_positive", "true-positive rate"),
    ):
        if figures is not None and figures[key] is not None:
            rate = {"name": words, "before": first and first[key], "after": figures[key], "n": figures[n]}
            rates.append(rate)
    return {
        "auc": {key: record["shipped"][key] for key in ("value", "interval", "n", "n_positive")},
        "rates": rates,
        "probes": record["probes"],
        "gaps": gaps,
        "beside": beside,
        "reference": reference,
        "kept": record["kept_changes"]["heads"],
    }


def _kept_labels(question, kept):
    """The target from the true kept labels alone: AUC on test of what no method can go below."""
    data, train = question.data, question.data.rows("train")
    columns, column = question.columns(kept), question.columns([question.target])[0]
    scores = kept_label_scores(
        data.labels[train][:, columns], data.labels[train, column], question.test_labels[:, columns]
    )
    return auc_interval(scores, question.y_test, question.resamples, question.seed)


def _listed(record):
    """Tuples as the lists that JSON would make of them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in record.items()}


def _counts(question):
    return {
        "train": len(question.train),
        "train_positive": int(question.y_train.sum()),
        "train_part": len(question.data.rows("train")),
        "test": len(question.test),
        "test_positive": int(question.y_test.sum()),
        "test_all_positive": int(question.test_labels.all(1).sum()),
    }


def _notes(nets, question):
    """Sentences that the reader of the figures must know."""
    counts, notes = _counts(question), []
    if counts["train"] < counts["train_part"]:
        notes.append(
            f"probes and attacks were fitted on {counts['train']:,} of {counts['train_part']:,} training images"
        )
    both = 2 * min(counts["train_positive"], counts["train"] - counts["train_positive"])
    asked = max(question.level.sizes)
    if both < asked:
        notes.append(f"relearning stops at {both:,} images, not {asked:,}: the rarer class has no more")
    if np.isin(question.train, question.test).any():
        notes.append("training and test part share images, so figures are optimistic and membership was not attacked")
    if "oracle" not in nets:
        notes.append("no oracle: probes are compared with a random initialisation's, relearning with nothing")
    if "original" not in nets:
        notes.append("no original: kept heads are compared with the oracle's, and there is no drop-the-head baseline")
    return notes
