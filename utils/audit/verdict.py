"""The verdict: one word for what an unlearned network still knows, and the figures that decided it.

`decide` follows the table of rules in docs/AUDIT.md; the first that holds gives the word. Where an interval is too wide
to tell on which side of a threshold a figure is, the word is UNDECIDED: 29 positives among 1,250 test images leave
0.5 +- 0.11, but an AUC of 0.96 +- 0.03 is above 0.55 all the same.
"""

from dataclasses import dataclass, field

AUC_TOLERANCE = 0.05  # |AUC - 0.5| up to which a head is at chance
PROBE_TOLERANCE = 0.02  # AUC of a linear probe above the reference's
SILENT_RATE = 0.05  # true-positive rate up to which a head is silent
ALLOWED_LOSS = {"auc": 0.005, "accuracy": 0.005}  # of a kept head, fractions
RUINED = 10  # times the allowed loss
TOO_WIDE = 0.05  # half an interval that holds the threshold
RATES = {  # true-positive rate: (number of its images, its name)
    "tpr_all_positive": ("n_all_positive", "true-positive rate on all-positive images"),
    "tpr": ("n_positive", "true-positive rate"),
}

WORDS = ("ERASED", "SILENCED", "NOT FORGOTTEN", "INVERTED", "DAMAGED", "UNDECIDED")


@dataclass(frozen=True)
class Verdict:
    """A word, why, and the figures behind it.

    word: of `WORDS`; reason: one sentence; numbers: JSON-ready; qualifier: "" or "no oracle"
    """

    word: str
    reason: str
    numbers: dict = field(default_factory=dict)
    qualifier: str = ""

    def __post_init__(self):
        if self.word not in WORDS:
            raise ValueError(f"{self.word!r} is no verdict: choose among {', '.join(WORDS)}")

    def __str__(self):
        return f"{self.word}{f' ({self.qualifier})' if self.qualifier else ''}: {self.reason}"


def above(figure, threshold):
    """Whether a figure {"value", "interval"} is above a threshold; None if it is undefined or too wide to tell."""
    if figure["value"] is None:
        return None
    if figure.get("interval"):
        low, high = figure["interval"]
        if (high - low) / 2 > TOO_WIDE and low <= threshold <= high:
            return None
    return figure["value"] > threshold


def rate_figure(rate, n):
    """{"value", "interval"} of a rate seen on n images, Wilson's interval: 0 of 29 does not mean "never"."""
    if rate is None or not n:
        return {"value": None, "interval": None}
    z = 1.96
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * ((rate * (1 - rate) + z * z / (4 * n)) / n) ** 0.5 / (1 + z * z / n)
    return {"value": rate, "interval": [max(0.0, centre - half), min(1.0, centre + half)]}


def head_rates(before, after):
    """The true-positive rates of the target's head that `decide` takes.

    Args: before, after: `figures_per_head` of the head in the original and in this network; None: no such head
    Returns: [{"name", "before", "after", "n"}], without rates that are undefined after
    """
    return [
        {"name": name, "before": before and before[key], "after": after[key], "n": after[count]}
        for key, (count, name) in RATES.items()
        if after and after[key] is not None
    ]


def kept_losses(kept, times=1):
    """[(head, measure, loss)] beyond `times` the allowance and with the whole paired interval a loss; worst first.

    Args: kept: {head: {"auc": figure, "accuracy": figure}}, changes of the kept heads
    """
    losses = [
        (-change[measure]["value"] / allowed, name, measure)
        for name, change in kept.items()
        for measure, allowed in ALLOWED_LOSS.items()
        if change[measure]["value"] is not None
        and change[measure]["value"] < -times * allowed
        and change[measure]["interval"][1] < 0
    ]
    return [(name, measure, ratio * ALLOWED_LOSS[measure]) for ratio, name, measure in sorted(losses, reverse=True)]


