"""Where a network is edited when it forgets: found in a `torch.fx` trace, never by names.

A *site* is a convolution and the value it adds to: through its batch norm, and through the residual sum where there is
one. In a net with residual sums the sites are

- convolutions whose value is handed on as it is, without an activation: where a stream of features begins (in mobile
  nets, at each change of size),
- one convolution a sum: the largest that the sum is new to and that is no site already,
- whatever convolutions come after the last sum.

In a net without sums, every convolution is one.
"""

from dataclasses import dataclass

import torch
from torch import fx, nn

from utils.common.errors import InputError
from utils.graph.dataflow import is_activation, is_idle, is_sum, trace


@dataclass(frozen=True)
class Site:
    """A convolution that may be edited.

    conv, norm: names of the convolution and its batch norm (None if it has none)
    path: the nodes from the convolution to the value; value: the last of them, affine in the convolution's weights
    seen: what follows it, the value after its activation
    """

    conv: str
    norm: str | None
    path: tuple[fx.Node, ...]
    seen: fx.Node

    @property
    def value(self):
        """The node whose output is affine in the convolution's weights."""
        return self.path[-1]


@dataclass(frozen=True)
class Plan:
    """What to run: the graph, its sites in the order in which they are reached."""

    graph: fx.Graph
    sites: tuple[Site, ...]

    @property
    def first(self):
        """The first node that an edit can reach."""
        return self.sites[0].path[0]


def find_sites(model, everywhere=False):
    """The sites of a network.

    Args: everywhere: every convolution that can be edited, not one for each residual sum
    Returns: Plan
    Raises: InputError if the network can't be traced, or has no convolution that can be edited
    """
    found = trace(model)
    usable = {
        name: node
        for node, name in found.convolutions.items()
        if name not in found.gates and _is_centred(found.modules[name])
    }
    order = {node: place for place, node in enumerate(found.graph.nodes)}
    names = list(usable) if everywhere else _one_for_each_sum(found, usable, order)
    sites = sorted((_site(usable[name], found) for name in names), key=lambda site: order[site.value])
    if not sites:
        raise InputError(f"this {type(model).__name__} has no convolution that can be edited: use --method prune")
    return Plan(found.graph, tuple(sites))


def _one_for_each_sum(found, usable, order):
    sums = [node for node in found.graph.nodes if is_sum(node) and len(found.carried[node]) > 1]
    if not sums:
        return list(usable)
    names = [name for name, node in usable.items() if _hands_on(_site(node, found), found)]
    met = set(names)
    for node in sums:
        new = [name for name, _ in found.carried[node] if name not in met]
        met |= set(new)
        fitting = [name for name in new if name in usable]
        names += [max(fitting, key=lambda name: found.modules[name].weight[0].numel())] if fitting else []
    last = order[sums[-1]]
    return names + [name for name, node in usable.items() if order[node] > last and name not in names]


def _hands_on(site, found):
    """Whether a value is read as it is, by something else than a sum or an activation."""
    read = [user for user in site.value.users if not is_sum(user) and not is_activation(user, found.modules)]
    return bool(read) and not is_sum(site.value)


def _is_centred(conv):
    """Whether the middle of the kernel stands over the input point that the output point comes from."""
    if conv.groups != 1 or isinstance(conv.padding, str):
        return False
    sizes = zip(conv.kernel_size, conv.padding, conv.dilation, strict=True)
    return all(kernel % 2 == 1 and padding == dilation * (kernel // 2) for kernel, padding, dilation in sizes)


def _site(node, found):
    path, norm = [node], None
    while len(path[-1].users) == 1:
        follower = next(iter(path[-1].users))
        module = found.modules.get(follower.target) if follower.op == "call_module" else None
        if isinstance(module, nn.BatchNorm2d) and norm is None:
            norm = follower.target
        elif not is_sum(follower) and not is_idle(follower, found.modules):
            break
        path.append(follower)
        if is_sum(follower):
            break
    activations = [user for user in path[-1].users if is_activation(user, found.modules)]
    return Site(node.target, norm, tuple(path), activations[0] if activations else path[-1])


class Runner:
    """Runs a part of a graph on a network, letting go of values that nothing needs any more.

    amp: run in bfloat16; weights are read anew at every call, so edits are seen
    """

    def __init__(self, model, graph, amp=False):
        self._interpreter = fx.Interpreter(fx.GraphModule(model, graph), garbage_collect_values=False)
        self._nodes = list(graph.nodes)
        place = {node: number for number, node in enumerate(self._nodes)}
        self._last_use = {node: max((place[user] for user in node.users), default=-1) for node in self._nodes}
        self._place, self._amp = place, amp
        self._device = next(model.parameters()).device.type

    def compute(self, node, values):
        """The output of one node, given {node: value} of what it reads."""
        self._interpreter.env = values
        with torch.autocast(self._device, torch.bfloat16, enabled=self._amp, cache_enabled=False):
            return self._interpreter.run_node(node)

    def run(self, values, start=None, stop=None, visit=None):
        """Run the nodes from `start` up to but without `stop` on {node: value}.

        Args: visit: function of (node, its output, {node: value}) that gives the output to go on with
        Returns: {node: value} of what is still needed, the network's output under the output node
        """
        first = self._place[start] if start else 0
        last = self._place[stop] if stop else len(self._nodes)
        for number in range(first, last):
            node = self._nodes[number]
            if node.op != "placeholder":
                values[node] = self.compute(node, values)
            if visit:
                values[node] = visit(node, values[node], values)
            for old in node.all_input_nodes:
                if self._last_use[old] == number:
                    values.pop(old, None)
        return values

    @property
    def placeholder(self):
        """The node of the images."""
        return next(node for node in self._nodes if node.op == "placeholder")

    @property
    def output(self):
        """The node of the logits."""
        return self._nodes[-1]


def pooled(value):
    """(N, C) float32 channel means of maps (N, C, H, W)."""
    return value.mean((2, 3), dtype=torch.float32)
