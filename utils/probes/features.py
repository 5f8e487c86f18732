"""One pass of a network over some images: features of each stage, the features its heads see, and its logits."""

import math
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from models.heads import get_heads
from utils.common import distributed
from utils.common.errors import InputError
from utils.network.modes import evaluating, exact_float32

#: name of the last features, the ones the heads see
LAST = "features"
MOST_POSITIONS = 8  # of a map along each side
MOST_VALUES = 16_384  # of a map: of 2048 channels 2 x 2 positions stay


@dataclass(frozen=True)
class Features:
    """Features and logits of a network on N images.

    stages: {stage: (N, C) float32 channel means}, the last one `LAST`; logits: (N, K) float32 in the order of
    `attributes`; rows: (N,) the images' row numbers in the data set; maps: {stage: (N, C, h, w) bfloat16 tensor on the
    CPU} of the stages with more than one position, h and w at most `MOST_POSITIONS`
    """

    stages: dict
    logits: np.ndarray
    attributes: tuple
    rows: np.ndarray
    maps: dict = field(default_factory=dict)

    @property
    def places(self):
        """Names of the stages, without `LAST` where a stage holds the same numbers: heads often see a stage's means."""
        last = self.stages[LAST]
        others = [stage for stage in self.stages if stage != LAST]
        same = (
            values.shape == last.shape and np.allclose(values, last, atol=1e-5)
            for values in map(self.stages.get, others)
        )
        return others if any(same) else [*others, LAST]


