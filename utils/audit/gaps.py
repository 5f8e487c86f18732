"""What the attacks find in a network beyond what they find in the reference, and which of it is beyond chance."""

import numpy as np

from utils.audit.readouts import score_figure
from utils.evaluation.placements import Placements

LEVEL = 0.025  # chance of a single false alarm over all attacks and places, one-sided
LEAST_KNOWN = 0.02  # AUC of the original above the oracle's from which a share of it means something


def attack_gaps(own, reference, original, setup):
    """Each attack's AUC on a network minus that on the reference, paired, where both were attacked.

    An AUC below 0.5 counts as 0.5, on either side.

    Args:
        own, reference: {attack: {place: `Placements` or None}} of the two networks
        original: the same of the original; None where it, or an oracle, is not at hand
    Returns: {attack: {place: figure of the gap with "p", one-sided, that it is not above 0, and "information", see
        `information`}}; both None where undefined
    """
    gaps = {}
    for attack, places in own.items():
        shared = [place for place in places if place in reference.get(attack, {})]
        gaps[attack] = {
            place: _gap(places[place], reference[attack][place], (original or {}).get(attack, {}).get(place), setup)
            for place in shared
        }
    return gaps


def one_sided(own, reference):
    """[(attack, place)] that have a figure in one of two networks only, as where a training of the attack diverged.

    Args: as of `attack_gaps`
    """
    measured = [
        {(attack, place) for attack, places in found.items() for place, placed in places.items() if placed is not None}
        for found in (own, reference)
    ]
    return sorted(measured[0] ^ measured[1])


def _gap(own, reference, original, setup):
    if own is None or reference is None:
        return score_figure(None, setup) | {"p": None, "information": None}
    own, reference = _at_least_chance(own), _at_least_chance(reference)
    share = None if original is None else information(own.value, reference.value, _at_least_chance(original).value)
    gap = own - reference
    return gap.figure(least=-1.0) | {"p": gap.p_value(), "information": share}


def _at_least_chance(placements):
    """`Placements` as they are, or those of an attack that guesses: what is below chance tells no less than nothing."""
    if placements.value is None or placements.value >= 0.5:
        return placements
    return Placements(np.full_like(placements.positive, 0.5), np.full_like(placements.negative, 0.5))


def information(own, oracle, original):
    """(own - oracle) / (original - oracle): 1 nothing forgotten, 0 as the oracle, below 0 less than that.

    Args: AUCs of one attack on three networks. Returns: None where the original is hardly above the oracle
    """
    if None in (own, oracle, original) or original - oracle < LEAST_KNOWN:
        return None
    return (own - oracle) / (original - oracle)


def holm(p_values, level=LEVEL):
    """Which of several hypotheses are rejected so that one or more are falsely with a chance of at most `level`.

    Holm 1979: the smallest p is held against level / m, the next against level / (m - 1), … until one is not below.

    Args: p_values: numbers, None where nothing was tested: m counts the others
    Returns: list of bool, as many
    """
    rejected = [False] * len(p_values)
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    for rank, (p, place) in enumerate(tested):
        if p > level / (len(tested) - rank):
            break
        rejected[place] = True
    return rejected


def significant_gaps(gaps, tolerance):
    """[(attack, place)] of `attack_gaps`, in its order, whose gap is above `tolerance` and beyond chance above 0."""
    pairs = [(attack, place) for attack, places in gaps.items() for place in places]
    rejected = holm([gaps[attack][place]["p"] for attack, place in pairs])
    return [
        pair
        for pair, clear in zip(pairs, rejected, strict=True)
        if clear and gaps[pair[0]][pair[1]]["value"] > tolerance
    ]
