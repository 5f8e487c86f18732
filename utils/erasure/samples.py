"""What erasure learns from: which images, how much each counts, and in what the target's images differ from others."""

from dataclasses import dataclass

import numpy as np
import torch

from utils.common.errors import InputError

MOST_CONFOUNDERS = 32
RIDGE = 1e-4  # of the regression on the kept outputs, whose columns have unit variance
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


@dataclass(frozen=True)
class Contrast:
    """What tells images with a target from those without, given the kept outputs: N images, T targets, on the device.

    weights: (N,) with sum 1; wanted: (N, T) the targets' labels without what the kept outputs imply
    readout: (T, N): readout @ values is the shift of some values that goes with each target; gram: (T, T) of `wanted`
    held: (Z, N): the same for the kept outputs, given the targets: shifts that must stay
    """

    weights: torch.Tensor
    wanted: torch.Tensor
    readout: torch.Tensor
    gram: torch.Tensor
    held: torch.Tensor

    def shift(self, maps, held=False):
        """The targets' (or the kept outputs') shift at each position of maps (N, C, H, W): (T, C, H, W) float32."""
        return _combined(self.held if held else self.readout, maps)

    def mean_map(self, maps):
        """Weighted mean of maps (N, C, H, W) over the images: (C, H, W) float32."""
        return _combined(self.weights[None], maps)[0]

    def mean(self, maps):
        """Weighted mean of each channel of maps (N, C, H, W): (C,) float32."""
        return self.mean_map(maps).mean((1, 2))


def _combined(readout, maps):
    """Combinations (T, N) of maps (N, C, H, W): (T, C, H, W) float32."""
    rows = maps.permute(0, 2, 3, 1)
    flat = rows.flatten(1)  # no copy where the channels lie last in memory
    return (readout.to(flat.dtype) @ flat).float().view(-1, *rows.shape[1:]).permute(0, 3, 1, 2)


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


def make_contrast(choice, kept_logits, conditional=True):
    """The contrast of the chosen images.

    Args:
        kept_logits: (N, K) of the kept heads, on the device
        conditional: take out of the labels what the kept outputs imply; a network that never saw the target keeps that
    Returns: Contrast
    """
    device = kept_logits.device
    weights = torch.from_numpy(choice.weights).to(device)
    weights = weights / weights.sum()
    confounders = summarise(kept_logits if conditional else kept_logits[:, :0], weights)
    labels = torch.from_numpy(choice.labels).to(device).float()
    wanted = residuals(labels, confounders, weights)
    weighted = (wanted * weights[:, None]).T
    gram = weighted @ wanted
    readout, _ = torch.linalg.solve_ex(gram + 1e-8 * torch.eye(len(gram), device=device), weighted)
    partial = residuals(confounders, labels, weights)
    held = (partial * weights[:, None]).T / ((weights[:, None] * partial.square()).sum(0)[:, None] + 1e-6)
    return Contrast(weights, wanted, readout, gram, held)


def residuals(values, confounders, weights):
    """What is left of (N, C) values after a weighted linear regression on [1, confounders].

    Args: confounders (N, Z), weights (N,) with sum 1
    """
    design = torch.cat([torch.ones_like(weights)[:, None], confounders], 1)
    weighted = design * weights[:, None]
    eye = torch.eye(design.shape[1], device=design.device)
    coefficients, _ = torch.linalg.solve_ex(design.T @ weighted + RIDGE * eye, weighted.T @ values)
    return values - design @ coefficients


def summarise(logits, weights):
    """(N, Z) standardised columns that stand for (N, K) kept outputs: logits and probabilities, or main components.

    Above 32 columns the strongest components stand in, so that many heads do not use up the images.
    """
    columns = torch.cat([logits.sigmoid(), logits], 1)
    columns = columns - (weights[:, None] * columns).sum(0)
    columns = columns / ((weights[:, None] * columns.square()).sum(0).sqrt() + 1e-6)
    if columns.shape[1] <= MOST_CONFOUNDERS:
        return columns
    _, vectors = torch.linalg.eigh((weights[:, None] * columns).T @ columns)
    columns = columns @ vectors[:, -MOST_CONFOUNDERS:]
    return columns / ((weights[:, None] * columns.square()).sum(0).sqrt() + 1e-6)
