"""How strong an erasure should be: strengths swept on images that the erasures do not learn from and that test nothing.

Where a split has no validation part, some of the training part is held out of the erasures. The original was trained on
those images and is right on many of them by heart. A change of the features costs some of that, which new images never
had, so a loss of accuracy there is overstated. The sweep chooses among strengths; the test part alone says what the
chosen one did.
"""

from itertools import takewhile

import numpy as np
from tqdm import tqdm

from utils.common.errors import InputError
from utils.common.run import Stopwatch
from utils.erasure.samples import number_combinations

STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
BEGUN = 0.0025  # loss of a kept head, of AUC or accuracy, that counts as begun: half of what ERASED allows
HELD_OUT = 0.2  # share of the training part
_STREAM = 9  # of random numbers


def validation_rows(data, targets, seed=0):
    """Rows to learn from and rows to measure on; the test part is in neither.

    A split with a validation part gives that, and the whole training part to learn from. Otherwise a fifth of the
    training rows is held out by `seed`, of each combination of target labels alike.

    Returns: (learning rows, validation rows), both (M,) and sorted
    Raises: InputError if one of the two would lack a class of a target
    """
    learning, columns = data.rows("train"), [data.attributes.index(target) for target in targets]
    held_out = data.rows("valid")
    if not len(held_out):
        numbers = number_combinations(data.labels[learning][:, columns[::-1]])
        pools = np.split(learning[np.argsort(numbers, kind="stable")], np.cumsum(np.bincount(numbers))[:-1])
        generator = np.random.default_rng([seed, _STREAM])
        drawn = [generator.choice(pool, round(HELD_OUT * len(pool)), replace=False) for pool in pools]
        held_out = np.sort(np.concatenate(drawn))
        if len(held_out) < HELD_OUT * len(learning) / 2:  # so many targets that most combinations come once
            held_out = np.sort(generator.choice(learning, round(HELD_OUT * len(learning)), replace=False))
        learning = np.setdiff1d(learning, held_out)
    for target, column in zip(targets, columns, strict=True):
        if any(len(np.unique(data.labels[rows, column])) < 2 for rows in (learning, held_out)):
            text = f"too few training images with and without {target} to hold some out"
            raise InputError(f"{text}: use more images, or give the strength as a number")
    return learning, held_out


def sweep_strengths(erase_at, measure, strengths=None, *, device="cpu", progress=True):
    """Erase at every strength and measure what came of it.

    Args:
        erase_at: function of a strength that gives a network erased so, from a fresh copy of the original
        measure: function of a network that gives its figures, such as `utils.audit.validation.measure`
        strengths: numbers above 0, in any order; none: `STRENGTHS`
    Returns: [{"strength", "seconds" of the erasure, and the figures}], mildest first
    """
    points = []
    ordered = sorted(set(strengths or STRENGTHS))
    for strength in tqdm(ordered, desc="strengths", unit="strength", disable=None if progress else True):
        watch = Stopwatch(device)
        with watch("erase"):
            model = erase_at(strength)
        points.append({"strength": float(strength), "seconds": watch.seconds["erase"], **measure(model)})
    return points


def choose_strength(points):
    """The mildest point that reached ERASED for every target; where none did, the strongest that kept heads can afford.

    ERASED takes an oracle. Without one nothing says how far to go but what it costs: the last point before the worst
    loss of a kept head exceeds `BEGUN`, or the mildest, if that does already.

    Args: points: mildest first, each with "targets": {target: {"verdict": {"word", "qualifier"}}} and "kept_loss"
    Returns: (the point, whether it reached ERASED)
    Raises: InputError if none reached ERASED and no head is kept
    """
    for point in points:
        verdicts = [target["verdict"] for target in point["targets"].values()]
        if all(verdict["word"] == "ERASED" for verdict in verdicts):
            return point, True
    known = [point for point in points if point["kept_loss"] is not None]
    if not known:
        text = "no strength can be measured"
        raise InputError(f"{text}: no head is kept that says what one costs, so give --strength a number")
    affordable = list(takewhile(lambda point: point["kept_loss"] <= BEGUN, known))
    return (affordable or known[:1])[-1], False
