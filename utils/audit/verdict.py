"""The verdict: one word for what an unlearned net still knows, and the figures that decided it.

The rules, in the order in which they are asked (the first that holds gives the word):

1. DAMAGED: a kept head is ruined, that is, it lost ten times what is allowed. What a broken net says about the target
   is no forgetting.
2. INVERTED: the head's AUC is under 0.45: it knows the target and says the opposite.
3. The AUC is above 0.55. SILENCED if a true-positive rate (over all positives, or over the images on which all
   attributes are 1) fell to 5 % or less from above it: the decision is gone, the ranking is not. NOT FORGOTTEN
   otherwise.
4. The head is at chance, 0.45 to 0.55. SILENCED if the linear probe of a stage is more than 0.02 above the oracle's.
5. DAMAGED: forgotten, but a kept head lost more than 0.5 points of accuracy or 0.005 of AUC. A loss counts if the
   figure itself is beyond the allowance and its whole paired interval is on the side of a loss.
6. ERASED.

Without an oracle the probes are compared with a randomly initialised net's, and the word is qualified "no oracle".

UNDECIDED: an interval that reaches more than 0.05 to either side on average and holds the threshold in question
cannot say on which side of it the figure is, and the rule would be a guess. (29 positives among 1,250 test images
leave 0.5 +- 0.11: undecided. 29 positives and an AUC of 0.96 +- 0.03: above 0.55 all the same.)
"""

from dataclasses import dataclass, field

AUC_TOLERANCE = 0.05
PROBE_TOLERANCE = 0.02
SILENT_RATE = 0.05
ALLOWED_LOSS = {"auc": 0.005, "accuracy": 0.005}
RUINED = 10  # times the allowed loss
TOO_WIDE = 0.05  # half an interval

WORDS = ("ERASED", "SILENCED", "NOT FORGOTTEN", "INVERTED", "DAMAGED", "UNDECIDED")


