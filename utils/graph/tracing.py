"""A network as `torch.fx` sees it: its convolutions, and whose channels each value holds.

What a value holds is said only where it is certain. An operation that is not known here (a permutation, a split, a
reshape) ends the way of its channels, so a link may be missing, but none is wrong.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx, nn

from models.heads import AttributeHeads
from utils.common.errors import InputError
from utils.graph.gates import gate_convolutions
from utils.graph.operations import (
    ACTIVATION_FUNCTIONS,
    ACTIVATION_METHODS,
    ACTIVATIONS,
    CHANNEL_NORMS,
    FROZEN_NORM,
    SUM_FUNCTIONS,
    SUM_METHODS,
    argument,
    calls,
    is_idle,
    is_product,
    module_of,
)
from utils.network.modes import evaluating

DEVICE_ERRORS = (MemoryError, torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_POOL_FUNCTIONS = {F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.max_pool2d}
INSTEAD = "step 1 and tools.audit take it; to prune or erase, use a convolutional --model"
CHANNEL_AXES = (1, -3)  # of maps (N, C, H, W)
_KEEPING_MODULES = (*CHANNEL_NORMS, *ACTIVATIONS, *_POOLS)
_KEEPING_FUNCTIONS = ACTIVATION_FUNCTIONS | _POOL_FUNCTIONS
_KEEPING_METHODS = ACTIVATION_METHODS | {"clone", "contiguous"}
_CONCATENATIONS = {torch.cat, torch.concat, getattr(torch, "concatenate", torch.cat)}


@dataclass(frozen=True)
class Trace:
    """A network as `torch.fx` sees it.

    graph: `fx.Graph`; modules: {name: module}; convolutions: {node: name}; carried: {node: ((convolution, offset), …)
    whose channels its output holds one for one}; read: the same of what each convolution's node reads; gates: names of
    convolutions inside gates, such as squeeze-excitations
    """

    graph: fx.Graph
    modules: dict
    convolutions: dict
    carried: dict
    read: dict
    gates: frozenset


def is_pool(node, modules):
    """Whether a node of a trace pools each channel by itself."""
    return isinstance(module_of(node, modules), _POOLS) or calls(node, _POOL_FUNCTIONS)


class _Tracer(fx.Tracer):
    """Takes the heads and frozen batch norms as one module, as it takes torch's own layers."""

    def is_leaf_module(self, module, name):
        own = isinstance(module, AttributeHeads) or type(module).__name__ == FROZEN_NORM
        return own or super().is_leaf_module(module, name)


def trace(model):
    """Trace a network as it is in eval mode; it is not run and not changed. Raises: InputError if torch.fx cannot."""
    try:
        with evaluating(model):  # what depends on the mode becomes a constant of the trace
            graph = _Tracer().trace(model)
    except DEVICE_ERRORS:
        raise
    except Exception as error:  # torch.fx raises many kinds; each means the same to the user
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"torch.fx cannot trace this {type(model).__name__} ({reason}): {INSTEAD}") from error
    modules = dict(model.named_modules(remove_duplicate=False))
    convolutions = {node: node.target for node in graph.nodes if isinstance(module_of(node, modules), nn.Conv2d)}
    carried, read = _follow_channels(graph, modules)
    gates = gate_convolutions(list(graph.nodes), modules, carried)
    return Trace(graph, modules, convolutions, carried, read, frozenset(gates))


def _follow_channels(graph, modules):
    """({node: what its output holds}, {node of a convolution: what it reads}), as in `Trace`."""
    carried, read = {}, {}
    for node in graph.nodes:
        module = module_of(node, modules)
        if isinstance(module, nn.Conv2d):
            held = carried.get(node.all_input_nodes[0], ())
            read[node] = held if _width(held, modules) == module.in_channels else ()  # else something is not known
            carried[node] = ((node.target, 0),)
            continue
        carried[node] = _carried_channels(node, module, modules, carried)
        in_place = node.op == "call_method" and node.target.endswith("_") and not node.target.endswith("__")
        if in_place:  # whoever reads the operand later reads the result
            carried[node.all_input_nodes[0]] = carried[node]
    return carried, read


def _carried_channels(node, module, modules, carried):
    """((convolution, offset), …) whose channels the output of a node that is no convolution holds, one for one."""
    inputs = [carried.get(given, ()) for given in node.all_input_nodes]
    keeping = isinstance(module, _KEEPING_MODULES) or type(module).__name__ == FROZEN_NORM
    if keeping or is_idle(node, modules) or calls(node, _KEEPING_FUNCTIONS, _KEEPING_METHODS):
        return inputs[0] if inputs else ()
    if calls(node, SUM_FUNCTIONS, SUM_METHODS) or is_product(node):
        return _joined(inputs, modules)
    if calls(node, _CONCATENATIONS):
        return _concatenated(node, modules, carried)
    return ()


def _width(held, modules):
    """Number of channels of a value that holds ((convolution, offset), …); 0 if nothing is known of it."""
    return max((modules[name].out_channels + offset for name, offset in held), default=0)


def _joined(inputs, modules):
    """What values of one shape hold together; a single channel that is spread over all others is none of them."""
    known = [held for held in inputs if held]
    widths = {_width(held, modules) for held in known}
    if len(widths - {1}) > 1:
        return ()
    widest = max(widths, default=0)
    return tuple(dict.fromkeys(source for held in known if _width(held, modules) == widest for source in held))


def _concatenated(node, modules, carried):
    parts, axis = argument(node, 0, "tensors"), argument(node, 1, "dim", "axis", default=0)
    if not isinstance(parts, (list, tuple)) or not isinstance(axis, int):
        return ()
    held = [carried.get(part, ()) for part in parts]
    if axis not in CHANNEL_AXES:  # one above the other: each part keeps its channels
        return _joined(held, modules)
    sources, offset = [], 0
    for part in held:
        if not part:  # a width that is not known hides where the rest begins
            return ()
        sources += [(name, shift + offset) for name, shift in part]
        offset += _width(part, modules)
    return tuple(sources)
