"""Training a network with one logit per attribute: an epoch, all epochs, going on with a stopped training.

Sums and metrics stay on the device; the host waits for it once an epoch.
"""

import math
import time
import warnings
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from utils.common import distributed
from utils.common.errors import InputError
from utils.common.interrupts import Stopped, Stopping
from utils.common.normalisation import HALF
from utils.evaluation.predict import progress_bar
from utils.network.modes import keeping_modes
from utils.training.batch_norm import share_batch_norms
from utils.training.batches import Generators, batch_shares, batch_sizes, rows_of_epoch, training_batches
from utils.training.recipe import make_scheduler, resolve_amp, weight_layout
from utils.training.resume import check_settings, load_parts


class TrainingDiverged(InputError, RuntimeError):
    """The loss or a weight is no longer a number."""


class TrainingStopped(Stopped):
    """A signal ended the training after a whole batch; `state`: what it goes on from."""

    def __init__(self, number, state):
        super().__init__(number)
        self.state = state


@dataclass(frozen=True)
class Progress:
    """What an epoch gave; `epoch` counts from 1.

    loss: mean over images and heads; accuracy: {attribute: share} of the training batches as they came
    lr: the next step's; seconds: of training; state: see utils.training.resume; its tensors live on in the training, so
    save or copy it before it goes on; last_step: the same at the end of the epoch's last step, to be looked at again
    """

    epoch: int
    loss: float
    accuracy: dict
    lr: float
    seconds: float
    images_per_second: float
    state: dict
    last_step: dict


def fit(model, data, settings, device="cpu", *, augment=None, train_rows=None, on_epoch=None, **options):
    """Train a network in place, all epochs; arguments and errors as `train_epochs`.

    Args:
        on_epoch: called with a `Progress` after each epoch, on every process
    """
    model.to(device)
    optimizer = settings.make_optimizer(model.parameters())
    options |= {"augment": augment, "train_rows": train_rows}
    for progress in train_epochs(model, optimizer, data, settings, device, **options):
        if on_epoch is not None:
            on_epoch(progress)


def train_epochs(
    model,
    optimizer,
    data,
    settings,
    device="cpu",
    *,
    augment=None,
    train_rows=None,
    state=None,
    fixed=None,
    stopping=None,
):
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
        fixed: {what: plain value} that decides the result, kept in the state; None: `TrainingSettings.fixed`
        stopping: a `utils.common.interrupts.Stopping` that may end the training after a whole batch
    Yields: Progress
    Raises: TrainingDiverged if the loss or a weight is no number; TrainingStopped; InputError if there is nothing to
        train on or `state` is of other settings
    """
    device, amp = torch.device(device), resolve_amp(settings.amp, device)
    rows = np.asarray(data.rows("train") if train_rows is None else train_rows)
    model.to(memory_format=weight_layout(device, amp))
    mine, batch_size = rows_of_epoch(rows, settings, 0)
    steps = -(-len(mine) // batch_size)
    scheduler = make_scheduler(settings.scheduler, optimizer, settings.lr, settings.epochs, steps)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    own = {"attributes": list(model.attributes), "images": len(rows), "augment": repr(augment)}
    if (normalisation := getattr(data, "normalisation", HALF)) != HALF:  # states of before do not say
        own["normalisation"] = str(normalisation)
    fixed, begun = (fixed or settings.fixed(device)) | own, {}
    if state is not None:
        check_settings(state, fixed)
        load_parts(state, parts)
        begun = state if state.get("step") else {}
    network, stopping = _for_training(model, device, settings.compile), stopping or Stopping()

    def now(epoch, step=0, **more):
        return {
            "epoch": epoch,
            "step": step,
            "settings": fixed,
            **{k: part.state_dict() for k, part in parts.items()},
            **more,
        }

    for epoch in range(state["epoch"] if state else 0, settings.epochs):
        label, start = f"epoch {epoch + 1}/{settings.epochs}", time.perf_counter()
        generators, done = Generators(settings.seed, epoch, device).start(begun.get("generators")), begun.get("step", 0)
        where = {"done": done, "generator": generators.augment}
        batches = training_batches(data, rows, settings, epoch, augment, device, **where)
        shares = batch_shares(len(rows), settings)[done:]
        sums = begun["sums"].to(device) if begun else 0
        begun = {}
        with keeping_modes(model), stopping.finishing(waits=not distributed.active()):
            bar = progress_bar(batches, label, steps - done)
            sums, trained = train_steps(network, _until(bar, stopping), optimizer, scheduler, amp, sums, shares)
            last = {"step": done + trained, "sums": sums}
            if stopping.requested:
                stopping.ignore_more()
                stopped = now(epoch, generators=generators.states(), **last)
                raise TrainingStopped(stopping.number, stopped)
        loss, accuracy = means_of(sums)
        if not math.isfinite(loss):
            raise TrainingDiverged(f"the loss is {loss} in epoch {epoch + 1}: use a --lr below {settings.lr:g}")
        distributed.copy_buffers(model)
        if not torch.stack([value.isfinite().all() for value in model.parameters()]).all():
            cure = f"use a --lr below {settings.lr:g}, or less --weight_decay" + ", or --amp off" * amp
            raise TrainingDiverged(f"weights are not finite after epoch {epoch + 1}, though the loss is: {cure}")
        seconds = time.perf_counter() - start
        accuracy = dict(zip(model.attributes, accuracy, strict=True))
        figures = {"lr": optimizer.param_groups[0]["lr"], "seconds": seconds}
        figures["images_per_second"] = sum(batch_sizes(len(rows), settings.batch_size)[done:]) / seconds
        yield Progress(epoch + 1, loss, accuracy, state=now(epoch + 1), last_step=now(epoch, **last), **figures)


def train_steps(network, batches, optimizer, scheduler=None, amp=False, sums=0, shares=None):
    """One optimizer step for each batch.

    Args:
        network: maps images (B, 3, H, W) to logits (B, K)
        batches: pairs of images and labels (B, K), on the device
        scheduler: stepped after each step of the optimizer
        sums: of earlier batches of the epoch, to be added to
        shares: factor of each batch's loss, see `batch_shares`; None: 1
    Returns: (sums (K + 2,) float64 on the device: loss times images, right ones of each head, images; number of steps)
    """
    network.train()
    steps = 0
    for (images, labels), share in zip(batches, repeat(1.0) if shares is None else shares, strict=False):
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
            counted = F.pad(right, (0, 1), value=len(images))  # a count made on the device: nobody waits for it
            sums = sums + torch.cat([loss.detach()[None] * len(images), counted]).double()
        steps += 1
    optimizer.zero_grad(set_to_none=True)  # the last gradients are of no use to anyone
    return sums, steps


def means_of(sums):
    """(mean loss, [accuracy of each head]) over all images, of all processes, from the `sums` of `train_steps`."""
    *totals, count = distributed.reduce_sum(sums).tolist()  # the only time that the host waits
    return totals[0] / count, [right / count for right in totals[1:]]


def _until(batches, stopping):
    """Batches, but none after one during which a signal came."""
    for batch in batches:
        yield batch
        if stopping.requested:
            return


def _for_training(model, device, compile):
    if distributed.active():
        share_batch_norms(model, device)
        warnings.filterwarnings("ignore", "Grad strides do not match")  # of a 1 x 1 kernel both orders are one
        # static graph: a network may own parameters that its output does not depend on
        devices = [device.index] if device.type == "cuda" else None
        model = DistributedDataParallel(model, device_ids=devices, static_graph=True)
    return torch.compile(model) if compile else model
