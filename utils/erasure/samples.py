"""What erasure learns from: which images, how much each counts, and how a network's values shift with the targets."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from utils.common.errors import InputError, warn

MOST_CONFOUNDERS = 32
REGRESSION_RIDGE = 1e-4  # on the kept outputs, whose columns have unit variance
GRAM_RIDGE = 1e-8  # on the residual labels' covariance
COLUMNS_RIDGE = 1e-9  # of the largest singular value: columns that follow from one another
LEAST_GRAM, SAFE_RIDGE = 1e-5, 1e-3  # in mean variances of the labels: a direction with less than the first needs both
ORDER, FLIPS = 5, 6  # streams of random numbers
AT_A_TIME = 128  # images whose maps are combined, or computed anew


@dataclass(frozen=True)
class TrainingSample:
    """N training images in the order in which they are used, for T targets.

    rows: (N,) row numbers, repeats allowed; labels: (N, T) uint8 of the targets; weights: (N,) float32, mean 1, that
    give each combination of target labels the share it has among all images offered; flips: (N,) bool
    base_rates: (T,) shares of the targets among all images offered
    """

    rows: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    flips: np.ndarray
    base_rates: np.ndarray

    def reordered(self, places):
        """The images at some places (M,), repeats allowed, in their order."""
        per_image = {name: getattr(self, name)[places] for name in ("rows", "labels", "weights", "flips")}
        return replace(self, **per_image)


@dataclass(frozen=True)
class ConditionalShift:
    """How the values of N images shift with T targets, given the kept outputs: read-outs on the device.

    weights: (N,) with sum 1; readout: (T, N), readout @ values is the slope of values on the targets' residual labels,
    which are the labels without what the kept outputs imply; gram: (T, T) covariance of the residual labels
    kept_readout: (Z, N), the same for the kept outputs given the targets: shifts that must stay
    images: how many of the N are different ones
    on_moments: the same shifts read off moments (Q, C, H, W), see `weighted_columns`, instead of N maps; there, None
    """

    weights: torch.Tensor
    readout: torch.Tensor
    gram: torch.Tensor
    kept_readout: torch.Tensor
    images: int
    on_moments: "ConditionalShift | None" = None

    def of_targets(self, maps, through=None):
        """Shift of maps (N, C, H, W) with each target, at each position: (T, C, H, W) float32.

        Args: through: function of maps (n, C, H, W), called with some images at a time: the shift of what it gives
        """
        return combine_images(self.readout, maps, through)

    def of_kept(self, maps):
        """Shift of maps (N, C, H, W) with each column of the kept outputs: (Z, C, H, W) float32."""
        return combine_images(self.kept_readout, maps)

    def mean_map(self, maps):
        """Weighted mean of maps (N, C, H, W) over the images: (C, H, W) float32."""
        return combine_images(self.weights[None], maps)[0]

    def mean(self, maps):
        """Weighted mean of each channel of maps (N, C, H, W): (C,) float32."""
        return self.mean_map(maps).mean((1, 2))


def parts_of(count):
    """Slices that take `count` images a few at a time: as float32, all maps together would be the most that is held."""
    return [slice(start, min(start + AT_A_TIME, count)) for start in range(0, count, AT_A_TIME)]


def combine_images(readout, maps, through=None):
    """Combinations (T, N) of maps (N, C, H, W), or of a function of them: (T, C, H, W) float32."""
    combined = 0
    for part in parts_of(len(maps)):
        rows = (through(maps[part]) if through else maps[part]).permute(0, 2, 3, 1)
        combined = combined + readout[:, part] @ rows.float().flatten(1)  # no copy where channels lie last in memory
    return combined.view(-1, *rows.shape[1:]).permute(0, 3, 1, 2)


def choose_images(rows, labels, count, batch_size, positives=0.25, seed=0):
    """Draw batches in which every target is common enough to learn from.

    Args:
        rows: (M,) row numbers offered; labels: (M, T) 0/1 of the targets
        count: images in all, repeats included; rounded down to whole batches, at least one
        positives: least share of a batch that has one of the targets, shared out among them; more where they are common
    Returns: TrainingSample
    Raises: InputError if a target is on no or on every image offered
    """
    labels, generator = np.asarray(labels).astype(bool), np.random.default_rng([seed, ORDER])
    rates = labels.mean(0)
    if not ((rates > 0) & (rates < 1)).all():
        raise InputError("erasure needs images with and without each target: one of them is on none or on all")
    without = np.flatnonzero(~labels.any(1))
    others = without if len(without) else np.arange(len(labels))  # each image has a target: any of them fills a batch
    pools = [*(np.flatnonzero(column) for column in labels.T), others]
    slots = [max(1, round(batch_size * min(0.5, max(positives, rate)) / len(rates))) for rate in rates]
    slots.append(max(0, batch_size - sum(slots)))
    cycles = [_shuffled_forever(pool, generator) for pool in pools]
    plan = np.repeat(np.arange(len(slots)), slots)  # of a batch, or of several where there are more targets than places
    turns = np.arange(max(1, count // batch_size) * batch_size) % len(plan)
    places = np.array([next(cycles[pool]) for pool in plan[turns]])
    flips = np.random.default_rng([seed, FLIPS]).random(len(places)) < 0.5
    drawn = labels[places].astype(np.uint8)
    return TrainingSample(np.asarray(rows)[places], drawn, _natural_weights(labels, places), flips, rates)


def _shuffled_forever(pool, generator):
    while True:
        yield from generator.permutation(pool)


def number_combinations(labels):
    """Number of each row's combination of labels (M, T), from 0, first column first: (M,) ints."""
    _, numbers = np.unique(labels, axis=0, return_inverse=True)
    return numbers.reshape(-1)  # some versions of numpy keep the axis


