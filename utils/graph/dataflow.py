"""How channels travel through a network: which norm follows a convolution, which convolutions read it.

Everything comes from a `torch.fx` trace of the network, never from module names, so any network that traces works.
"""

from collections import Counter
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from utils.common.errors import InputError
from utils.graph.operations import (
    SUM_FUNCTIONS,
    SUM_METHODS,
    argument,
    calls,
    is_idle,
    is_norm,
    is_product,
    module_of,
)
from utils.graph.tracing import INSTEAD, is_pool, trace

_NORM_FUNCTIONS = {F.batch_norm, F.group_norm, F.instance_norm, F.layer_norm, torch.batch_norm, torch.layer_norm}
_NORM_FUNCTIONS |= {torch.group_norm, torch.instance_norm}
_COPIES = {"clone", "contiguous"}
_AXES = {(0, 2, 3, 1): "last", (0, 3, 1, 2): "first"}  # where a permutation puts the channels


@dataclass(frozen=True)
class Link:
    """Output channel i of convolution `producer` is input channel `offset` + i of convolution `consumer`."""

    producer: str
    consumer: str
    offset: int = 0


@dataclass(frozen=True)
class Dataflow:
    """Convolutions of a network and what joins them.

    `convolutions` are names in `named_modules()` order without those inside gates (a gate whose logit is zeroed is half
    open, not closed); `batch_norm` maps each to the norm right behind it, or None; `barred` {convolution: why} are
    those whose channels can't be scored, or can't be set to exactly 0: they have no entry in `batch_norm`.
    """

    convolutions: tuple[str, ...]
    batch_norm: dict[str, str | None]
    links: tuple[Link, ...]
    barred: dict[str, str] = field(default_factory=dict)

    def last_layers(self, count=5):
        """The convolutions the method scores: `count` of them, counted from the end without the very last.

        Barred ones are passed over. Raises: InputError if the network has fewer
        """
        usable = [name for name in self.convolutions[:-1] if name not in self.barred]
        if not usable:
            why = f"convolutions: {len(self.convolutions)}, and the very last is never scored; transformers have one"
            if self.barred:
                name = next(iter(self.barred))
                why = f"of {len(self.convolutions)} convolutions {name}, for one, {self.barred[name]}"
            raise InputError(f"nothing in this network can be pruned ({why}): {INSTEAD}")
        if not 1 <= count <= len(usable):
            have = f"this network has {len(usable)} convolutions before its last one"
            raise InputError(f"cannot score {count} layers: {have}; use --layers {len(usable)}")
        return tuple(usable[-count:])

    def choose_layers(self, chosen=("5",)):
        """Names of the layers to score, in network order.

        Args:
            chosen: one number n (the last n convolutions without the very last), or names of convolutions
        Raises: InputError if a name is no convolution or a barred one, or there are fewer than n
        """
        if len(chosen) == 1 and str(chosen[0]).isdecimal():
            return list(self.last_layers(int(chosen[0])))
        unknown = [name for name in chosen if name not in self.convolutions]
        if unknown:
            last = ", ".join(self.convolutions[-6:])
            raise InputError(f"--layers: {unknown[0]!r} is no convolution of this network, whose last ones are {last}")
        for name in chosen:
            if name in self.barred:
                raise InputError(f"--layers: {name} {self.barred[name]}: leave it out")
        return [name for name in self.convolutions if name in chosen]

    def links_between(self, layers):
        """Links whose two ends are both among `layers`, in the order of `layers`."""
        order = {layer: i for i, layer in enumerate(layers)}
        inside = [link for link in self.links if link.producer in order and link.consumer in order]
        return tuple(sorted(inside, key=lambda link: (order[link.producer], order[link.consumer], link.offset)))


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
        for producer, offset in found.read[node]
    ]
    norms, barred = _norms_and_barred(found)
    called = set(found.convolutions.values())
    return Dataflow(
        convolutions=tuple(name for name in found.modules if name in called - found.gates),
        batch_norm=norms,
        links=tuple(dict.fromkeys(link for link in links if not {link.producer, link.consumer} & found.gates)),
        barred={name: why for name, why in barred.items() if name not in found.gates},
    )


