"""Train a network on several binary attributes at once, and predict with it."""

import platform
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tqdm import tqdm

from utils import distributed
from utils.schedules import make_scheduler

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. batch_size counts the images of all processes; amp is "auto", "off" or "bf16"."""

    epochs: int = 20
    batch_size: int = 128
    lr: float = 2e-4
    optimizer: str = "adamw"
    weight_decay: float = 1e-6
    scheduler: str = "cosine_restarts"
    amp: str = "auto"
    shuffle: bool = True
    compile: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """State after an epoch (counted from 1): mean loss in nats, current rate, seconds, and what resuming needs."""

    epoch: int
    loss: float
    lr: float
    seconds: float
    state: dict


def resolve_amp(amp, device):
    """Whether to compute in bfloat16: asked for, or "auto" and native to the device (never by timing it).

    Raises: ValueError for another word
    """
    if amp not in ("auto", "off", "bf16"):
        raise ValueError(f"amp must be auto, off or bf16, got {amp!r}")
    if amp != "auto":
        return amp == "bf16"
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(native and native())


def epoch_generator(seed, epoch):
    """The CPU generator of one epoch's order and augmentation: a function of (seed, epoch) alone.

    So a resumed training goes on as if it had not stopped, and an oracle sees the images in the original's order.
    """
    return torch.Generator().manual_seed(seed * 100_003 + epoch)


def fit(model, data, recipe, device, *, augment=None, on_epoch=None, state=None):
    """Train a network in place on the data's training part.

    Args:
        model: on the device; logits (N, K) in the order of data.attributes
        data: `celeba.CelebA`
        augment: called with (images, generator) on each batch
        on_epoch: called with a `Progress` after each epoch, in the main process
        state: `Progress.state` of a stopped training, to go on from
    Raises: FloatingPointError if the loss is no longer finite
    """
    bf16 = resolve_amp(recipe.amp, device)
    model.to(memory_format=torch.channels_last)
    rows = data.everything("train")
    steps = len(_batches(distributed.share_of(rows), _batch_size(recipe)))
    optimizer = _make_optimizer(model, recipe, device)
    scheduler = make_scheduler(recipe.scheduler, optimizer, recipe.lr, steps, recipe.epochs)
    first = 0
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        first = state["epoch"]
    network = distributed.wrap(torch.compile(model) if recipe.compile else model)
    for epoch in range(first, recipe.epochs):
        start = time.perf_counter()
        loss = train_epoch(network, data, rows, optimizer, scheduler, recipe, epoch, device, augment, bf16)
        if on_epoch and distributed.is_main():
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            saved |= {"scheduler": scheduler.state_dict(), "epoch": epoch + 1}
            seconds, rate = time.perf_counter() - start, optimizer.param_groups[0]["lr"]
            on_epoch(Progress(epoch + 1, loss, rate, seconds, saved))
        distributed.wait()
    return model


def train_epoch(network, data, rows, optimizer, scheduler, recipe, epoch, device, augment, bf16):
    """One pass over `rows`; returns the mean loss. The loss stays on the device until the pass is over.

    Raises: FloatingPointError if it is not finite
    """
    generator = epoch_generator(recipe.seed, epoch)
    if recipe.shuffle:
        rows = rows[torch.randperm(len(rows), generator=generator).numpy()]
    rows = distributed.share_of(rows)
    batches = _batches(rows, _batch_size(recipe))
    rows = rows[: sum(batches)]
    change = None if augment is None else (lambda images, _: augment(images, generator))
    network.train()
    total = torch.zeros((), device=device)
    label = f"epoch {epoch + 1}/{recipe.epochs}"
    hidden = True if not distributed.is_main() else None
    stream = data.batches(rows, _batch_size(recipe), device, augment=change)
    for images, labels in tqdm(stream, total=len(batches), desc=label, unit="batch", leave=False, disable=hidden):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            logits = network(images)
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.detach() * len(images)
    mean = distributed.mean(total / len(rows)).item()
    if not mean < float("inf"):
        raise FloatingPointError(
            f"the loss is {mean} in epoch {epoch + 1}: a smaller learning rate than {recipe.lr:g} may help"
        )
    return mean


def _batch_size(recipe):
    return max(1, recipe.batch_size // distributed.world_size())


def _batches(rows, batch_size):
    """Sizes of the batches; a last batch of one image is left out, batch norm cannot train on it."""
    sizes = [min(batch_size, len(rows) - start) for start in range(0, len(rows), batch_size)]
    return sizes[:-1] if len(sizes) > 1 and sizes[-1] == 1 else sizes


def _make_optimizer(model, recipe, device):
    if recipe.optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {recipe.optimizer!r}: expected one of {', '.join(OPTIMIZERS)}")
    options = {"momentum": 0.9} if recipe.optimizer == "sgd" else {}
    fused = torch.device(device).type in ("cpu", "cuda")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    make = OPTIMIZERS[recipe.optimizer]
    return make(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused, **options)


def predict(model, data, rows, batch_size, device, *, bf16=False):
    """Logits and labels of some rows, (N, K) float32 tensors on the CPU; the network is in eval mode meanwhile.

    Predictions stay on the device and are moved once.
    """
    was_training = model.training
    model.eval()
    outputs, targets = [], []
    total = -(-len(rows) // batch_size)
    try:
        with torch.inference_mode(), torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            stream = data.batches(rows, batch_size, device)
            for images, labels in tqdm(stream, total=total, desc="evaluating", unit="batch", leave=False, disable=None):
                outputs.append(model(images).float())
                targets.append(labels)
    finally:
        model.train(was_training)
    return torch.cat(outputs).cpu().clone(), torch.cat(targets).cpu().clone()


def largest_share_of_equal_values(model, other):
    """Largest share of equal elements over the weights of more than one axis that two networks have by the same name.

    Close to 0 for networks that share no values (single coincidences of float32 remain), 1 for equal ones.
    """
    theirs = dict(other.named_parameters())
    shares = [
        (value == theirs[name]).float().mean()
        for name, value in model.named_parameters()
        if value.dim() > 1 and name in theirs and value.shape == theirs[name].shape
    ]
    return torch.stack(shares).max().item()
