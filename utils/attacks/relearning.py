"""Relearning: how many labelled images bring a forgotten attribute back, by the head alone or by the whole network.

The attacker is the same for every network, starts from its features with a head of its own (so a network without the
head is treated alike) and sees class-balanced draws. What counts is the curve against the oracle's.
"""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from models.heads import head_inputs
from utils.evaluation.bootstrap import auc_contrast
from utils.network.modes import evaluating, exact_float32
from utils.probes.attack import Attack
from utils.probes.features import LAST
from utils.probes.linear import fit_logistic

#: scikit-learn's C of the refitted head: 16 images could not choose it, and one value for all networks compares them
HEAD_C = 0.01
BATCH = 32
LEAST_STEPS = 10


def balanced_draws(labels, size, draws, seed=0):
    """Class-balanced choices of labelled images.

    Args: labels (N,) 0/1; size: number of images, half of each class, capped at what both classes have
    Returns: (draws, n) int array of places in `labels`, n = min(size, twice the rarer class), even
    """
    pools = [np.flatnonzero(np.asarray(labels) == value) for value in (0, 1)]
    half = min(size // 2, *map(len, pools))
    generator = np.random.default_rng([seed, size])
    chosen = [np.concatenate([generator.choice(pool, half, replace=False) for pool in pools]) for _ in range(draws)]
    return np.stack(chosen)


def plan_draws(labels, sizes, draws=3, seed=0, one_draw_above=None):
    """[(size, (draws, n) places)] for each size, the first one that the rarer class caps being the last.

    Args: labels (N,) 0/1; one_draw_above: sizes above it get one draw (the costly ones); None: all get `draws`
    Returns: [] if a class is missing
    """
    plan = []
    for size in sizes:
        places = balanced_draws(labels, size, 1 if one_draw_above and size > one_draw_above else draws, seed)
        if places.shape[1]:
            plan.append((size, places))
        if places.shape[1] < size:
            break
    return plan


def refit_head(features, labels, test_features):
    """A fresh head on frozen features: L2 logistic regression on the drawn images.

    Args: features (n, D), labels (n,) 0/1 with both classes, test_features (M, D)
    Returns: (M,) scores, and the head as (weight (D,), bias) on the features as they are
    """
    scaler = StandardScaler().fit(np.asarray(features, dtype=np.float64))
    model = fit_logistic(scaler.transform(features), np.asarray(labels).astype(int), HEAD_C)
    weight = model.coef_[0] / scaler.scale_  # standardising folded into the head
    bias = float(model.intercept_[0] - weight @ scaler.mean_)
    return test_features @ weight + bias, (weight, bias)


def head_curve(features, labels, test_features, plan):
    """[(size, n, (draws, M) scores)]: the head alone, refitted on each draw of a plan.

    Args: features (N, D), labels (N,) 0/1, test_features (M, D); plan: as `plan_draws`, n images a draw
    """
    return [
        (size, draws.shape[1], np.stack([refit_head(features[d], labels[d], test_features)[0] for d in draws]))
        for size, draws in plan
    ]


@exact_float32()
def fine_tune(model, data, rows, labels, head, *, device="cpu", lr=2e-4, seed=0):
    """Train a copy of a network and a head of its own on some labelled images, everything adjustable.

    AdamW, cosine to 0, batches of 32, one pass but at least 10 steps; batch norm keeps its statistics, which 16 images
    would ruin. The head starts at its refit, so that few steps add to what the head alone finds.

    Args: rows (n,) and labels (n,) of the images; head: (weight (D,), bias) as `refit_head` gives
    Returns: the trained copy and its (weight, bias) tensors; `model` stays as it is
    """
    model = copy.deepcopy(model).to(device).eval().requires_grad_(True)
    weight, bias = (torch.as_tensor(part, dtype=torch.float32, device=device).requires_grad_(True) for part in head)
    order, size = _training_order(len(rows), seed)
    optimiser = torch.optim.AdamW([*model.parameters(), weight, bias], lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(order) // size)
    targets = torch.as_tensor(np.asarray(labels)[order], dtype=torch.float32, device=device).split(size)
    batches = data.batches(np.asarray(rows)[order], size, device)
    for (images, _), batch_targets in zip(batches, targets, strict=True):
        scores = head_inputs(model, images) @ weight + bias
        optimiser.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(scores, batch_targets).backward()
        optimiser.step()
        schedule.step()
    return model, weight.detach(), bias.detach()


def _training_order(count, seed):
    """Places of `count` images in the order of training, whole batches, and the size of a batch."""
    size, steps = min(BATCH, count), max(LEAST_STEPS, math.ceil(count / BATCH))
    generator = np.random.default_rng([seed, 2])
    passes = [generator.permutation(count) for _ in range(math.ceil(steps * size / count))]
    return np.concatenate(passes)[: steps * size], size


def fine_tuning_curve(model, data, features, labels, test_rows, plan, *, device="cpu", seed=0, progress=True):
    """[(size, n, (draws, M) scores)]: the whole network fine-tuned on each draw of a plan; 0 where it diverges.

    Args:
        features: the network's `utils.probes.features.Features` of the training images; labels (N,) 0/1 of the same
        test_rows: (M,) row numbers to score; plan: as `plan_draws`, places in `features`
        progress: show a bar (never where stderr is no terminal)
    """
    last, scores = features.stages[LAST], {size: [] for size, _ in plan}
    draws = [(size, seed + i, places) for size, drawn in plan for i, places in enumerate(drawn)]
    disable = None if progress and draws else True
    for size, draw_seed, places in tqdm(draws, desc="fine-tuning", leave=False, disable=disable):
        rows, drawn_labels = features.rows[places], labels[places]
        head = refit_head(last[places], drawn_labels, last[:1])[1]
        tuned = fine_tune(model, data, rows, drawn_labels, head, device=device, seed=draw_seed)
        found = _scores(*tuned, data, test_rows, device)
        scores[size].append(found if np.isfinite(found).all() else np.zeros_like(found))
    return [(size, drawn.shape[1], np.stack(scores[size])) for size, drawn in plan]


def _scores(model, weight, bias, data, rows, device, batch_size=256):
    with evaluating(model), exact_float32(), torch.no_grad():
        parts = [head_inputs(model, images) @ weight + bias for images, _ in data.batches(rows, batch_size, device)]
    return torch.cat(parts).cpu().numpy()


def curve_figures(curve, test_labels, resamples=1000, seed=0):
    """A curve as numbers: one point for each size.

    Returns: [{"asked", "n", "draws", "lowest", "highest", "value", "interval", "n_test", "n_test_positive"}]; value is
        the mean AUC over the draws, lowest and highest those of single draws, the interval is over test images
    """
    points = []
    for size, n, scores in curve:
        each = [auc_contrast([row], [1.0], test_labels, 0)["value"] for row in scores]
        mean = auc_contrast(scores, np.full(len(scores), 1 / len(scores)), test_labels, resamples, seed)
        point = {"asked": size, "n": n, "draws": len(scores), "value": mean["value"], "interval": mean["interval"]}
        if mean["value"] is not None:
            point |= {"lowest": min(each), "highest": max(each)}
        points.append(point | {"n_test": mean["n"], "n_test_positive": mean["n_positive"]})
    return points


def area_between(curve, oracle_curve, test_labels, resamples=1000, seed=0):
    """Signed area between a curve and the oracle's over log2 of the number of images, with its paired interval.

    Above 0: the attribute comes back sooner than a network that never learnt it would learn it.

    Returns: {"value": AUC times doublings, "interval", "mean_gap": the same for each doubling, "n", "n_positive"};
        None where the curves have fewer than two sizes in common
    """
    theirs = {n: scores for _, n, scores in oracle_curve}
    shared = [(n, scores, theirs[n]) for _, n, scores in curve if n in theirs]
    if len(shared) < 2:
        return {"value": None, "interval": None, "mean_gap": None}
    at = np.log2([n for n, _, _ in shared])
    widths = np.diff(at)
    trapezoid = (np.r_[widths, 0] + np.r_[0, widths]) / 2
    scores, coefficients = [], []
    for width, (_, own, other) in zip(trapezoid, shared, strict=True):
        scores += [*own, *other]
        coefficients += [width / len(own)] * len(own) + [-width / len(other)] * len(other)
    area = auc_contrast(scores, coefficients, test_labels, resamples, seed)
    gap = None if area["value"] is None else area["value"] / float(at[-1] - at[0])
    return area | {"mean_gap": gap, "from": shared[0][0], "to": shared[-1][0]}


def relearn_head(subject):
    """{"all sizes": (D, M) scores} of a head refitted on each draw of each size; the curve is left in the subject."""
    setup = subject.setup
    plan = plan_draws(setup.y_train, setup.level.sizes, setup.level.draws, setup.seed)
    train, test = subject.train.stages[LAST], subject.test.stages[LAST]
    return _leave_curve(subject, "head", head_curve(train, setup.y_train, test, plan))


def relearn_network(subject):
    """{"all sizes": (D, M) scores, None if one diverged} of the whole network fine-tuned on each draw.

    The curve is left in the subject.
    """
    setup, level = subject.setup, subject.setup.level
    plan = plan_draws(setup.y_train, level.fine_tuning_sizes, level.draws, setup.seed, level.one_draw_above)
    given = subject.model, setup.data, subject.train, setup.y_train, setup.test, plan
    curve = fine_tuning_curve(*given, device=setup.device, seed=setup.seed, progress=False)
    found = _leave_curve(subject, "whole_net", curve)
    return {place: scores if scores.any(axis=1).all() else None for place, scores in found.items()}  # 0: diverged


def _leave_curve(subject, kind, curve):
    subject.curves[kind] = curve
    return {"all sizes": np.concatenate([scores for _, _, scores in curve])} if curve else {}


RELEARNING_HEAD = Attack("relearning_head", relearn_head)
RELEARNING_NETWORK = Attack("relearning_network", relearn_network, level="full", costly=True)
