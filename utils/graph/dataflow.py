"""How channels travel through a network: which batch norm follows a convolution, which convolutions read it.

Everything comes from a `torch.fx` trace of the network, never from module names, so any network that traces works.
"""

import operator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx, nn

from models.heads import AttributeHeads
from utils.common.errors import InputError
from utils.network.modes import evaluating

_KEEPING_MODULES = (
    *(nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU),
    *(nn.SiLU, nn.Hardswish, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)
_KEEPING_FUNCTIONS = {
    *(F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish, torch.relu),
    *(F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.max_pool2d),
}
_KEEPING_METHODS = {"relu", "relu_", "clone", "contiguous"}
_IDLE_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d)
_IDLE_FUNCTIONS = {"stochastic_depth", "dropout"}  # by name: torchvision need not be imported for one of them
_JOINING_FUNCTIONS = {operator.add, operator.iadd, torch.add, operator.mul, operator.imul, torch.mul}
_JOINING_METHODS = {"add", "add_", "mul", "mul_"}
_SIGMOIDS = (nn.Sigmoid, nn.Hardsigmoid)
_SIGMOID_FUNCTIONS = {torch.sigmoid, F.sigmoid, F.hardsigmoid}


@dataclass(frozen=True)
class Link:
    """Output channel i of convolution `producer` is input channel `offset` + i of convolution `consumer`."""

    producer: str
    consumer: str
    offset: int = 0


@dataclass(frozen=True)
class Dataflow:
    """Convolutions of a network and what joins them.

    `convolutions` are names in `named_modules()` order without those inside squeeze-excitation gates (a gate whose
    logit is zeroed is half open, not closed); `batch_norm` maps each to the batch norm right behind it, or None.
    """

    convolutions: tuple[str, ...]
    batch_norm: dict[str, str | None]
    links: tuple[Link, ...]

    def last_layers(self, count=5):
        """The convolutions the method scores: `count` of them, counted from the end without the very last.

        Raises: InputError if the network has fewer
        """
        if not 1 <= count < len(self.convolutions):
            most = len(self.convolutions) - 1
            cure = f"; use --layers {most}" if most else ""
            raise InputError(
                f"cannot score {count} layers: this network has {max(most, 0)} convolutions before its last one{cure}"
            )
        return self.convolutions[-count - 1 : -1]

    def choose_layers(self, chosen=("5",)):
        """Names of the layers to score, in network order.

        Args:
            chosen: one number n (the last n convolutions without the very last), or names of convolutions
        Raises: InputError if a name is no convolution, or there are fewer than n
        """
        if len(chosen) == 1 and str(chosen[0]).isdigit():
            return list(self.last_layers(int(chosen[0])))
        unknown = [name for name in chosen if name not in self.convolutions]
        if unknown:
            last = ", ".join(self.convolutions[-6:])
            raise InputError(f"--layers: {unknown[0]!r} is no convolution of this network, whose last ones are {last}")
        return [name for name in self.convolutions if name in chosen]

    def links_between(self, layers):
        """Links whose two ends are both among `layers`, in the order of `layers`."""
        order = {layer: i for i, layer in enumerate(layers)}
        inside = [link for link in self.links if link.producer in order and link.consumer in order]
        return tuple(sorted(inside, key=lambda link: (order[link.producer], order[link.consumer], link.offset)))


@dataclass(frozen=True)
class Trace:
    """A network as `torch.fx` sees it.

    graph: `fx.Graph`; modules: {name: module}; convolutions: {node: name}; carried: {node: ((convolution, offset), …)
    whose channels its output holds one for one}; gates: names of convolutions inside squeeze-excitations
    """

    graph: fx.Graph
    modules: dict
    convolutions: dict
    carried: dict
    gates: frozenset


class _Tracer(fx.Tracer):
    """Takes the heads as one module, as it takes torch's own layers."""

    def is_leaf_module(self, module, name):
        return isinstance(module, AttributeHeads) or super().is_leaf_module(module, name)


def trace(model):
    """Trace a network as it is in eval mode; it is not run and not changed. Raises: InputError if torch.fx cannot."""
    try:
        with evaluating(model):  # what depends on the mode becomes a constant of the trace
            graph = _Tracer().trace(model)
    except Exception as error:  # torch.fx raises many kinds; each means the same to the user
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"torch.fx cannot trace this {type(model).__name__}, so no graph can be made: {reason}"
        ) from error
    modules = dict(model.named_modules())
    convolutions = {node: node.target for node in graph.nodes if isinstance(_module(node, modules), nn.Conv2d)}
    carried = {}
    for node in graph.nodes:
        carried[node] = _carried_channels(node, modules, carried)
    return Trace(graph, modules, convolutions, carried, frozenset(_gate_convolutions(list(graph.nodes), modules)))


