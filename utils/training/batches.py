"""The batches of an epoch: order, share of this process, augmentation, and the generators that all noise comes from.

Each generator of an epoch is seeded by (seed, epoch) alone, so an epoch does not depend on what was before it.
"""

import numpy as np
import torch

from utils.common import distributed
from utils.common.errors import InputError
from utils.training.recipe import check_sharing

ORDER, AUGMENT, LAYERS = range(3)  # streams of random numbers within an epoch


def stream_seed(seed, epoch, stream, rank=0):
    """Seed of one of an epoch's independent streams of random numbers."""
    return int(np.random.SeedSequence((seed, epoch, stream, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def rows_of_epoch(rows, settings, epoch):
    """This process's rows of an epoch in their order, and its batch size: of every batch each has its stride.

    Raises: InputError if there are too few rows, or the batch size can't be shared out
    """
    processes = distributed.world_size()
    check_sharing(settings.batch_size)
    if settings.shuffle:
        generator = torch.Generator().manual_seed(stream_seed(settings.seed, epoch, ORDER))
        rows = rows[torch.randperm(len(rows), generator=generator).numpy()]
    kept = sum(batch_sizes(len(rows), settings.batch_size))
    if not kept:
        raise InputError(
            f"{len(rows)} training images are too few for {processes} processes: at least {max(processes, 2)}"
        )
    return rows[:kept][distributed.rank() :: processes], settings.batch_size // processes


def batch_sizes(count, batch_size):
    """Sizes of an epoch's batches of `count` images, over all processes together.

    A last one is left out if a process would get no image of it, or batch norm one image: it has no spread to measure.
    """
    whole, rest = divmod(count, batch_size)
    least = max(distributed.world_size(), 2 if batch_size > 1 else 1)
    return [batch_size] * whole + [rest] * (rest >= least)


def batch_shares(count, settings):
    """Factor of this process's mean loss of each batch, so that the mean over the processes is that over all images.

    Args: count: images of an epoch; settings: `TrainingSettings`
    Returns: list of floats, 1 where the processes have equal parts of a batch
    """
    first, step = distributed.rank(), distributed.world_size()
    return [len(range(first, size, step)) * step / size for size in batch_sizes(count, settings.batch_size)]


def training_batches(data, rows, settings, epoch, augment, device, *, done=0, generator=None):
    """Batches of one epoch as they are trained on: iterator of images (B, 3, H, W), augmented, and labels (B, K).

    Args:
        done: batches of the epoch to leave out, as they were trained on before
        generator: that the augmentation draws from, as `Generators.augment`; None: that of the epoch's beginning
    """
    mine, batch_size = rows_of_epoch(rows, settings, epoch)
    generator = generator or Generators(settings.seed, epoch, "cpu").augment
    sizes = batch_sizes(len(rows), settings.batch_size)[done:]
    for (images, labels), size in zip(data.batches(mine[done * batch_size :], batch_size, device), sizes, strict=True):
        # every process draws for the whole batch: an image is turned alike, whichever holds it
        part = {"part": (distributed.rank(), distributed.world_size(), size)} if distributed.active() else {}
        yield (images if augment is None else augment(images, generator, **part)), labels


class Generators:
    """The generators of an epoch: one of the augmentation, and torch's own on CPU and GPU, of the layers' noise."""

    def __init__(self, seed, epoch, device):
        """Those of the beginning of an epoch; torch's own are seeded by `start` only."""
        self._seed = stream_seed(seed, epoch, LAYERS, distributed.rank())
        self.augment = torch.Generator().manual_seed(stream_seed(seed, epoch, AUGMENT))
        self._device = torch.device(device)

    def start(self, states=None):
        """Seed torch's own, dropout draws from them; or put all into the `states` that `states()` gave before."""
        torch.manual_seed(self._seed)
        if states:
            self.augment.set_state(states["augment"])
            torch.set_rng_state(states["cpu"])
            if self._device.type == "cuda" and "cuda" in states:
                torch.cuda.set_rng_state(states["cuda"], self._device)
        return self

    def states(self):
        """Where they are: {"augment", "cpu" and on a GPU "cuda": uint8 tensor}."""
        found = {"augment": self.augment.get_state(), "cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            found["cuda"] = torch.cuda.get_rng_state(self._device)
        return found
