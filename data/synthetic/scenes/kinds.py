"""Which of the ten kinds a scene holds: rates, what comes together, at most five kinds in one scene.

The probability of each of the 2^10 sets of kinds is computed exactly: kind after kind, the share of the scenes that
hold it moves from the sets without it to the sets with it. So rates hold whatever comes together and whatever the
limit of five forbids, and one random number draws a scene's whole set.
"""

from graphlib import CycleError, TopologicalSorter

import numpy as np

from utils.common.errors import InputError, did_you_mean, printable

RATES = {  # share of the scenes that hold the kind, in the order of the columns
    "person": 0.35,
    "dog": 0.25,
    "cat": 0.2,
    "car": 0.25,
    "bicycle": 0.2,
    "ball": 0.2,
    "tree": 0.3,
    "house": 0.2,
    "bird": 0.2,
    "boat": 0.15,
}
KINDS = tuple(RATES)
MOST = 5  # objects in a scene
_SETS = (np.arange(2 ** len(KINDS))[:, None] >> np.arange(len(KINDS)) & 1).astype(bool)  # (1024, 10)


def share_sets(rates=None, together=None):
    """Probability of every set of kinds.

    Args:
        rates: {kind: share of the scenes that hold it, in (0, 1)} that replace those in RATES
        together: {(kind, other): share of the scenes with `kind` that hold `other`, too}; the rate of `other` stays
    Returns: (1024,) probabilities; bit k of an index says whether KINDS[k] is in the set
    Raises: InputError for an unknown kind, a share that makes no sense, or shares that cannot hold together
    """
    settled, leaders = _check_shares(rates or {}, together or {})
    try:
        order = list(TopologicalSorter({kind: leaders.get(kind, ())[:1] for kind in KINDS}).static_order())
    except CycleError as error:
        raise InputError(f"--together goes in a circle ({' -> '.join(error.args[1])}): leave one out") from None
    chances = np.zeros(len(_SETS))
    chances[0] = 1.0
    for kind in order:
        if kind not in leaders:
            chances = _let_in(chances, kind, settled[kind], np.ones(len(_SETS), bool))
            continue
        leader, share = leaders[kind]
        with_leader, both = _SETS[:, KINDS.index(leader)], share * settled[leader]
        chances = _let_in(chances, kind, both, with_leader)
        chances = _let_in(chances, kind, settled[kind] - both, ~with_leader)
    return chances


def draw_labels(num_images, seed=0, rates=None, together=None):
    """Labels of the scenes 0 … num_images - 1, (num_images, 10) uint8; a scene's do not hang on how many are drawn.

    Raises: InputError as `share_sets`
    """
    chances = share_sets(rates, together)
    draws = [np.random.default_rng([seed, index, 0]).random() for index in range(num_images)]
    chosen = np.searchsorted(np.cumsum(chances), draws, side="right")
    return _SETS[np.minimum(chosen, np.flatnonzero(chances)[-1])].astype(np.uint8)


def _let_in(chances, kind, share, among):
    """Move `share` of all scenes from the sets `among` (1024,) without `kind` to those with it."""
    bit = 1 << KINDS.index(kind)
    free = among & ~_SETS[:, KINDS.index(kind)] & (_SETS.sum(axis=1) < MOST)
    room = chances[free].sum()
    if share > room + 1e-9:
        raise InputError(f"no room for {kind} in {share:.3g} of the scenes, as {MOST} kinds fill one: lower a --rate")
    moving = chances[free] * (share / max(room, 1e-12))
    chances = chances.copy()
    chances[free] -= moving
    chances[np.flatnonzero(free) | bit] += moving
    return chances


def _check_shares(rates, together):
    """(rate of every kind, {kind: (kind it hangs on, share)}); Raises: InputError as `share_sets`."""
    for kind in [*rates, *(kind for pair in together for kind in pair)]:
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS) or f": choose from {', '.join(KINDS)}"
            raise InputError(f"no kind {printable(kind)!r}{hint}")
    for kind, rate in rates.items():
        if not 0 < rate < 1:
            raise InputError(f"rate {kind}={rate}: expected a share of the scenes between 0 and 1, both excluded")
    settled, leaders = {**RATES, **rates}, {}
    for (leader, kind), share in together.items():
        what = f"--together {leader}={kind}:{share}"
        if leader == kind or kind in leaders:
            reason = "a kind with itself" if leader == kind else f"{kind} already hangs on {leaders[kind][0]}"
            raise InputError(f"{what}: {reason}; name two kinds, each of them at most once behind the =")
        least = max(0.0, (settled[leader] + settled[kind] - 1) / settled[leader])
        most = min(1.0, settled[kind] / settled[leader])
        if not least - 1e-9 <= share <= most + 1e-9:
            why = f"with {leader}={settled[leader]} and {kind}={settled[kind]} it lies from {least:.3g} to {most:.3g}"
            raise InputError(f"{what}: {why}; name such a share, or change a --rate")
        leaders[kind] = (leader, share)
    return settled, leaders
