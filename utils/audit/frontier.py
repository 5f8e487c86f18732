"""The dial of erasure: its strength swept on images that the erasure does not learn from, none of the test part.

Each setting begins at a fresh copy of the original. What it forgot is the highest gap of a linear probe to the
reference's (an oracle's, or a network's that was never trained); what it cost is the worst loss of a kept head. The
original was trained on the images held out of the training part and is right on many of them by heart. A change of the
features costs some of that, which new images never had, so a loss of accuracy there is overstated. The figures choose
among settings; the test part stays the judge of the one chosen.
"""

import copy
from dataclasses import asdict, replace

import numpy as np
from tqdm import tqdm

from utils.audit.validation import make_ruler, measure, validation_rows
from utils.common.errors import InputError
from utils.common.run import Stopwatch
from utils.erasure.erasure import erase

STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def knee(points):
    """The strength at the knee of the curve of worst gap over kept loss; None if there is no bend towards less of both.

    Both are scaled to [0, 1] over the settings; the knee is the setting that lies farthest below the straight line
    (chord) from the mildest to the strongest. Of equals the milder one counts.
    """
    known = [point for point in points if point["worst_gap"] is not None and point["kept_loss"] is not None]
    if len(known) < 3:
        return None
    curve = np.array([[point["kept_loss"], point["worst_gap"]] for point in known], dtype=float)
    curve = (curve - curve.min(0)) / np.maximum(np.ptp(curve, axis=0), 1e-12)
    (x, y), (width, height) = (curve - curve[0]).T, curve[-1] - curve[0]
    length = np.hypot(width, height)
    if length < 1e-9:
        return None
    below = (height * x - width * y) / length * (1 if width >= 0 else -1)
    best = int(np.argmax(below))
    return known[best]["strength"] if below[best] > 1e-9 else None


def choose(points):
    """(the chosen point, whether it reached ERASED for every target).

    The mildest setting that did; where none did, the one of the least `excess`, of equals the milder.
    Raises: InputError if no setting has figures
    """
    for point in points:
        if all(one["verdict"]["word"] == "ERASED" for one in point["targets"].values()):
            return point, True
    known = [point for point in points if point["excess"] is not None]
    if not known:
        raise InputError("no strength can be judged on the validation images: use more images, or a number")
    return min(known, key=lambda point: point["excess"]), False


def sweep(nets, data, targets, recipe, strengths=(), *, device="cpu", stages=None, progress=True, **how):
    """Erase at every strength, each time from a fresh copy of the original, and judge on the validation rows.

    Args:
        nets: {"original": untouched network, and "oracle" or else "random"}, on `device`; they stay as they are
        data: `utils.datasets.dataset.ImageDataset` or what has its attributes, labels, rows and batches
        recipe: `utils.erasure.erasure.ErasureSettings`; its strength is swept, its seed also draws the validation rows
        strengths: numbers above 0, in any order; none: `STRENGTHS`
        how: `batch_size` and `resamples` of `utils.audit.setup.AuditSetup`
    Returns: {"targets", "reference", "validation": counts, "recipe", "original": figures, "points": [figures with
        "strength" and "seconds" of the erasure], "knee", "chosen", "reached"}, JSON-ready
    Raises: InputError as `utils.erasure.erasure.erase`, `utils.audit.validation.validation_rows` and `choose`
    """
    kind = "oracle" if "oracle" in nets else "random"
    fit, held = validation_rows(data, targets, seed=recipe.seed)
    seen = {"seed": recipe.seed, "device": str(device), "stages": stages, "progress": progress, **how}
    ruler = make_ruler(nets["original"], nets[kind], kind, data, targets, fit, held, **seen)
    points = []
    ordered = sorted(set(strengths or STRENGTHS))
    for strength in tqdm(ordered, desc="frontier", unit="strength", disable=None if progress else True):
        model, watch = copy.deepcopy(nets["original"]), Stopwatch(device)
        with watch("erase"):
            here = {"rows": fit, "device": device, "progress": progress}
            erase(model, data, targets, replace(recipe, strength=strength), **here)
        figures = measure(model, ruler, stages, progress)
        points.append({"strength": float(strength), "seconds": watch.seconds["erase"], **figures})
    chosen, reached = choose(points)
    settings = {name: value for name, value in asdict(recipe).items() if name != "strength"}
    return {
        "targets": list(targets),
        "reference": kind,
        "validation": _counts(data, targets, fit, held),
        "recipe": settings,
        "original": measure(nets["original"], ruler, stages, progress),
        "points": points,
        "knee": knee(points),
        "chosen": chosen["strength"],
        "reached": reached,
    }


def _counts(data, targets, fit, held):
    positives = {target: int(data.labels[held, data.attributes.index(target)].sum()) for target in targets}
    part = "valid" if len(data.rows("valid")) else "train"
    return {"part": part, "learnt_from": len(fit), "rows": len(held), "positives": positives}
