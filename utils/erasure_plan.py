"""What erasure learns from: which images, how much each counts, and what the untouched network said about them."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from utils.erasure_penalty import residuals
from utils.errors import InputError
from utils.features import pooled_outputs

MOST_CONFOUNDERS = 8
ORDER, FLIPS = 5, 6  # streams of random numbers


@dataclass(frozen=True)
class Choice:
    """Images in the order in which they are used.

    rows: (N,) row numbers, repeats allowed; labels: (N, T) uint8 of the targets; weights: (N,) float32, mean 1, that
    give each combination of target labels the share it has among all images offered; flips: (N,) bool
    base_rates: (T,) shares of the targets among all images offered
    """

    rows: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    flips: np.ndarray
    base_rates: np.ndarray

    def last(self, count):
        """The last so many images of the choice."""
        parts = {name: getattr(self, name)[-count:] for name in ("rows", "labels", "weights", "flips")}
        return replace(self, **parts)


@dataclass(frozen=True)
class Notes:
    """What the untouched network said of the chosen images, on the device.

    logits: (N, K) of all heads; goals: {stage: (N, C)} pooled features with the targets' mean shift taken out;
    scales: {stage: 0-dimensional variance}; confounders: (N, Z), standardised; kept: places of the kept heads
    """

    logits: torch.Tensor
    goals: dict
    scales: dict
    confounders: torch.Tensor
    kept: list


def choose_images(rows, labels, count, batch_size, positives=0.25, seed=0):
    """Batches in which every target is common enough to learn from.

    Args:
        rows: (M,) row numbers offered; labels: (M, T) 0/1 of the targets
        count: images in all, repeats included; rounded down to whole batches, at least one
        positives: least share of a batch that has one of the targets, shared out among them; more where they are common
    Returns: Choice
    Raises: InputError if a target is on no or on every image offered
    """
    labels, generator = np.asarray(labels).astype(bool), np.random.default_rng([seed, ORDER])
    rates = labels.mean(0)
    if not ((rates > 0) & (rates < 1)).all():
        raise InputError("erasure needs images with and without each target: one of them is on none or on all")
    slots = [max(1, round(batch_size * min(0.5, max(positives, rate)) / len(rates))) for rate in rates]
    without = np.flatnonzero(~labels.any(1))
    pools = [np.flatnonzero(column) for column in labels.T] + ([without] if len(without) else [])
    slots += [max(0, batch_size - sum(slots))] if len(without) else []
    cycles = [_shuffled_forever(pool, generator) for pool in pools]
    batches = max(1, count // batch_size)
    places = np.concatenate(
        [
            [next(cycle) for cycle, n in zip(cycles, slots, strict=True) for _ in range(n)][:batch_size]
            for _ in range(batches)
        ]
    )
    code = labels @ (2 ** np.arange(labels.shape[1]))
    natural = np.bincount(code, minlength=2 ** labels.shape[1]) / len(code)
    drawn = np.bincount(code[places], minlength=len(natural)) / len(places)
    weights = (natural / np.maximum(drawn, 1e-12))[code[places]]
    flips = np.random.default_rng([seed, FLIPS]).random(len(places)) < 0.5
    weights = (weights / weights.mean()).astype(np.float32)
    return Choice(np.asarray(rows)[places], labels[places].astype(np.uint8), weights, flips, rates)


def _shuffled_forever(pool, generator):
    while True:
        yield from generator.permutation(pool)


def chosen_batches(data, choice, batch_size, device):
    """Batches of the chosen images, mirrored where the choice says so: (slice of places, images (B, 3, H, W))."""
    flips = torch.from_numpy(choice.flips).to(device)
    for number, (images, _) in enumerate(data.batches(choice.rows, batch_size, device)):
        part = slice(number * batch_size, number * batch_size + len(images))
        mirrored = torch.where(flips[part, None, None, None], images.flip(3), images)
        yield part, mirrored.contiguous(memory_format=torch.channels_last)


def take_notes(model, data, choice, targets, stages, *, batch_size=128, device="cpu", amp=False):
    """One forward pass of the untouched network over the chosen images, and what erasure needs to know of it.

    Args: targets: names of the forgotten heads; stages: module names, shallow to deep
    Returns: Notes; the features that the heads see are a stage of their own, so where the last stage gives the same
        numbers it counts twice
    """
    kept = [i for i, name in enumerate(model.attributes) if name not in targets]
    logits, seen = [], {}
    with torch.no_grad(), pooled_outputs(model, stages) as outputs:
        for _, images in chosen_batches(data, choice, batch_size, device):
            with torch.autocast(images.device.type, torch.bfloat16, enabled=amp):
                logits.append(model(images).float())
            for stage, values in outputs.items():
                seen.setdefault(stage, []).append(values)
    logits, seen = torch.cat(logits), {stage: torch.cat(parts) for stage, parts in seen.items()}
    weights = torch.from_numpy(choice.weights).to(device) / len(choice.weights)
    confounders = _confounders(logits[:, kept], weights)
    wanted = residuals(torch.from_numpy(choice.labels).to(device).float(), confounders, weights)
    goals = {stage: _without_shift(values, wanted, confounders, weights) for stage, values in seen.items()}
    scales = {stage: values.var(0).mean() + 1e-8 for stage, values in seen.items()}
    return Notes(logits, goals, scales, confounders, kept)


def _without_shift(features, wanted, confounders, weights):
    """Features (N, C) whose class means agree: the shift that goes with each target's residual is taken out."""
    left = residuals(features, confounders, weights)
    gram = (wanted * weights[:, None]).T @ wanted + 1e-8 * torch.eye(wanted.shape[1], device=wanted.device)
    shift, _ = torch.linalg.solve_ex(gram, (wanted * weights[:, None]).T @ left)
    return features - wanted @ shift


def _confounders(logits, weights):
    """(N, Z) standardised columns that stand for the kept outputs: logits and probabilities, or their main components.

    A batch can't spare a degree of freedom for each of many columns, so above eight the strongest components stand in.
    """
    columns = torch.cat([logits.sigmoid(), logits], 1)
    columns = columns - (weights[:, None] * columns).sum(0)
    columns = columns / ((weights[:, None] * columns.square()).sum(0).sqrt() + 1e-6)
    if columns.shape[1] <= MOST_CONFOUNDERS:
        return columns
    _, vectors = torch.linalg.eigh((weights[:, None] * columns).T @ columns)
    columns = columns @ vectors[:, -MOST_CONFOUNDERS:]
    return columns / ((weights[:, None] * columns.square()).sum(0).sqrt() + 1e-6)