@contextmanager
def _hooked(modules, make_hook):
    """Forward hooks `make_hook(name)` on {name: module} inside; removed at the end, after an error too."""
    handles = [module.register_forward_hook(make_hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def default_stages(model, img_size=64):
    """Up to four modules of a network whose outputs are probed, shallow to deep.

    A network with layer1 … layer4 (torchvision's residual networks): those. Of any other, the last block of each
    spatial resolution, that is, what finishes last before the resolution falls; the four smallest resolutions above
    1 x 1 count. Blocks that a pass uses several times (a shared pool) have no single place and are left out. A network
    of one resolution (a transformer on tokens): four blocks spread evenly over its longest chain of them.

    Args: img_size: side of the images in pixels, which decides where the resolution reaches 1 x 1
    Returns: tuple of names as in `named_modules()`
    Raises: InputError if the network has no block with a spatial output
    """
    names = dict(model.named_modules())
    residual = tuple(f"layer{i}" for i in range(1, 5))
    if all(stage in names for stage in residual):
        return residual
    finished = _finished_blocks(model, img_size)
    calls = [name for name, _ in finished]
    stages, smallest = [], math.inf
    for name, area in finished:
        if 1 < area <= smallest and calls.count(name) == 1 and name != LAST:
            stages[len(stages) - (area == smallest) :] = [name]
            smallest = area
    if len(stages) < 2:
        stages += _token_blocks(model, img_size)
    if not stages:
        raise InputError("no block of this network has a spatial output above 1 x 1: name the stages to probe")
    return tuple(stages[-4:])


def _finished_blocks(model, img_size):
    """[(name, area of the output in pixels)] of the blocks in the order in which one empty image passes them."""
    return [(name, _area(shape)) for name, shape in _outputs(model, dict(_blocks(model)), img_size)]


def _token_blocks(model, img_size):
    """Up to four names, evenly spread, of the longest chain of blocks that each give tokens (N, T, C)."""
    chains = [module for module in model.modules() if type(module) in (nn.Sequential, nn.ModuleList)]
    names = {id(module): name for name, module in model.named_modules()}
    longest = max(chains, key=len, default=())
    blocks = {names[id(block)]: block for block in longest}
    given = [name for name, shape in _outputs(model, blocks, img_size) if len(shape) == 3]
    return [given[len(given) * part // 4 - 1] for part in range(1, 5)] if len(given) >= 4 else given


def _outputs(model, modules, img_size):
    """[(name, shape of the output)] of some {name: module} in the order in which one empty image passes them."""
    finished, parameter = [], next(model.parameters())

    def keep_shape(name):
        return lambda module, inputs, output: finished.append((name, _shape(output)))

    with evaluating(model), _hooked(modules, keep_shape), torch.no_grad():
        model(torch.zeros(1, 3, img_size, img_size, device=parameter.device, dtype=parameter.dtype))
    return finished


def _blocks(module, prefix=""):
    """(name, module) of each child, those of an `nn.Sequential` or `nn.ModuleList` in its place."""
    for name, child in module.named_children():
        if type(child) in (nn.Sequential, nn.ModuleList):
            yield from _blocks(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def _shape(output):
    """The shape of a tensor, channels first; () of anything else."""
    return tuple(output.movedim(channel_axis(output), 1).shape) if isinstance(output, torch.Tensor) else ()


def _area(shape):
    return math.prod(shape[2:]) if len(shape) == 4 else 0


def channel_axis(output):
    """Axis of the channels of an output: 3 of maps (N, H, W, C), as Swin transformers have them, -1 of tokens, else 1.

    Images are square, so of maps two equal sides are height and width; with three equal ones the channels come first.
    """
    if output.ndim == 4:
        return 3 if output.shape[1] == output.shape[2] != output.shape[3] else 1
    return -1 if output.ndim == 3 else min(1, output.ndim - 1)


def extract_features(
    model, data, rows, *, stages=None, maps=False, batch_size=256, device="cpu", progress=True, label="features"
):
    """Run a network once over some images and keep the features of its stages; several processes share it.

    Args:
        model: network with attribute heads, on `device`; its weights and train flags stay as they are
        data: data set with `batches(rows, batch_size, device)` and `img_size`
        rows: (N,) row numbers
        stages: module names; `default_stages` if not given
        maps: keep the maps, too, not their channel means alone: True of all stages, or names of stages
        progress: show a bar (never where stderr is no terminal), named `label`
    Returns: Features, its stages in the order given, then `LAST`
    Raises: KeyError if a stage is not a module of the network; InputError if a logit or a feature is not finite, or as
        `default_stages`
    """
    modules = _stage_modules(model, default_stages(model, data.img_size) if stages is None else stages)
    latest, logits, seen = {}, [torch.zeros(0)], {name: [torch.zeros(0)] for name in modules}
    with_maps = modules if maps is True else maps or ()
    kept_maps = {name: [] for name in modules if name in with_maps and name != LAST}

    def keep(name):
        def hook(module, inputs, output):  # at once: a ReLU behind the stage may work in place
            values = inputs[0] if name == LAST else output
            latest[name] = _pooled(values), _small_map(values) if name in kept_maps else []

        return hook

    mine = distributed.share_out(rows, batch_size)
    total, disable = math.ceil(len(mine) / batch_size), None if progress and distributed.is_main() else True
    with evaluating(model), exact_float32(), _hooked(modules, keep), torch.no_grad():
        batches = data.batches(mine, batch_size, device)
        for images, _ in tqdm(batches, total=total, desc=label, leave=False, disable=disable):
            logits.append(model(images).float())
            for name in seen:
                seen[name].append(latest[name][0])
            for name in kept_maps:
                kept_maps[name] += latest[name][1]
    seen = {name: _joined(parts) for name, parts in seen.items()}
    logits = _joined(logits)
    for name, values in {**seen, "logits": logits}.items():
        if not np.isfinite(values).all():
            raise InputError(f"the network gives numbers that are not finite ({name}): its weights are damaged")
    small = {name: _joined_maps(kept_maps.pop(name)) for name in list(kept_maps)}
    small = {name: values for name, values in small.items() if values.ndim == 4}
    return Features(seen, logits, tuple(get_heads(model).attributes), np.asarray(rows), small)


def _joined(parts):
    """(N, C) array of all processes' parts, the first of which is empty."""
    own = torch.cat(parts[1:]).cpu() if len(parts) > 1 else parts[0]
    return distributed.gather_rows(own).numpy()


def _joined_maps(parts):
    """(N, C, h, w) bfloat16 tensor of all processes' parts; of fewer axes where there is no map."""
    own = torch.cat(parts).cpu() if parts else torch.zeros(0, dtype=torch.bfloat16)
    return distributed.gather_rows(own.view(torch.float16)).view(torch.bfloat16)  # gloo knows no bfloat16


def _stage_modules(model, stages):
    """{stage: module}, the heads among them as `LAST`. Raises: KeyError if a stage is not a module of the network."""
    modules = dict(model.named_modules())
    for stage in stages:
        if stage not in modules:
            raise KeyError(f"no stage {stage!r} in this network: name modules as in named_modules()")
    return {stage: modules[stage] for stage in stages} | {LAST: get_heads(model)}


def _pooled(output):
    """(N, C) float32 channel means of maps, (N, C, H, W) or (N, H, W, C), or tokens (N, T, C); (N, C) as it is."""
    return output.float().movedim(channel_axis(output), 1).flatten(2).mean(2) if output.ndim > 2 else output.float()


def _small_map(output):
    """[(N, C, h, w) bfloat16 map], of means over so many positions as are kept; [] without several positions."""
    if output.ndim != 4:
        return []
    output = output.movedim(channel_axis(output), 1)
    if output.shape[2] * output.shape[3] < 2:
        return []
    side = max(1, min(MOST_POSITIONS, math.isqrt(MOST_VALUES // output.shape[1])))
    size = [min(side, length) for length in output.shape[2:]]
    return [F.adaptive_avg_pool2d(output.float(), size).bfloat16()]