def trace_dataflow(model):
    """Follow the channels of every convolution through `model`.

    Args:
        model: module that takes images (N, 3, H, W); it is not run and not changed
    Returns: Dataflow
    Raises: InputError if torch.fx cannot trace it
    """
    found = trace(model)
    links = [
        Link(producer, name, offset)
        for node, name in found.convolutions.items()
        for producer, offset in found.carried.get(node.args[0], ())
    ]
    return Dataflow(
        convolutions=tuple(n for n in found.modules if n in set(found.convolutions.values()) - found.gates),
        batch_norm={name: _batch_norm_behind(node, found.modules) for node, name in found.convolutions.items()},
        links=tuple(link for link in links if not {link.producer, link.consumer} & found.gates),
    )


def _module(node, modules):
    return modules.get(node.target) if node.op == "call_module" else None


_SUM_FUNCTIONS, _SUM_METHODS = {operator.add, operator.iadd, torch.add}, {"add", "add_"}
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish)
_ACTIVATION_FUNCTIONS = {F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish, torch.relu}


def is_sum(node):
    """Whether a node of a trace adds two values."""
    return _calls(node, _SUM_FUNCTIONS, _SUM_METHODS) and len(node.all_input_nodes) == 2


def is_activation(node, modules):
    """Whether a node of a trace applies a non-linear function to each element."""
    functions = _calls(node, _ACTIVATION_FUNCTIONS, {"relu", "relu_"})
    return functions or isinstance(_module(node, modules), _ACTIVATIONS)


def is_idle(node, modules):
    """Whether a node of a trace hands its input on unchanged in eval mode."""
    named = node.op == "call_function" and getattr(node.target, "__name__", "") in _IDLE_FUNCTIONS
    return named or isinstance(_module(node, modules), _IDLE_MODULES)


def _carried_channels(node, modules, carried):
    """((convolution, offset), …) whose channels this node's output holds, one for one."""
    module = _module(node, modules)
    if isinstance(module, nn.Conv2d):
        return ((node.target, 0),)
    inputs = [carried.get(argument, ()) for argument in node.all_input_nodes]
    if (
        is_idle(node, modules)
        or isinstance(module, _KEEPING_MODULES)
        or _calls(node, _KEEPING_FUNCTIONS, _KEEPING_METHODS)
    ):
        return inputs[0] if inputs else ()
    if _calls(node, _JOINING_FUNCTIONS, _JOINING_METHODS):
        return tuple(dict.fromkeys(source for sources in inputs for source in sources))
    if node.op == "call_function" and node.target in (torch.cat, torch.concat):
        return _concatenated(node, modules, carried)
    return ()


def _calls(node, functions, methods):
    return (node.op == "call_function" and node.target in functions) or (
        node.op == "call_method" and node.target in methods
    )


def _concatenated(node, modules, carried):
    sources, offset = [], 0
    for argument in node.args[0]:
        widths = {modules[name].out_channels + shift for name, shift in carried.get(argument, ())}
        if not widths:  # a width that is not known hides where the rest begins
            return ()
        sources += [(name, shift + offset) for name, shift in carried[argument]]
        offset += max(widths)
    return tuple(sources)


def _batch_norm_behind(conv_node, modules):
    users = [user for user in conv_node.users if isinstance(_module(user, modules), nn.BatchNorm2d)]
    return users[0].target if len(users) == 1 and len(conv_node.users) == 1 else None


def _gate_convolutions(nodes, modules):
    """Names of convolutions between a global pooling and a sigmoid: the inside of a squeeze-excitation."""
    gates = set()
    for node in nodes:
        is_sigmoid = isinstance(_module(node, modules), _SIGMOIDS) or _calls(node, _SIGMOID_FUNCTIONS, {"sigmoid"})
        if not is_sigmoid:
            continue
        path, waiting, pooled = set(), list(node.all_input_nodes), False
        while waiting:
            behind = waiting.pop()
            module = _module(behind, modules)
            if isinstance(module, nn.AdaptiveAvgPool2d) or _calls(behind, {torch.mean}, {"mean"}):
                pooled = True
                continue
            if isinstance(module, nn.Conv2d):
                path.add(behind.target)
            waiting += behind.all_input_nodes
        gates |= path if pooled else set()
    return gates