def _natural_weights(labels, places):
    """(N,) float32, mean 1, that undo the draw of `places` (N,) from (M, T) labels, combination by combination."""
    numbers = number_combinations(labels)
    natural = np.bincount(numbers) / len(numbers)
    drawn = np.bincount(numbers[places], minlength=len(natural)) / len(places)
    weights = natural[numbers[places]] / drawn[numbers[places]]
    return (weights / weights.mean()).astype(np.float32)


def sample_batches(data, sample, batch_size, device):
    """Batches of a sample's images, mirrored where it says so: yields (slice of places, images (B, 3, H, W))."""
    flips = torch.from_numpy(sample.flips).to(device)
    for number, (images, _) in enumerate(data.batches(sample.rows, batch_size, device)):
        part = slice(number * batch_size, number * batch_size + len(images))
        mirrored = torch.where(flips[part, None, None, None], images.flip(3), images)
        yield part, mirrored.contiguous(memory_format=torch.channels_last)


def weighted_columns(sample, kept_logits, part=slice(None)):
    """Columns (n, Q) of some images, sums by which over all images hold every shift: the moments of a value.

    They are the weights times 1, each target's label, each kept output and its probability, from which
    `make_conditional_shift` makes its read-outs: known image by image, so no value needs to be kept till the last one.

    Args: kept_logits: (n, K) of the images at `part`, on the device
    """
    device = kept_logits.device
    weights = torch.from_numpy(sample.weights[part]).to(device)[:, None]
    labels = torch.from_numpy(sample.labels[part]).to(device).float()
    return weights * torch.cat([torch.ones_like(weights), labels, kept_logits.sigmoid(), kept_logits], 1)


def make_conditional_shift(sample, kept_logits):
    """Read-outs of a sample's shifts, given kept logits (N, K) on the device.

    A network that never saw a target keeps what the kept outputs imply of it, so that is taken out of the labels.

    Returns: ConditionalShift
    Raises: torch.linalg.LinAlgError if the logits are not finite
    """
    device = kept_logits.device
    weights = torch.from_numpy(sample.weights).to(device)
    weights = weights / weights.sum()
    confounders = summarise_logits(kept_logits, weights)
    labels = torch.from_numpy(sample.labels).to(device).float()
    residual_labels = regress_out(labels, confounders, weights)
    weighted = (residual_labels * weights[:, None]).T
    gram = weighted @ residual_labels
    ridge = _gram_ridge(gram, (labels - weights @ labels).square().T @ weights)
    readout = torch.linalg.solve(gram + ridge * torch.eye(len(gram), device=device), weighted)
    partial = regress_out(confounders, labels, weights)
    kept_readout = (partial * weights[:, None]).T / ((weights[:, None] * partial.square()).sum(0)[:, None] + 1e-6)
    inverse = torch.linalg.pinv(weighted_columns(sample, kept_logits).double(), rtol=COLUMNS_RIDGE).T
    on_moments = [(rows.double() @ inverse).float() for rows in (weights, readout, kept_readout)]
    images = len(np.unique(sample.rows))
    moments = ConditionalShift(on_moments[0], on_moments[1], gram, on_moments[2], images)
    return ConditionalShift(weights, readout, gram, kept_readout, images, moments)


def _gram_ridge(gram, variances):
    """Ridge on the residual labels' covariance (T, T); `variances` (T,) of the labels themselves.

    Raises: torch.linalg.LinAlgError if the covariance is not finite
    """
    scale = float(variances.mean())
    if float(torch.linalg.eigvalsh(gram.double())[0]) > LEAST_GRAM * scale:
        return GRAM_RIDGE
    text = "targets follow from one another or from the kept outputs: what they share can't be told apart"
    warn(f"{text}, a larger ridge is used")
    return SAFE_RIDGE * scale


def regress_out(values, confounders, weights):
    """What is left of values (N, C) after a weighted linear regression on [1, confounders].

    Args: confounders: (N, Z); weights: (N,) with sum 1
    Returns: (N, C)
    Raises: torch.linalg.LinAlgError if the regression has no solution
    """
    design = torch.cat([torch.ones_like(weights)[:, None], confounders], 1)
    weighted = design * weights[:, None]
    eye = torch.eye(design.shape[1], device=design.device)
    coefficients = torch.linalg.solve(design.T @ weighted + REGRESSION_RIDGE * eye, weighted.T @ values)
    return values - design @ coefficients


def summarise_logits(logits, weights):
    """Standardised columns (N, Z) that stand for kept logits (N, K): logits and probabilities, or main components.

    Above 32 columns the strongest components stand in, so that many heads do not use up the images.

    Raises: torch.linalg.LinAlgError if more than 16 heads' logits are not finite
    """
    columns = torch.cat([logits.sigmoid(), logits], 1)
    columns = columns - (weights[:, None] * columns).sum(0)
    columns = columns / ((weights[:, None] * columns.square()).sum(0).sqrt() + 1e-6)
    if columns.shape[1] <= MOST_CONFOUNDERS:
        return columns
    _, vectors = torch.linalg.eigh((weights[:, None] * columns).T @ columns)
    columns = columns @ vectors[:, -MOST_CONFOUNDERS:]
    return columns / ((weights[:, None] * columns.square()).sum(0).sqrt() + 1e-6)