def decide(*, auc, rates, probes, gaps, other_gaps, reference, kept):
    """The verdict on one forgotten attribute, from figures {"value", "interval": [low, high]}.

    Args:
        auc: figure of the shipped head; a network without the head counts as 0.5, [0.5, 0.5]
        rates: as `head_rates`
        probes: {stage: figure}, AUC of the linear probe, shallow to deep
        gaps: {stage: figure}, probe AUC minus the reference's, paired; {} if there is nothing to compare with
        other_gaps: {probe: figure}, gaps of other probes; they never decide, but an ERASED names those above 0.02
        reference: "oracle", "random" or None, whose probes the gaps are against
        kept: {head: {"auc": figure, "accuracy": figure}}, changes of the kept heads
    Returns: Verdict
    """
    losses, ruined = kept_losses(kept), kept_losses(kept, RUINED)
    head = "" if auc["value"] is None else f"head AUC {_shown(auc)}"
    lost = f"; also lost: {_list_losses(losses)}" if losses else ""
    if auc["value"] is None:
        word, reason = "UNDECIDED", "the test images lack a class of the target, so its head has no AUC"
    elif ruined:  # a broken network has not forgotten
        word, reason = "DAMAGED", f"ruined: {_list_losses(ruined)}; {head}"
    elif above(auc, 0.5 - AUC_TOLERANCE) is None or above(auc, 0.5 + AUC_TOLERANCE) is None:
        text = "too wide to tell from chance, more test images with the target are needed"
        word, reason = "UNDECIDED", f"{head}: {text}"
    elif auc["value"] < 0.5 - AUC_TOLERANCE:
        word, reason = "INVERTED", f"{head}: below chance, the head knows the target and says the opposite"
    elif above(auc, 0.5 + AUC_TOLERANCE):
        word, reason = _head_above_chance(rates, head, probes)
        reason += lost
    else:
        word, reason = _head_at_chance(head, probes, gaps, other_gaps, reference, losses)
        reason += lost if word == "SILENCED" else ""
    numbers = {"auc": auc, "rates": rates, "reference": reference, "gaps": gaps}
    numbers["kept_losses"] = [{"head": name, "measure": measure, "loss": loss} for name, measure, loss in losses]
    return Verdict(word, reason, numbers, "" if reference == "oracle" else "no oracle")


def _head_above_chance(rates, head, probes):
    """(word, reason) of a head that still ranks: SILENCED if only the decision is gone, else NOT FORGOTTEN."""
    known = [stage for stage in reversed(probes) if probes[stage]["value"] is not None]  # of equals the deepest
    best = max(known, key=lambda stage: probes[stage]["value"], default=None)
    probe = f", linear probe at {best} {_shown(probes[best])}" if best else ""
    states = [(rate, _is_silenced(rate)) for rate in rates]
    silenced = [rate for rate, state in states if state]
    if silenced:
        return "SILENCED", f"{silenced[0]['name']} {silenced[0]['after']:.1%}, but {head}{probe}"
    unsure = [rate for rate, state in states if state is None]
    if unsure:
        few = f"{unsure[0]['name']} {unsure[0]['after']:.1%} of only {unsure[0]['n']} images cannot tell"
        return "UNDECIDED", f"{head}{probe}: SILENCED or NOT FORGOTTEN, {few}"
    return "NOT FORGOTTEN", f"{head}{probe}"


def _is_silenced(rate):
    """Whether a true-positive rate is at most 5 % and was not before; None if too few images tell."""
    if rate["after"] is None or (rate["before"] is not None and rate["before"] <= SILENT_RATE):
        return False
    answers = above(rate_figure(rate["after"], rate["n"]), SILENT_RATE)
    return None if answers is None else not answers


def _head_at_chance(head, probes, gaps, other_gaps, reference, losses):
    """(word, reason) of a head at chance: SILENCED if a probe is above the reference's, DAMAGED or ERASED."""
    if not gaps or any(gap["value"] is None for gap in gaps.values()):
        return "UNDECIDED", f"{head}, but there are no probes to compare: an oracle or a random network is needed"
    states = {stage: above(gap, PROBE_TOLERANCE) for stage, gap in gaps.items()}
    over = [stage for stage, state in states.items() if state]
    unsure = [stage for stage, state in states.items() if state is None]
    worst = max(over or unsure or gaps, key=lambda stage: gaps[stage]["value"])
    against = f"linear probe at {worst} {_shown(probes[worst])}, {gaps[worst]['value']:+.3f} against the {reference}'s"
    if over:
        return "SILENCED", f"{head}, but {against}"
    if unsure:
        return "UNDECIDED", f"{head}; {against} {_interval(gaps[worst])}: too wide to tell"
    if losses:
        return "DAMAGED", f"forgotten ({head}), but lost: {_list_losses(losses)}"
    clear = [
        f"{name} {gap['value']:+.3f}"
        for name, gap in other_gaps.items()
        if gap["value"] is not None and gap["value"] > PROBE_TOLERANCE and gap["interval"][0] > 0
    ]
    others = f"; beside the rule, above the {reference}'s: {', '.join(clear)}" if clear else ""
    return "ERASED", f"{head}; highest {against}; no kept head lost more than allowed{others}"


def _list_losses(losses):
    units = {"auc": lambda loss: f"{loss:.3f} of AUC", "accuracy": lambda loss: f"{100 * loss:.1f} points of accuracy"}
    return ", ".join(f"{head} {units[measure](loss)}" for head, measure, loss in losses[:4])


def _shown(figure):
    return f"{figure['value']:.3f} {_interval(figure)}".rstrip()


def _interval(figure):
    return f"[{figure['interval'][0]:.3f}, {figure['interval'][1]:.3f}]" if figure.get("interval") else ""
