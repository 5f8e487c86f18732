"""Channels that are 0 for every image: which of them a network can lose without a change of its outputs.

A `torch.fx` trace is walked once. Every channel of every layer gets a number; a sum, a product or a depthwise
convolution makes two numbers one channel, and constants are followed from filter to filter. A channel can go if it is
0 wherever a convolution or linear layer reads it. What the walk doesn't know keeps its channels.
"""

import operator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from models.slim import SIZED, is_depthwise, width_of
from utils.channel_book import Carried, ChannelBook
from utils.errors import InputError

_POINTWISE = (
    *(nn.Identity, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish),
    *(nn.Sigmoid, nn.Hardsigmoid, nn.Tanh),
)
_POINTWISE_CALLS = {
    *(F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish, F.dropout, F.sigmoid, F.hardsigmoid),
    *(torch.relu, torch.sigmoid, torch.tanh, "relu", "relu_", "sigmoid", "tanh", "clone", "contiguous"),
}
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_POOL_FUNCTIONS = {F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.max_pool2d}
_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}


class _Tracer(fx.Tracer):
    """Stops at every layer that has a width, also at one of a class derived from PyTorch's."""

    def is_leaf_module(self, m, module_qualified_name):
        return isinstance(m, SIZED) or super().is_leaf_module(m, module_qualified_name)


def channels_to_keep(model):
    """Walk through a network.

    Args:
        model: module in eval mode that maps images (N, 3, H, W) to logits; it is neither run nor changed
    Returns: {module: (inputs to keep, outputs to keep)}, each (n,) int64, of every convolution, batch norm and linear
        layer of the trace; all of its channels where none can go
    Raises: InputError if torch.fx cannot trace it; ValueError in training mode, where a batch norm has no constants
    """
    if model.training:
        raise ValueError("which channels are 0 can be told in eval mode only")
    try:
        nodes = list(_Tracer().trace(model).nodes)
    except Exception as error:  # torch.fx raises many kinds; each means the same to the user
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"torch.fx cannot trace this {type(model).__name__}, so it can't be shrunk: {reason}"
        ) from None
    book, carried, modules = ChannelBook(), {}, dict(model.named_modules())
    for node in nodes:
        carried[node] = _walk(node, modules, carried, book)
    gone = book.gone()
    return {
        layer: tuple(
            torch.arange(width) if ids is None else torch.from_numpy(np.flatnonzero(~gone[ids]))
            for ids, width in zip(sides, width_of(modules[layer]), strict=True)
        )
        for layer, sides in book.layers.items()
    }


def _walk(node, modules, carried, book):
    """Carried channels of a node's output; None if they are not known, and then what goes in is pinned."""
    inputs = [carried[argument] for argument in node.all_input_nodes]
    module = modules.get(node.target) if node.op == "call_module" else None
    first = inputs[0] if inputs else None
    if isinstance(module, nn.Conv2d):
        return _convolution(node.target, module, first, book)
    if isinstance(module, nn.Linear):
        return _linear(node.target, module, first, book)
    known = bool(inputs) and all(channels is not None for channels in inputs)
    found = _passed_on(node, module, inputs, book) if known else None
    if found is None:
        book.pin(*inputs)
        if isinstance(module, nn.BatchNorm2d):
            book.note(node.target, None, book.new(module.num_features))
    return found


