"""Take channels that are 0 for every image out of a network: smaller tensors, the same outputs."""

import copy
from dataclasses import replace

import torch
from torch import nn

from models.slim import keep_channels, width_of, widths_of
from utils.dataflow import trace_dataflow
from utils.dead_channels import channels_to_keep
from utils.errors import InputError
from utils.run import table

TOLERANCE = 1e-5  # of the largest logit, or of 1 if that is more: a shorter sum is added in another order
COUNTS = ("zero", "removed", "stay")


def shrink(model):
    """A copy of a network without the channels that are 0 wherever they are read.

    Args:
        model: module that maps images (N, 3, H, W) to logits; not changed
    Returns: (the smaller network in eval mode, {layer: {"channels", "zero", "removed", "stay"}} of every convolution
        and linear layer that has zero channels or lost some); "stay" are zero but summed with, or read like, others
    Raises: InputError if torch.fx cannot trace it
    """
    small = copy.deepcopy(model).eval()
    keep, modules = channels_to_keep(small), dict(small.named_modules())
    report = _report(small, keep)
    for name, sides in keep.items():
        if [len(side) for side in sides] != width_of(modules[name]):
            keep_channels(modules[name], *sides)
    return small, report


def changed_widths(model, small):
    """{module: [inputs, outputs]} of what is narrower in `small`, for `models.slim.set_widths`."""
    full = widths_of(model)
    return {name: width for name, width in widths_of(small).items() if width != full[name]}


def shrunk_checkpoint(checkpoint, model, small, parent_sha256):
    """The checkpoint of the smaller network: `arguments["widths"]` says how to build it."""
    widths = {**checkpoint.arguments.get("widths", {}), **changed_widths(model, small)}
    arguments = {**checkpoint.arguments, "widths": widths}
    kind = checkpoint.kind if checkpoint.kind.startswith("shrunk_") else f"shrunk_{checkpoint.kind}"
    about = {"arguments": arguments, "parent_sha256": parent_sha256, "kind": kind}
    return replace(checkpoint, state_dict=small.state_dict(), **about)


@torch.inference_mode()
def largest_difference(model, small, batches):
    """Compare two networks over batches of images (N, 3, H, W).

    Returns: (largest difference of a logit, largest logit without its sign), floats
    """
    found = []
    for images in batches:
        logits = model(images)
        found.append(torch.stack([(logits - small(images)).abs().amax(), logits.abs().amax()]))
    return tuple(torch.stack(found).amax(0).tolist())


def check_equal(difference, largest, images):
    """Refuse a network whose outputs moved. Raises: InputError"""
    if not difference <= TOLERANCE * max(1.0, largest):  # nan, too
        raise InputError(
            f"the smaller network answers differently on {images}: by {difference:.1e}; nothing is written"
        )


def costs_table(costs):
    """Aligned text: what `network_cost.compare_costs` found, before beside after."""
    rows = [[what, *costs[what].values()] for what in ("parameters", "multiply_adds")]
    rows = [[what.replace("_", "-"), f"{a:,}", f"{b:,}", f"x {b / a:.3f}"] for what, a, b in rows]
    before, after = costs["seconds"].values()
    rows.append(
        ["seconds a pass, median", f"{before:.4f}", f"{after:.4f}", f"{costs['speed_ratio']:.3f} times as fast"]
    )
    return table(rows, ["", "before", "after", "change"])


def _report(model, keep):
    norms, modules, found = trace_dataflow(model).batch_norm, dict(model.named_modules()), {}
    for name, (_, outputs) in keep.items():
        layer = modules[name]
        if isinstance(layer, nn.BatchNorm2d):
            continue
        zero = _zero_rows(layer) & (_zero_rows(modules[norms[name]]) if norms.get(name) else True)
        removed = torch.ones(len(zero), dtype=torch.bool)
        removed[outputs] = False
        if zero.any() or removed.any():
            counts = {"zero": zero.sum(), "removed": removed.sum(), "stay": (zero & ~removed).sum()}
            found[name] = {"channels": len(zero), **{what: int(count) for what, count in counts.items()}}
    return found


def _zero_rows(module):
    """(C,) bool: rows of a weight that are 0 and whose bias is."""
    if module.weight is None:  # a batch norm without scale
        return torch.zeros(module.num_features, dtype=torch.bool)
    rows = module.weight.detach().flatten(1) if module.weight.ndim > 1 else module.weight.detach()[:, None]
    zero = ~rows.any(1).cpu()
    return zero if module.bias is None else zero & (module.bias.detach().cpu() == 0)