@dataclass(frozen=True)
class Verdict:
    """A word, why, and the figures behind it.

    Attributes: `word` of `WORDS`; `reason` one sentence; `numbers` JSON-ready; `qualifier` "" or "no oracle"
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
    """Whether a figure {"value", "interval"} is above a threshold; None if its interval is too wide to tell."""
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


def kept_losses(kept, times=1):
    """[(head, measure, loss)] beyond `times` the allowance, each loss clear of its interval; worst first."""
    losses = [
        (-change[measure]["value"] / allowed, name, measure)
        for name, change in kept.items()
        for measure, allowed in ALLOWED_LOSS.items()
        if change[measure]["value"] is not None
        and change[measure]["value"] < -times * allowed
        and change[measure]["interval"][1] < 0
    ]
    return [(name, measure, ratio * ALLOWED_LOSS[measure]) for ratio, name, measure in sorted(losses, reverse=True)]


def decide(read_outs):
    """The verdict on one forgotten attribute.

    Args: read_outs, a dictionary with figures as {"value", "interval": [low, high]}:
        auc: of the shipped head; a net without the head counts as 0.5, [0.5, 0.5]
        rates: [{"name", "before", "after", "n"}] true-positive rates of the head; before None: not known
        probes: {stage: figure}, AUC of the linear probe, shallow to deep
        gaps: {stage: figure}, probe AUC minus the reference's, paired; {} if there is nothing to compare with
        reference: "oracle", "random" or None, whose probes the gaps are against
        kept: {head: {"auc": figure, "accuracy": figure}}, changes of the kept heads
        beside: {probe: figure}, gaps of other probes; they never decide, but an ERASED names those above the reference
    Returns: Verdict
    """
    losses = kept_losses(read_outs["kept"])
    word, reason = _word(read_outs, losses)
    numbers = {
        "auc": read_outs["auc"],
        "rates": read_outs["rates"],
        "reference": read_outs["reference"],
        "gaps": read_outs["gaps"],
        "kept_losses": [{"head": head, "measure": measure, "loss": loss} for head, measure, loss in losses],
    }
    return Verdict(word, reason, numbers, "" if read_outs["reference"] == "oracle" else "no oracle")


def _word(read_outs, losses):
    auc, probes = read_outs["auc"], read_outs["probes"]
    if auc["value"] is None:
        return "UNDECIDED", "the test images lack a class of the target, so its head has no AUC"
    ruined = kept_losses(read_outs["kept"], RUINED)
    said = f"head AUC {_shown(auc)}"
    if ruined:
        return "DAMAGED", f"ruined: {_losses(ruined)}; {said}"
    if above(auc, 0.5 - AUC_TOLERANCE) is None or above(auc, 0.5 + AUC_TOLERANCE) is None:
        return "UNDECIDED", f"{said}: too wide to tell from chance, more test images with the target are needed"
    if auc["value"] < 0.5 - AUC_TOLERANCE:
        return "INVERTED", f"{said}: below chance, the head knows the target and says the opposite"
    if above(auc, 0.5 + AUC_TOLERANCE):
        also = f"; also lost: {_losses(losses)}" if losses else ""
        return _loud(read_outs["rates"], said, probes, also)
    return _at_chance(read_outs, said, losses)


def _loud(rates, said, probes, also):
    known = [stage for stage in reversed(probes) if probes[stage]["value"] is not None]  # of equals the deepest
    best = max(known, key=lambda stage: probes[stage]["value"], default=None)
    probe = f", linear probe at {best} {_shown(probes[best])}" if best else ""
    states = [(rate, _fell_silent(rate)) for rate in rates]
    silent = [rate for rate, state in states if state]
    if silent:
        rate = silent[0]
        return "SILENCED", f"{rate['name']} {rate['after']:.1%}, but {said}{probe}{also}"
    unsure = [rate for rate, state in states if state is None]
    if unsure:
        return "UNDECIDED", (
            f"{said}{probe}: SILENCED or NOT FORGOTTEN, {unsure[0]['name']} {unsure[0]['after']:.1%} of only "
            f"{unsure[0]['n']} images cannot tell{also}"
        )
    return "NOT FORGOTTEN", f"{said}{probe}{also}"


def _fell_silent(rate):
    """Whether a true-positive rate is at most 5 % and was not before; None if too few images tell."""
    if rate["after"] is None or (rate["before"] is not None and rate["before"] <= SILENT_RATE):
        return False
    loud = above(rate_figure(rate["after"], rate["n"]), SILENT_RATE)
    return None if loud is None else not loud


def _at_chance(read_outs, said, losses):
    gaps, probes, reference = read_outs["gaps"], read_outs["probes"], read_outs["reference"]
    if not gaps or any(gap["value"] is None for gap in gaps.values()):
        return "UNDECIDED", f"{said}, but there are no probes to compare: an oracle or a random net is needed"
    states = {stage: above(gap, PROBE_TOLERANCE) for stage, gap in gaps.items()}
    told = [stage for stage, state in states.items() if state]
    unsure = [stage for stage, state in states.items() if state is None]
    worst = max(told or unsure or gaps, key=lambda stage: gaps[stage]["value"])
    against = f"linear probe at {worst} {_shown(probes[worst])}, {gaps[worst]['value']:+.3f} against the {reference}'s"
    if told:
        return "SILENCED", f"{said}, but {against}" + (f"; also lost: {_losses(losses)}" if losses else "")
    if unsure:
        return "UNDECIDED", f"{said}; {against} {_interval(gaps[worst])}: too wide to tell"
    if losses:
        return "DAMAGED", f"forgotten ({said}), but lost: {_losses(losses)}"
    reason = f"{said}; highest {against}; no kept head lost more than allowed"
    others = [f"{name} {gap['value']:+.3f}" for name, gap in read_outs.get("beside", {}).items() if _clear(gap)]
    return "ERASED", reason + (f"; beside the rule, above the {reference}'s: {', '.join(others)}" if others else "")


def _clear(gap):
    return gap["value"] is not None and gap["value"] > PROBE_TOLERANCE and gap["interval"][0] > 0


def _losses(losses):
    units = {"auc": lambda loss: f"{loss:.3f} of AUC", "accuracy": lambda loss: f"{100 * loss:.1f} points of accuracy"}
    return ", ".join(f"{head} {units[measure](loss)}" for head, measure, loss in losses[:4])


def _shown(figure):
    return f"{figure['value']:.3f} {_interval(figure)}".rstrip()


def _interval(figure):
    return f"[{figure['interval'][0]:.3f}, {figure['interval'][1]:.3f}]" if figure.get("interval") else ""
