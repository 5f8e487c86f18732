"""What a node of a `torch.fx` trace does: adds, multiplies, applies an activation, hands its input on."""

import operator

import torch
import torch.nn.functional as F
from torch import nn

FROZEN_NORM = "FrozenBatchNorm2d"  # torchvision's, by name: torchvision need not be imported for it
CHANNEL_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d, nn.GroupNorm)

# a sigmoid is none of them: it mostly is a gate (utils.graph.gates)
ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Hardtanh, nn.Tanh, nn.Softplus),
)
ACTIVATION_FUNCTIONS = {
    *(F.relu, F.relu6, F.leaky_relu, F.elu, F.celu, F.selu, F.gelu, F.silu, F.mish, F.hardswish, F.hardtanh),
    *(F.softplus, F.tanh, torch.relu, torch.tanh),
}
ACTIVATION_METHODS = {"relu", "relu_", "tanh", "tanh_"}
_IDLE_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d)
_IDLE_FUNCTIONS = {"stochastic_depth", "dropout"}  # by name, as above
SUM_FUNCTIONS, SUM_METHODS = {operator.add, operator.iadd, torch.add}, {"add", "add_"}
_PRODUCT_FUNCTIONS, _PRODUCT_METHODS = {operator.mul, operator.imul, torch.mul}, {"mul", "mul_"}


def module_of(node, modules):
    """The module that a node of a trace calls, None if it calls something else; `modules` {name: module}."""
    return modules.get(node.target) if node.op == "call_module" else None


def is_sum(node):
    """Whether a node of a trace adds two values as they are."""
    adds = calls(node, SUM_FUNCTIONS, SUM_METHODS) and len(node.all_input_nodes) == 2
    return adds and node.kwargs.get("alpha", 1) == 1


def is_product(node):
    """Whether a node of a trace multiplies."""
    return calls(node, _PRODUCT_FUNCTIONS, _PRODUCT_METHODS)


def is_activation(node, modules):
    """Whether a node of a trace applies a non-linear function to each element."""
    functions = calls(node, ACTIVATION_FUNCTIONS, ACTIVATION_METHODS)
    return functions or isinstance(module_of(node, modules), ACTIVATIONS)


def asks_size(node):
    """Whether a node of a trace asks for a size or another property of a value."""
    return calls(node, {getattr}, {"size", "dim", "numel"})


def is_idle(node, modules):
    """Whether a node of a trace hands its input on unchanged in eval mode."""
    named = node.op == "call_function" and getattr(node.target, "__name__", "") in _IDLE_FUNCTIONS
    return named or isinstance(module_of(node, modules), _IDLE_MODULES)


def calls(node, functions, methods=frozenset()):
    """Whether a node of a trace calls one of some functions, or one of some methods (by name)."""
    return (node.op == "call_function" and node.target in functions) or (
        node.op == "call_method" and node.target in methods
    )


def argument(node, place, *names, default=None):
    """An argument of a node of a trace, by its place or by one of its names."""
    if len(node.args) > place:
        return node.args[place]
    return next((node.kwargs[name] for name in names if name in node.kwargs), default)


def is_norm(module):
    """Whether a module shifts and scales each channel of what it reads."""
    return isinstance(module, (*CHANNEL_NORMS, nn.LayerNorm)) or type(module).__name__ == FROZEN_NORM
