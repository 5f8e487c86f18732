"""Figures of a network's heads as aligned text, what of an audit goes into tables, and the sentence on a head."""

import math

from utils.common.run import table
from utils.evaluation.metrics import mean_auc

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


def format_gap(gap):
    """A difference of AUCs {"value", "interval"}, signed, with its interval; "-" where it is undefined."""
    if gap["value"] is None:
        return "-"
    interval = gap.get("interval")
    return f"{gap['value']:+.3f}" + (f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else "")


def found_in(record):
    """[(attack, place)] of the attacks that found the target in a network of an audit, beyond chance.

    Args: record: of one network, as `utils.audit.audit.audit` returns it
    """
    return [(pair["attack"], pair["place"]) for pair in record["verdict"]["numbers"].get("found", ())]


def worst_places(record):
    """{attack: place} where each attack finds most beyond the reference, of the places that are clear if there are any.

    Args: record: of one network, as `utils.audit.audit.audit` returns it; without a reference the highest AUC counts
    """
    found, worst = found_in(record), {}
    for attack, places in (record["gaps"]["attacks"] or record["attacks"]).items():
        known = {place: figure["value"] for place, figure in places.items() if figure["value"] is not None}
        clear = {place: value for place, value in known.items() if (attack, place) in found} or known
        worst |= {attack: max(clear, key=clear.get)} if clear else {}
    return worst


def worst_change(changes, measure):
    """(change, head) of the kept head that lost most of a measure; None where none has it.

    Args: changes: {head: {measure: figure}}; measure: "accuracy" or "auc"
    """
    known = [(change[measure]["value"], head) for head, change in changes.items()]
    return min((pair for pair in known if pair[0] is not None), default=None)


def epoch_line(progress, epochs, figures):
    """One aligned line on an epoch.

    Args: progress: `utils.training.loop.Progress`; figures: {attribute: figures} on the images held out
    """
    accuracies = "  ".join(f"{name} {row['accuracy']:.3f}" for name, row in list(figures.items())[:4])
    number = f"{progress.epoch:>{len(str(epochs))}}/{epochs}"
    auc = mean_auc(figures)
    line = f"epoch {number}  loss {progress.loss:.4f}  mean AUC {'-' if math.isnan(auc) else format(auc, '.4f')}"
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


def forgetting_sentence(attribute, before, after, audited=False):
    """One sentence on a forgotten head: its rate may have fallen while its ranking stays.

    Args:
        before, after: figures of the head, see `metrics.figures_per_head`
        audited: an audit says what the features still hold
    """
    rate, auc = after["tpr"], after["auc"]
    if rate is None or auc is None:
        return f"{attribute}: the test part lacks positives or negatives, so nothing can be said"
    ranks = f"its AUC is {format_figure(before['auc'])} -> {format_figure(auc)}"
    fell = f"true-positive rate {format_figure(before['tpr'])} -> {format_figure(rate)}"
    if abs(auc - 0.5) <= CHANCE:
        words = "the head ranks no better than chance"
        more = "" if audited else " What its features still hold takes an audit to say."
        return f"{attribute}: {words} ({ranks}; {fell}).{more}"
    if auc < 0.5:
        return (
            f"{attribute}: INVERTED, not forgotten: {ranks}, so reading it upside down recovers the attribute ({fell})."
        )
    if rate < before["tpr"]:
        word = "silenced" if rate <= SILENT_RATE else "pushed down"
        return f"{attribute}: {word}, not erased: {fell}, but the head still ranks: {ranks}."
    return f"{attribute}: not forgotten: {fell}, {ranks}."
