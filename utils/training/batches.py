"""The batches of an epoch: order, share of this process, augmentation, and the generators that all noise comes from.

Each generator of an epoch is seeded by (seed, epoch) alone, so an epoch does not depend on what was before it.
"""

import numpy as np
import torch

from utils.common import distributed
from utils.common.errors import InputError

ORDER, AUGMENT, LAYERS = range(3)  # streams of random numbers within an epoch


def stream_seed(seed, epoch, stream, rank=0):
    """Seed of one of an epoch's independent streams of random numbers."""
    return int(np.random.SeedSequence((seed, epoch, stream, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def rows_of_epoch(rows, settings, epoch):
    """This process's rows of an epoch in their order, and its batch size; all processes get equally many.

    Raises: InputError if there are too few rows, or the batch size can't be shared out
    """
    processes = distributed.world_size()
    if settings.batch_size % processes:
        raise InputError(f"--batch_size {settings.batch_size} can't be shared by {processes} processes: use a multiple")
    if settings.shuffle:
        generator = torch.Generator().manual_seed(stream_seed(settings.seed, epoch, ORDER))
        rows = rows[torch.randperm(len(rows), generator=generator).numpy()]
    batch_size = settings.batch_size // processes
    # a batch of the whole is the batches of the processes together, and each of these is a stride of it
    mine = rows[: len(rows) // processes * processes][distributed.rank() :: processes]
    if len(mine) % batch_size == 1 and batch_size > 1:
        mine = mine[:-1]  # batch norm has no spread to measure in one image
    if not len(mine):
        raise InputError(f"{len(rows)} training images are too few for {processes} processes: at least 2 for each")
    return mine, batch_size


def training_batches(data, rows, settings, epoch, augment, device, *, done=0, generator=None):
    """Batches of one epoch as they are trained on: iterator of images (B, 3, H, W), augmented, and labels (B, K).

    Args:
        done: batches of the epoch to leave out, as they were trained on before
        generator: that the augmentation draws from, as `Generators.augment`; None: that of the epoch's beginning
    """
    mine, batch_size = rows_of_epoch(rows, settings, epoch)
    generator = generator or Generators(settings.seed, epoch, "cpu").augment
    for images, labels in data.batches(mine[done * batch_size :], batch_size, device):
        yield (images if augment is None else augment(images, generator)), labels


class Generators:
    """The generators of an epoch: one of the augmentation, and torch's own on CPU and GPU, of the layers' noise."""

    def __init__(self, seed, epoch, device):
        """Those of the beginning of an epoch; torch's own are seeded by `start` only."""
        self._seed = stream_seed(seed, epoch, LAYERS, distributed.rank())
        self.augment = torch.Generator().manual_seed(stream_seed(seed, epoch, AUGMENT, distributed.rank()))
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
