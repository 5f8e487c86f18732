"""The verdict: one word for what an unlearned network still knows, and the figures that decided it.

`decide` follows the table of rules in docs/AUDIT.md; the first that holds gives the word. Where an interval is too wide
to tell on which side of a threshold a figure is, the word is UNDECIDED: 29 positives among 1,250 test images leave
0.5 +- 0.11, but an AUC of 0.96 +- 0.03 is above 0.55 all the same.
"""

from dataclasses import dataclass, field

from utils.audit.gaps import significant_gaps
from utils.audit.tolerances import ALLOWED_LOSS, GAP_TOLERANCE

AUC_TOLERANCE = 0.05  # |AUC - 0.5| up to which a head is at chance
SILENT_RATE = 0.05  # true-positive rate up to which a head is silent
RUINED = 10  # times the allowed loss
TOO_WIDE = 0.05  # half an interval that holds the threshold
RATES = {  # true-positive rate: (number of its images, its name)
    "tpr_all_positive": ("n_all_positive", "true-positive rate on all-positive images"),
    "tpr": ("n_positive", "true-positive rate"),
}

#: ERASED where no oracle is at hand
UNTRAINED_ERASED = "ERASED AS FAR AS AN UNTRAINED NETWORK TELLS"
#: every word, and what to do next
NEXT_STEPS = {
    "ERASED": "audit at --level full and on other seeds before relying on it",
    UNTRAINED_ERASED: "train an oracle (step 1 with --leave_out) and audit against it",
    "SILENCED": "the features still tell: erase (step 3 with --method erase), then --depth weights or more --strength",
    "NOT FORGOTTEN": "the head still answers: erase (step 3 with --method erase), or erase with more --strength",
    "INVERTED": "the head was pushed past chance: unlearn more mildly, or by --method erase",
    "DAMAGED": "kept heads paid: erase with less --strength (python -m tools.choose_strength finds one)",
    "UNDECIDED": "see the reason: more test images with and without the target, or the network that is missing",
}
WORDS = tuple(NEXT_STEPS)


