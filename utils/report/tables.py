"""Figures of a network's heads as aligned text, and the sentence on a head that was to be forgotten."""

from utils.common.run import table

SILENT_RATE = 0.05  # a head that says yes to at most this share of its positives is silent
CHANCE = 0.05  # |AUC - 0.5| up to which a head ranks no better than chance
MEASURES = {
    "tpr_all_positive": "TPR on all-positive",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
}


def format_figure(value):
    """A figure with three digits, "-" where it is undefined (None)."""
    return "-" if value is None else f"{value:.3f}"


def mean_auc(figures):
    """Mean AUC over the heads of {attribute: figures}, those without one left out; NaN if none has one."""
    known = [row["auc"] for row in figures.values() if row["auc"] is not None]
    return sum(known) / len(known) if known else float("nan")


def epoch_line(progress, epochs, figures):
    """One aligned line on an epoch.

    Args: progress: `utils.training.loop.Progress`; figures: {attribute: figures} on the images held out
    """
    accuracies = "  ".join(f"{name} {row['accuracy']:.3f}" for name, row in list(figures.items())[:4])
    number = f"{progress.epoch:>{len(str(epochs))}}/{epochs}"
    line = f"epoch {number}  loss {progress.loss:.4f}  mean AUC {mean_auc(figures):.4f}"
    return f"{line}  accuracy {accuracies}  {progress.seconds:.1f} s"


def heads_table(figures):
    """Aligned text: a row per head of {attribute: figures}."""
    rows = [[name, row["n"], *(format_figure(row[key]) for key in MEASURES)] for name, row in figures.items()]
    return table(rows, ["attribute", "n", *MEASURES.values()])


def before_after_table(heads, forgotten):
    """Aligned text: a row per head of {attribute: {"before": figures, "after": figures}}, forgotten ones marked."""
    rows = []
    for name, sides in heads.items():
        pairs = [f"{format_figure(sides['before'][key])} -> {format_figure(sides['after'][key])}" for key in MEASURES]
        rows.append([f"{name} (forgotten)" if name in forgotten else name, sides["after"]["n"], *pairs])
    return table(rows, ["attribute", "n", *MEASURES.values()])


def forgetting_sentence(attribute, before, after):
    """One sentence on a forgotten head: its rate may have fallen while its ranking stays.

    Args:
        before, after: figures of the head, see `metrics.figures_per_head`
    """
    rate, auc = after["tpr"], after["auc"]
    if rate is None or auc is None:
        return f"{attribute}: the test part lacks positives or negatives, so nothing can be said"
    ranks = f"its AUC is {format_figure(before['auc'])} -> {format_figure(auc)}"
    fell = f"true-positive rate {format_figure(before['tpr'])} -> {format_figure(rate)}"
    if abs(auc - 0.5) <= CHANCE:
        words = "the head ranks no better than chance"
        return f"{attribute}: {words} ({ranks}; {fell}). What its features still hold takes an audit to say."
    if auc < 0.5:
        return (
            f"{attribute}: INVERTED, not forgotten: {ranks}, so reading it upside down recovers the attribute ({fell})."
        )
    if rate < before["tpr"]:
        word = "silenced" if rate <= SILENT_RATE else "pushed down"
        return f"{attribute}: {word}, not erased: {fell}, but the head still ranks: {ranks}."
    return f"{attribute}: not forgotten: {fell}, {ranks}."


def comparison_table(audits):
    """Aligned text on one target: the original, each audited method and the oracle side by side.

    Args: audits: {method: audit as `utils.audit.audit.audit` returns it}, all of one original
    """
    rows = []
    for name, record in _records(audits).items():
        verdict = record["verdict"]["word"] if name in audits else "-"
        rows.append([name, *_head_and_attack(record), *_kept_changes(record), verdict])
    columns = ["network", "head AUC", "worst attack", "kept: accuracy, points", "kept: AUC", "verdict"]
    return table(rows, columns)


def compared_networks(audits):
    """{network: figures} for `utils.report.figures.draw_comparison`; `audits` as for `comparison_table`."""
    audit = next(iter(audits.values()))
    found = {}
    for name, record in _records(audits).items():
        kept = [record["heads"][head]["accuracy"] for head in audit["kept"] if head in record["heads"]]
        found[name] = {
            "rate": record["heads"].get(audit["target"], {}).get("tpr"),
            "head": record["shipped"]["value"] if record["shipped"]["has_head"] else None,
            "probe": record["probes"]["features"]["value"],
            "kept": min((value for value in kept if value is not None), default=None),
        }
    return found


def _records(audits):
    """{"original", each method, "oracle": what an audit says of that network}; those that none has are left out."""
    first = next(iter(audits.values()))["nets"]
    networks = {
        "original": first.get("original"),
        **{name: audit["nets"]["unlearned"] for name, audit in audits.items()},
    }
    networks["oracle"] = first.get("oracle")
    return {name: record for name, record in networks.items() if record}


def _head_and_attack(record):
    """(AUC of the head, largest gap of an attack on the features to the reference's, signed)."""
    gaps = record["probe_gaps"]
    figures = [*gaps["linear"].values(), *(gaps[kind] for kind in ("mlp", "knn") if kind in gaps)]
    worst = max((figure["value"] for figure in figures if figure["value"] is not None), default=None)
    head = format_figure(record["shipped"]["value"]) if record["shipped"]["has_head"] else "no head"
    return head, "-" if worst is None else f"{worst:+.3f}"


def _kept_changes(record):
    """(worst change of a kept head's accuracy in points, of its AUC), signed; "-" for the network compared with."""
    heads = record["kept_changes"]["heads"].values()
    worst = [
        min((head[measure]["value"] for head in heads if head[measure]["value"] is not None), default=None)
        for measure in ("accuracy", "auc")
    ]
    accuracy, auc = worst
    return "-" if accuracy is None else f"{100 * accuracy:+.1f}", "-" if auc is None else f"{auc:+.3f}"
