"""One pass of a net over some images: pooled features of each stage, the features its heads see, and its logits."""

import math
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from models.heads import get_heads
from utils.common.errors import InputError
from utils.network.modes import evaluating

#: name of the last features, the ones the heads see
LAST = "features"


@dataclass(frozen=True)
class Features:
    """What a net says about N images.

    Attributes: `stages` {stage: (N, C) float32}, the last one `LAST`; `logits` (N, K) float32 in the order of
    `attributes`; `rows` (N,) the images' row numbers in the data set
    """

    stages: dict
    logits: np.ndarray
    attributes: tuple
    rows: np.ndarray


@contextmanager
def _hooks(modules, hook):
    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def default_stages(model, img_size=64):
    """Up to four places in a net at which a probe looks, shallow to deep.

    A net with layer1 … layer4 (torchvision's residual nets): those. Any other net is run once on an empty image, and
    of each spatial resolution on the way down its last block is taken, that is, what finishes last before the
    resolution falls; the four smallest resolutions above 1 x 1 count. A block is a child of the net, or of an
    `nn.Sequential` in it. Blocks that a pass uses several times (a shared pool) have no single place and are left out.

    Args: img_size: side of the images in pixels, which decides where the resolution reaches 1 x 1
    Raises: ValueError if the net has no block with a spatial output
    """
    names = dict(model.named_modules())
    residual = tuple(f"layer{i}" for i in range(1, 5))
    if all(stage in names for stage in residual):
        return residual
    finished = []  # (name, area of the output) in the order in which blocks finish

    def note(name):
        return lambda module, inputs, output: finished.append((name, _area(output)))

    parameter = next(model.parameters())
    with evaluating(model), _hooks(dict(_blocks(model)), note), torch.no_grad():
        model(torch.zeros(1, 3, img_size, img_size, device=parameter.device, dtype=parameter.dtype))
    calls = [name for name, _ in finished]
    stages, smallest = [], math.inf
    for name, area in finished:
        if 1 < area <= smallest and calls.count(name) == 1 and name != LAST:
            stages[len(stages) - (area == smallest) :] = [name]
            smallest = area
    if not stages:
        raise ValueError("no block of this network has a spatial output above 1 x 1: name the stages to probe")
    return tuple(stages[-4:])


def _blocks(module, prefix=""):
    for name, child in module.named_children():
        if type(child) is nn.Sequential:
            yield from _blocks(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def _area(output):
    return math.prod(output.shape[2:]) if isinstance(output, torch.Tensor) and output.ndim == 4 else 0


@contextmanager
def pooled_outputs(model, stages):
    """Watch a network: yields a dict that every forward pass fills with {stage: (N, C) float32}, `LAST` among them.

    Args: stages: module names; `LAST`, what the heads see, is added. Gradients flow through what is kept
    Raises: KeyError if a stage is not a module of the net
    """
    modules, seen = dict(model.named_modules()), {}
    for stage in stages:
        if stage not in modules:
            raise KeyError(f"no stage {stage!r} in this network: name modules as in named_modules()")

    def keep(name):
        return lambda module, inputs, output: seen.__setitem__(name, _pooled(output))

    def keep_inputs(name):
        return lambda module, inputs, output: seen.__setitem__(name, inputs[0].float())

    with _hooks({stage: modules[stage] for stage in stages}, keep), _hooks({LAST: get_heads(model)}, keep_inputs):
        yield seen


def _pooled(output):
    """(N, C) channel means of maps (N, C, H, W) or tokens (N, T, C); (N, C) as it is."""
    if output.ndim == 3:
        return output.float().mean(1)
    return output.float().flatten(2).mean(2) if output.ndim == 4 else output.float()


def extract_features(model, data, rows, *, stages=None, batch_size=256, device="cpu", progress=True, label="features"):
    """Run a net once over some images and keep the pooled features of its stages.

    Args:
        model: net with attribute heads, on `device`; its weights and train flags stay as they are
        data: data set with `batches(rows, batch_size, device)` and `img_size`
        rows: (N,) row numbers
        stages: module names to look at; `default_stages` if not given
        progress: show a bar (never where stderr is no terminal)
    Returns: Features, its stages in the order given, then `LAST`
    Raises: KeyError if a stage is not a module of the net; InputError if a logit or a feature is not finite
    """
    stages = default_stages(model, data.img_size) if stages is None else tuple(stages)
    seen = {name: [] for name in (*stages, LAST)}
    logits, disable = [], None if progress else True
    total = math.ceil(len(rows) / batch_size)
    with evaluating(model), pooled_outputs(model, stages) as outputs, torch.no_grad():
        batches = data.batches(rows, batch_size, device)
        for images, _ in tqdm(batches, total=total, desc=label, leave=False, disable=disable):
            logits.append(model(images).float())
            for name, values in outputs.items():
                seen[name].append(values)
    seen = {name: torch.cat(parts).cpu().numpy() for name, parts in seen.items()}
    logits = torch.cat(logits).cpu().numpy()
    for name, values in {**seen, "logits": logits}.items():
        if not np.isfinite(values).all():
            raise InputError(f"the network gives numbers that are not finite ({name}): its weights are damaged")
    return Features(seen, logits, tuple(get_heads(model).attributes), np.asarray(rows))
