"""Relearning from the kept labels only: a short training on what was to stay, then probes again.

An attribute that comes back without a single label of its own was out of the activations, never out of the weights.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from models.heads import get_heads
from utils.attacks.passes import read_anew
from utils.datasets.augmentation import Augmentation
from utils.probes.attack import Attack
from utils.probes.linear import LINEAR
from utils.probes.unpooled import UNPOOLED
from utils.training.recipe import (
    LEAST_BFLOAT16,
    TrainingSettings,
    amp_at,
    make_scheduler,
    resolve_amp,
    weight_layout,
)

IMAGES = {"quick": 3000, "full": 20_000}  # most training images of the audit's levels
UNPOOLED_STAGES = 2  # the deepest ones: a map of the low ones is large, and changes least
LEAST_STEPS = 10  # of the training; few images are repeated
SETTINGS = TrainingSettings(epochs=1, batch_size=64, lr=5e-4, scheduler="onecycle")


def run(subject):
    """Scores of a linear probe of each stage, and of an un-pooled one of the deepest, after a training on kept labels.

    Args: subject: `utils.probes.attack.Subject`
    Returns: {"linear layer4", "unpooled layer3", …: (M,) scores, or None}; {} without a kept head or two images, or if
        the training diverges
    """
    setup = subject.setup
    kept = [name for name in get_heads(subject.model).attributes if name not in (setup.target, *setup.forgotten)]
    rows = np.random.default_rng([setup.seed, 5]).permutation(setup.data.rows("train"))[: IMAGES[setup.level.name]]
    if not kept or len(rows) < 2:
        return {}
    model = train_on(subject.model, setup.data, rows, kept, device=setup.device, seed=setup.seed)
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        return {}
    deepest = list(subject.train.maps)[-UNPOOLED_STAGES:]
    tuned = read_anew(subject, model, maps=deepest)
    scores = {f"linear {stage}": found for stage, found in LINEAR.run(tuned).items()}
    return scores | {f"unpooled {stage}": found for stage, found in UNPOOLED.run(tuned).items()}


KEPT_LABELS = Attack("kept_labels", run, costly=True)


def train_on(model, data, rows, heads, *, settings=SETTINGS, device="cpu", seed=0):
    """Train a copy of a network for some heads only, everything adjustable, on images that are flipped at random.

    Batch norms see each batch as in any training, which brings back more than with fixed statistics; dropout stays off.
    Bfloat16 where the device has instructions for it, see `utils.training.recipe.amp_at`.

    Args: rows (n,): of the images, in the order of training, repeated up to LEAST_STEPS batches; those of a last batch
        that is not whole are left out
        heads: names, whose labels count; seed: of the flips
    Returns: the trained copy, in evaluation mode; `model` stays as it is
    """
    amp = resolve_amp(amp_at(settings.amp, getattr(data, "img_size", LEAST_BFLOAT16)), device)
    flips = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(model).to(memory_format=weight_layout(device, amp)).eval().requires_grad_(True)
    for module in model.modules():
        module.train(isinstance(module, _BatchNorm))  # parents come first: a norm is the last that is asked
    size, augment = min(settings.batch_size, len(rows)), Augmentation(degrees=0)
    rows = np.resize(rows, max(len(rows), LEAST_STEPS * size))
    steps = len(rows) // size
    optimizer = settings.make_optimizer(model.parameters())
    scheduler = make_scheduler(settings.scheduler, optimizer, settings.lr, 1, steps)
    outputs = [get_heads(model).index(name) for name in heads]
    columns = [data.attributes.index(name) for name in heads]
    for images, labels in data.batches(rows[: steps * size], size, device):
        with torch.autocast(images.device.type, torch.bfloat16, enabled=amp):
            logits = model(augment(images, flips)).float()[:, outputs]
        optimizer.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(logits, labels[:, columns]).backward()
        optimizer.step()
        scheduler.step()
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # the images' own order