def _passed_on(node, module, inputs, book):
    first, called = inputs[0], node.target
    if isinstance(module, nn.BatchNorm2d):
        return _batch_norm(called, module, first, book)
    if len(inputs) == 1 and (isinstance(module, _POINTWISE) or called in _POINTWISE_CALLS):
        return replace(first, value=_pointwise(node, module, first.value.clone()))
    if first.form == "maps" and (isinstance(module, _POOLS) or called in _POOL_FUNCTIONS):
        return replace(first, value=torch.where(first.value == 0, first.value, torch.nan))  # padding mixes constants
    if isinstance(module, nn.Flatten) or called in (torch.flatten, "flatten"):
        ends = (module.start_dim, module.end_dim) if module else (*node.args[1:], *node.kwargs.values())
        return replace(first, form="flat") if first.form == "maps" and ends in ((1,), (1, -1)) else None
    if called == "unflatten":
        return replace(first, form="maps") if first.form == "row" and node.args[1:] == (1, (-1, 1, 1)) else None
    if called in (torch.cat, torch.concat):
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        joined = [part for part in node.args[0] if isinstance(part, fx.Node)]
        if dim == 1 and len(joined) == len(inputs) and all(part.form == "maps" for part in inputs):
            return Carried(np.concatenate([part.ids for part in inputs]), torch.cat([part.value for part in inputs]))
    return _joined(called, inputs, book) if called in _SUMS | _PRODUCTS else None


def _pointwise(node, module, value):
    if module is not None:
        return module(value)
    if node.op == "call_method":
        return getattr(value, node.target)()
    return node.target(value, *node.args[1:], **node.kwargs)


def _joined(called, inputs, book):
    """A sum or product of two: channel i of both is one channel. 0 times anything is 0."""
    one, other = inputs if len(inputs) == 2 else (inputs[0], None)
    if other is None or one.form != other.form or len(one.ids) != len(other.ids):
        return None
    book.join(one, other)
    if called in _SUMS:
        return replace(one, value=one.value + other.value)
    zero = (one.value == 0) | (other.value == 0)
    return replace(one, value=torch.where(zero, 0.0, one.value * other.value))


def _batch_norm(name, module, channels, book):
    if channels.form != "maps" or len(channels.ids) != module.num_features or module.running_mean is None:
        return None
    book.note(name, channels.ids, channels.ids)
    mean, var = module.running_mean.cpu(), module.running_var.cpu()
    scale, shift = (torch.ones_like(mean), torch.zeros_like(mean)) if module.weight is None else _values(module)
    value = (channels.value - mean) / (var + module.eps).sqrt() * scale + shift
    return replace(channels, value=torch.where(scale == 0, shift, value))


def _convolution(name, module, channels, book):
    known = channels is not None and channels.form == "maps" and len(channels.ids) == module.in_channels
    weight, bias = _values(module)
    uses = (weight != 0).flatten(2).any(2)  # (C_out, C_in / groups)
    live = channels.value != 0 if known else torch.ones(module.in_channels, dtype=torch.bool)
    if is_depthwise(module) and known:
        book.note(name, channels.ids, channels.ids)
        return replace(channels, value=torch.where(uses[:, 0] & live, torch.nan, bias))
    outputs = book.new(module.out_channels)
    varies = (uses & live).any(1) if module.groups == 1 else uses.any(1)
    found = Carried(outputs, torch.where(varies, torch.nan, bias))
    if module.groups > 1:
        book.pin(found)
    if known and module.groups == 1:
        book.note(name, book.read(channels), outputs)
    else:
        book.pin(channels)
        book.note(name, None, outputs)
    return found


def _linear(name, module, channels, book):
    positions = 0 if channels is None else module.in_features // len(channels.ids)
    known = positions and channels.form != "maps" and positions * len(channels.ids) == module.in_features
    outputs, (weight, bias) = book.new(module.out_features), _values(module)
    if not known:
        book.pin(channels)
        book.note(name, None, outputs)
        return None
    live = (channels.value != 0).repeat_interleave(positions)
    book.note(name, book.read(channels, positions), outputs)
    return Carried(outputs, torch.where(((weight != 0) & live).any(1), torch.nan, bias), "row")


def _values(module):
    """(weight, bias) on the CPU, a bias that is not there as zeros."""
    weight = module.weight.detach().cpu()
    return weight, torch.zeros(len(weight)) if module.bias is None else module.bias.detach().cpu()
