"""Training a network with one logit per attribute: an epoch, all epochs, going on with a stopped training.

Sums and metrics stay on the device; the host waits for it once an epoch.
"""

import math
import time
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from utils.common import distributed
from utils.common.errors import InputError
from utils.evaluation.predict import progress_bar
from utils.network.modes import keeping_modes
from utils.training.batch_norm import share_batch_norms
from utils.training.recipe import check_sharing, make_scheduler, resolve_amp, weight_layout
from utils.training.resume import check_settings

ORDER, AUGMENT, LAYERS = range(3)  # streams of random numbers within an epoch


class TrainingDiverged(InputError, RuntimeError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Progress:
    """What an epoch gave; `epoch` counts from 1.

    loss: mean over images and heads; accuracy: {attribute: share} of the training batches as they came
    lr: the next step's; seconds: of training; state: see utils.training.resume; its tensors live on in the training, so
    save or copy it before it goes on
    """

    epoch: int
    loss: float
    accuracy: dict
    lr: float
    seconds: float
    images_per_second: float
    state: dict


def fit(model, data, settings, device="cpu", *, augment=None, train_rows=None, on_epoch=None, state=None):
    """Train a network in place, all epochs; arguments and errors as `train_epochs`.

    Args:
        on_epoch: called with a `Progress` after each epoch, on every process
    """
    model.to(device)
    optimizer = settings.make_optimizer(model.parameters())
    options = {"augment": augment, "train_rows": train_rows, "state": state}
    for progress in train_epochs(model, optimizer, data, settings, device, **options):
        if on_epoch is not None:
            on_epoch(progress)


def train_epochs(model, optimizer, data, settings, device="cpu", *, augment=None, train_rows=None, state=None):
    """Train a network in place: an epoch each time that the next `Progress` is asked for.

    The order of the images, their augmentation and the layers' own noise in an epoch depend on (seed, epoch) alone, so
    a resumed training ends as one in one go does, and two networks see the same images in the same order.

    Args:
        model: on the device; optimizer: of its parameters, see `TrainingSettings.make_optimizer`
        data: a `utils.datasets.dataset.ImageDataset`, or what has its `rows` and `batches`
        settings: a `TrainingSettings`
        augment: function of (images on the device, CPU generator), see `utils.datasets.augmentation`; None: unchanged
        train_rows: rows to train on; None: all of data's "train"
        state: of a stopped training, to go on from; one of a finished training trains no more
    Yields: Progress
    Raises: TrainingDiverged if the loss is no number; InputError if there is nothing to train on or `state` is of
        other settings
    """
    device, amp = torch.device(device), resolve_amp(settings.amp, device)
    rows = np.asarray(data.rows("train") if train_rows is None else train_rows)
    model.to(memory_format=weight_layout(device, amp))
    mine, batch_size = rows_of_epoch(rows, settings, 0)
    steps = -(-len(mine) // batch_size)
    scheduler = make_scheduler(settings.scheduler, optimizer, settings.lr, settings.epochs, steps)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    fixed = settings.fixed(device, attributes=list(model.attributes), images=len(rows), augment=repr(augment))
    if state is not None:
        check_settings(state, fixed)
        for name, part in parts.items():
            part.load_state_dict(state[name])
    network = _for_training(model, device, settings.compile)
    for epoch in range(state["epoch"] if state else 0, settings.epochs):
        label, start = f"epoch {epoch + 1}/{settings.epochs}", time.perf_counter()
        torch.manual_seed(stream_seed(settings.seed, epoch, LAYERS, distributed.rank()))  # dropout draws from this one
        batches = progress_bar(training_batches(data, rows, settings, epoch, augment, device), label, steps)
        shares = batch_shares(len(rows), settings)
        with keeping_modes(model):
            loss, accuracy = train_epoch(network, batches, optimizer, scheduler, amp, shares)
        if not math.isfinite(loss):
            raise TrainingDiverged(f"the loss is {loss} in epoch {epoch + 1}: use a --lr below {settings.lr:g}")
        distributed.copy_buffers(model)
        seconds = time.perf_counter() - start
        now = {"epoch": epoch + 1, "settings": fixed} | {name: part.state_dict() for name, part in parts.items()}
        accuracy = dict(zip(model.attributes, accuracy, strict=True))
        rate = optimizer.param_groups[0]["lr"]
        yield Progress(epoch + 1, loss, accuracy, rate, seconds, len(rows) / seconds, now)


def train_epoch(network, batches, optimizer, scheduler=None, amp=False, shares=None):
    """One optimizer step for each batch.

    Args:
        network: maps images (B, 3, H, W) to logits (B, K)
        batches: pairs of images and labels (B, K), on the device
        scheduler: stepped after each step of the optimizer
        shares: factor of each batch's loss, see `batch_shares`; None: 1
    Returns: (mean loss, [accuracy of each head]) over all images, of all processes
    """
    network.train()
    sums, count = 0, 0
    for (images, labels), share in zip(batches, repeat(1.0) if shares is None else shares, strict=shares is not None):
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=amp):
            logits = network(images).float()
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        (loss if share == 1 else loss * share).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        with torch.no_grad():
            right = ((logits > 0) == (labels > 0.5)).sum(0)
            sums = sums + torch.cat([loss.detach()[None] * len(images), right]).double()
        count += len(images)
    optimizer.zero_grad(set_to_none=True)  # the last gradients are of no use to anyone
    sums = torch.cat([sums, sums.new_tensor([count])])
    *means, count = distributed.reduce_sum(sums).tolist()  # the only time that the host waits
    return means[0] / count, [right / count for right in means[1:]]


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


def training_batches(data, rows, settings, epoch, augment, device):
    """Batches of one epoch as they are trained on: iterator of images (B, 3, H, W), augmented, and labels (B, K)."""
    mine, batch_size = rows_of_epoch(rows, settings, epoch)
    generator = torch.Generator().manual_seed(stream_seed(settings.seed, epoch, AUGMENT))
    sizes = batch_sizes(len(rows), settings.batch_size)
    for (images, labels), size in zip(data.batches(mine, batch_size, device), sizes, strict=True):
        # every process draws for the whole batch: an image is turned alike, whichever holds it
        part = {"part": (distributed.rank(), distributed.world_size(), size)} if distributed.active() else {}
        yield (images if augment is None else augment(images, generator, **part)), labels


def _for_training(model, device, compile):
    if distributed.active():
        share_batch_norms(model, device)
        # static graph: a network may own parameters that its output does not depend on
        devices = [device.index] if device.type == "cuda" else None
        model = DistributedDataParallel(model, device_ids=devices, static_graph=True)
    return torch.compile(model) if compile else model