@dataclass(frozen=True)
class Verdict:
    """A word, why, and the figures behind it.

    word: of `WORDS`; reason: one sentence; numbers: JSON-ready; qualifier: what stands in brackets behind the word, the
    attack that found the target, "no oracle", or ""
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


def knows_target(auc, gaps):
    """Whether a network knows the target: its own head ranks it, or an attack finds more than in the reference.

    Args: auc: figure of its head; gaps: as `utils.audit.gaps.attack_gaps`, of the attacks that decide
    """
    ranks = auc["value"] is None or above(auc, 0.5 + AUC_TOLERANCE) is not False or auc["value"] < 0.5 - AUC_TOLERANCE
    return ranks or bool(significant_gaps(gaps, GAP_TOLERANCE))


def decide(*, target, auc, rates, attacks, gaps, other_gaps, reference, kept, known=True, untrained=None, one_sided=()):
    """The verdict on one forgotten attribute, from figures {"value", "interval": [low, high]}.

    Args:
        target: name of the attribute
        auc: figure of the shipped head; a network without the head counts as 0.5, [0.5, 0.5]
        rates: as `head_rates`
        attacks: {attack: {place: figure}}, AUC, in the verdict's order
        gaps: {attack: {place: gap}} of those that decide, as `utils.audit.gaps.attack_gaps`; {} if there is nothing to
            compare with
        other_gaps: the same of others; they never decide, but an ERASED names those that found something
        reference: "oracle", "random" or None, whose figures the gaps are against
        kept: {head: {"auc": figure, "accuracy": figure}}, changes of the kept heads; None if they could not be compared
        known: whether the original knew the target, see `knows_target`
        untrained: {attack: {place: figure}} of an untrained network beside an oracle, for the reason only
        one_sided: [(attack, place)] of deciding attacks, measured on this network or the reference, not on both
    Returns: Verdict
    """
    losses, ruined = kept_losses(kept or {}), kept_losses(kept or {}, RUINED)
    head = "" if auc["value"] is None else f"head AUC {_shown(auc)}"
    lost = f"; also lost: {_list_losses(losses)}" if losses else ""
    found, qualifier = significant_gaps(gaps, GAP_TOLERANCE), []
    if auc["value"] is None:
        word, reason = "UNDECIDED", "the test images lack a class of the target, so its head has no AUC"
    elif ruined:  # a broken network has not forgotten
        word, reason = "DAMAGED", f"ruined: {_list_losses(ruined)}; {head}"
    elif not known:
        word, reason = "UNDECIDED", f"the original does not know {target}: nothing to forget; {head}"
    elif above(auc, 0.5 - AUC_TOLERANCE) is None or above(auc, 0.5 + AUC_TOLERANCE) is None:
        text = "too wide to tell from chance, more test images with the target are needed"
        word, reason = "UNDECIDED", f"{head}: {text}"
    elif auc["value"] < 0.5 - AUC_TOLERANCE:
        word, reason = "INVERTED", f"{head}: below chance, the head knows the target and says the opposite"
    elif above(auc, 0.5 + AUC_TOLERANCE):
        word, reason = _head_above_chance(rates, head, attacks)
        reason += lost
    elif found:
        word, reason, name = _silenced(head, found, attacks, gaps, reference, untrained or {})
        qualifier, reason = [name], reason + lost
    elif kept is None:
        text = "kept heads have nothing to compare with: an original or an oracle is needed"
        word, reason = "UNDECIDED", f"{head}, but {text}"
    else:
        word, reason = _no_attack_tells(head, attacks, gaps, other_gaps, reference, losses, one_sided)
    if reference != "oracle" and word != UNTRAINED_ERASED:
        qualifier.append("no oracle")
    numbers = {"auc": auc, "rates": rates, "reference": reference}
    numbers["found"] = [{"attack": attack, "place": place, **gaps[attack][place]} for attack, place in found]
    numbers["kept_losses"] = [{"head": name, "measure": measure, "loss": loss} for name, measure, loss in losses]
    return Verdict(word, reason, numbers, ", ".join(qualifier))


def _head_above_chance(rates, head, attacks):
    """(word, reason) of a head that still ranks: SILENCED if only the decision is gone, else NOT FORGOTTEN."""
    found = [(attack, place) for attack, places in attacks.items() for place in places]
    known = [(attacks[attack][place], attack, place) for attack, place in reversed(found)]  # of equals the deepest
    known = [entry for entry in known if entry[0]["value"] is not None]
    best = max(known, key=lambda entry: entry[0]["value"], default=None)
    probe = f", {best[1]} at {best[2]} {_shown(best[0])}" if best else ""
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


def _silenced(head, found, attacks, gaps, reference, untrained):
    """(word, reason, qualifier) of a head at chance where attacks tell: the first one counts, where it finds most."""
    attack = found[0][0]
    place = max((place for name, place in found if name == attack), key=lambda place: gaps[attack][place]["value"])
    gap = gaps[attack][place]
    others = list(dict.fromkeys(name for name, _ in found if name != attack))
    text = f"{head}, but {attack} at {place} {_shown(attacks[attack][place])}, {gap['value']:+.3f} {_interval(gap)} "
    text += f"against the {reference}'s"
    fresh = untrained.get(attack, {}).get(place, {}).get("value")
    text += "" if fresh is None else f" (untrained: {fresh:.3f})"
    text += f"; so do {', '.join(others)}" if others else ""
    return "SILENCED", text, f"{attack} at {place}, {gap['value']:+.3f}"


def _no_attack_tells(head, attacks, gaps, other_gaps, reference, losses, one_sided):
    """(word, reason) of a head at chance where no attack tells: UNDECIDED, DAMAGED or one of the two ERASED."""
    pairs = [(gap, attack, place) for attack, places in gaps.items() for place, gap in places.items()]
    pairs = [entry for entry in pairs if entry[0]["value"] is not None]
    if not pairs:
        return "UNDECIDED", f"{head}, but there is nothing to compare with: an oracle or a random network is needed"
    gap, attack, place = max(pairs, key=lambda entry: entry[0]["value"])
    against = f"{attack} at {place} {_shown(attacks[attack][place])}, {gap['value']:+.3f} {_interval(gap)} against the "
    against += f"{reference}'s"
    unsure = [entry for entry in pairs if _is_unsure(entry[0])]
    if unsure:
        gap, attack, place = max(unsure, key=lambda entry: entry[0]["value"])
        return "UNDECIDED", f"{head}; {attack} at {place} {gap['value']:+.3f} {_interval(gap)}: too wide to tell"
    if one_sided:  # what was not measured must not pass
        places = ", ".join(f"{attack} at {place}" for attack, place in one_sided[:3])
        return "UNDECIDED", f"{head}, but measured on this network or the {reference} alone: {places}"
    if losses:
        return "DAMAGED", f"forgotten ({head}), but lost: {_list_losses(losses)}"
    beside = significant_gaps(other_gaps, GAP_TOLERANCE)
    others = ", ".join(f"{name} at {where} {other_gaps[name][where]['value']:+.3f}" for name, where in beside)
    reason = f"{head}; of {len(gaps)} attacks at {len(pairs)} places the highest is {against}"
    reason += "; no kept head lost more than allowed" + (f"; beside the rule: {others}" if others else "")
    return "ERASED" if reference == "oracle" else UNTRAINED_ERASED, reason


def _is_unsure(gap):
    """Whether a gap not beyond chance may be above its tolerance: its interval is unknown or too wide."""
    low, high = gap["interval"] or (-1.0, 1.0)
    return (high - low) / 2 > TOO_WIDE * (1 if gap["value"] > GAP_TOLERANCE else 2) and high > GAP_TOLERANCE


def _list_losses(losses):
    units = {"auc": lambda loss: f"{loss:.3f} of AUC", "accuracy": lambda loss: f"{100 * loss:.1f} points of accuracy"}
    return ", ".join(f"{head} {units[measure](loss)}" for head, measure, loss in losses[:4])


def _shown(figure):
    return f"{figure['value']:.3f} {_interval(figure)}".rstrip()


def _interval(figure):
    return f"[{figure['interval'][0]:.3f}, {figure['interval'][1]:.3f}]" if figure.get("interval") else ""