def shared_modules(found):
    """Names of modules of a `Trace` that serve in several places: editing one would edit the others.

    A module that is called twice, or holds a parameter that another one holds, or that is read by itself.
    """
    modules, parameters = found.modules, dict(found.modules[""].named_parameters(remove_duplicate=False))
    called = [modules[node.target] for node in found.graph.nodes if node.op == "call_module"]
    uses, once = Counter(map(id, called)), {id(module): module for module in called}
    holders = Counter(id(own) for module in once.values() for own in module.parameters(recurse=False))
    holders.update(id(parameters.get(node.target)) for node in found.graph.nodes if node.op == "get_attr")
    return {
        name
        for name, module in modules.items()
        if uses[id(module)] > 1 or any(holders[id(own)] > 1 for own in module.parameters(recurse=False))
    }


def _norms_and_barred(found):
    """({convolution: norm or None}, {convolution: why it is barred}) of a `Trace`; each is in one of the two."""
    shared, norms, barred = shared_modules(found), {}, {}
    for node, name in found.convolutions.items():
        behind, why = _norms_behind(node, found.modules)
        if name in shared:
            why = "is used in several places of the network"
        elif "weight" not in dict(found.modules[name].named_parameters(recurse=False)):
            why = "computes its weights of others (weight norm, say)"
        elif len(behind) > 1:
            why = f"has several norms behind it ({', '.join(behind)})"
        elif shared & set(behind):
            why = f"shares its norm {behind[0]} with others"
        if why:
            barred[name] = why
        else:
            norms[name] = behind[0] if behind else None
    return {name: norm for name, norm in norms.items() if name not in barred}, barred


def _norms_behind(conv_node, modules):
    """(names of the norms right behind a convolution, why one of them can't be cleared channel by channel or None)."""
    names, why, waiting = [], None, [(user, "first") for user in conv_node.users]
    while waiting:
        node, channels = waiting.pop(0)
        module = module_of(node, modules)
        if is_norm(module):
            names += [node.target] if node.target not in names else []
            if not _can_be_cleared(module, channels):
                why = f"is followed by {node.target}, which shifts a channel that is 0"
        elif calls(node, _NORM_FUNCTIONS):
            why = f"is followed by {node.target.__name__}, called as a function, whose shift can't be found"
        elif calls(node, SUM_FUNCTIONS, SUM_METHODS) and any(given.op == "get_attr" for given in node.all_input_nodes):
            why = "is followed by a shift of its own"
        elif is_idle(node, modules) or _is_scaling(node) or is_pool(node, modules) or calls(node, (), _COPIES):
            waiting += [(user, channels) for user in node.users]
        elif calls(node, {torch.permute}, {"permute"}) and _permuted(node) in _AXES:
            waiting += [(user, _AXES[_permuted(node)]) for user in node.users]
    return names, why


def _is_scaling(node):
    others = node.all_input_nodes[1:]
    return is_product(node) and all(given.op == "get_attr" for given in others)


def _permuted(node):
    axes = argument(node, 1, "dims")
    axes = axes if isinstance(axes, (list, tuple)) else node.args[1:]
    return tuple(axis % 4 if isinstance(axis, int) else None for axis in axes)


def _can_be_cleared(norm, channels):
    """Whether scale and shift (or the mean) of a norm can make a channel that is 0 before it 0 behind it, too.

    Args: channels: "first" or "last" of the four axes
    """
    if isinstance(norm, nn.LayerNorm):
        own_axis = len(norm.normalized_shape) == (3 if channels == "first" else 1)
        return own_axis and norm.weight is not None
    if channels != "first":
        return False
    return norm.weight is not None or not isinstance(norm, nn.GroupNorm)
