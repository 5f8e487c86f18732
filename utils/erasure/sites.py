"""Where a network is edited when it forgets: found in a `torch.fx` trace, never by names.

A *site* is a convolution and the value it adds to: through its batch norm, and through the residual sum where there is
one. In a network with residual sums the sites are

- convolutions whose value is handed on as it is, without an activation: where a stream of features begins (in mobile
  networks, at each change of size),
- one convolution a sum: the largest that the sum is new to and that is no site already,
- whatever convolutions come after the last sum.

In a network without sums, every convolution is one.
"""

from dataclasses import dataclass

import torch
from torch import fx, nn

from utils.common.errors import InputError
from utils.graph.dataflow import shared_modules
from utils.graph.operations import asks_size, is_activation, is_idle, is_sum, module_of
from utils.graph.tracing import INSTEAD, trace


@dataclass(frozen=True)
class Site:
    """A convolution that is edited.

    conv, norm: names of the convolution and its batch norm (None if it has none)
    path: the nodes from the convolution to the value
    activation: the node that reads the value, if it is an activation and nothing else reads it; None otherwise
    """

    conv: str
    norm: str | None
    path: tuple[fx.Node, ...]
    activation: fx.Node | None = None

    @property
    def value(self):
        """The node whose output is affine in the convolution's weights: the last of the path."""
        return self.path[-1]


def find_sites(model):
    """The sites of a network, in the order in which they are reached: a tuple of `Site`.

    Raises: InputError if the network cannot be traced, or has no convolution that can be edited
    """
    traced = trace(model)
    shared = shared_modules(traced)
    usable = {
        name: _make_site(node, traced, shared)
        for node, name in traced.convolutions.items()
        if name not in traced.gates | shared and _is_centred(traced.modules[name]) and owns_weight(traced.modules[name])
    }
    order = {node: place for place, node in enumerate(traced.graph.nodes)}
    sites = sorted((usable[name] for name in _choose_sites(traced, usable, order)), key=lambda site: order[site.value])
    if not sites:
        why = (
            f"of {len(traced.convolutions)}, all are grouped, off centre, used twice or of computed weights"
            if traced.convolutions
            else "of none"
        )
        cure = "use --method prune" if len(traced.convolutions) > 1 else INSTEAD
        raise InputError(f"this {type(model).__name__} has no convolution that can be edited ({why}): {cure}")
    return tuple(sites)


def _choose_sites(traced, usable, order):
    """Names of the sites among the usable {name: Site}, by the rule at the head of this file."""
    sums = [node for node in traced.graph.nodes if is_sum(node) and len(traced.carried[node]) > 1]
    if not sums:
        return list(usable)
    names = [name for name, site in usable.items() if _is_handed_on(site, traced)]
    met = set(names)
    for node in sums:
        new = [name for name, _ in traced.carried[node] if name not in met]
        met |= set(new)
        fitting = [name for name in new if name in usable]
        names += [max(fitting, key=lambda name: traced.modules[name].weight[0].numel())] if fitting else []
    last = order[sums[-1]]
    return names + [name for name, site in usable.items() if order[site.path[0]] > last and name not in names]


def _is_handed_on(site, traced):
    """Whether a value is read as it is, by something else than a sum or an activation."""
    read = [user for user in site.value.users if not is_sum(user) and not is_activation(user, traced.modules)]
    return bool(read) and not is_sum(site.value)


def _is_centred(conv):
    """Whether the middle of the kernel stands over the input point that the output point comes from."""
    if conv.groups != 1 or isinstance(conv.padding, str):
        return False
    sizes = zip(conv.kernel_size, conv.padding, conv.dilation, strict=True)
    return all(kernel % 2 == 1 and padding == dilation * (kernel // 2) for kernel, padding, dilation in sizes)


def owns_weight(module):
    """Whether a module's weight is a parameter of its own, not computed of others at each pass, as weight norm does."""
    return "weight" in dict(module.named_parameters(recurse=False))


def _make_site(node, traced, shared):
    path, norm = [node], None
    while len(path[-1].users) == 1 and not is_sum(path[-1]):
        follower = next(iter(path[-1].users))
        module = module_of(follower, traced.modules)
        if isinstance(module, nn.BatchNorm2d) and norm is None:
            if follower.target in shared or module.running_var is None:
                break  # others would be edited with it, or what it does depends on the batch
            norm = follower.target
        elif is_sum(follower):
            if (node.target, 0) not in traced.carried[follower]:
                break  # one channel, spread over those of another value
        elif not is_idle(follower, traced.modules):
            break
        path.append(follower)
    readers = list(path[-1].users)
    activation = readers[0] if len(readers) == 1 and is_activation(readers[0], traced.modules) else None
    return Site(node.target, norm, tuple(path), activation)


class Runner:
    """Runs parts of a network's trace, letting go of values that nothing needs any more.

    model: what is run; sites: as of `find_sites`, of this network or one of its kind; amp: run in bfloat16
    Weights are read anew at every call, so edits are seen
    """

    def __init__(self, model, sites, amp=False):
        self.model, self.sites, self.amp = model, sites, amp
        graph = sites[0].value.graph
        self._interpreter = fx.Interpreter(fx.GraphModule(model, graph), garbage_collect_values=False)
        self._nodes = list(graph.nodes)
        self._place = {node: number for number, node in enumerate(self._nodes)}
        self._last_use = {node: max(map(self._place.get, node.users), default=-1) for node in self._nodes}
        # whatever asks for a size runs once more with all images, whose number it may give
        sizes = [self._place[node] for node in self._nodes if asks_size(node)]
        self._first_edit = min([self._place[site.path[0]] for site in sites] + sizes)
        self._device = next(model.parameters()).device.type

    def compute(self, node, values):
        """The output of one node, given {node: value} of what it reads."""
        self._interpreter.env = values
        with torch.autocast(self._device, torch.bfloat16, enabled=self.amp, cache_enabled=False):
            return self._interpreter.run_node(node)

    def compute_path(self, path, inputs, part):
        """The output of the last of some nodes that follow one another, for some images.

        Args: inputs: {node: value (N, …)} of what reaches them, or one value for all images; part: slice of the N
        """
        count = max(len(value) for value in inputs.values())
        values, previous = {node: value[part] if len(value) == count else value for node, value in inputs.items()}, None
        for node in path:
            values[node] = self.compute(node, values)
            values.pop(previous, None)  # a large map that nothing else reads
            previous = node
        return values[previous]

    def compute_activation(self, site, value):
        """What the activation behind a site makes of values (N, C, H, W), which stay as they are."""
        return self.compute(site.activation, {site.value: value.clone()})

    def run_start(self, images):
        """Run the nodes before the first edit on images (N, 3, H, W): {node: value} of what the others need."""
        placeholder = next(node for node in self._nodes if node.op == "placeholder")
        values = {placeholder: images}
        self._run(values, self._nodes[: self._first_edit])
        return values

    def run_rest(self, start, visit):
        """Run the nodes from the first edit on; logits (N, K) float32.

        Args:
            start: {node: value} of `run_start`, used up
            visit: function of (node, its output, {node: value}) that gives the output to go on with
        """
        self._run(start, self._nodes[self._first_edit :], visit)
        return start[self._nodes[-1]].float()

    def _run(self, values, nodes, visit=None):
        for node in nodes:
            if node.op != "placeholder":
                values[node] = self.compute(node, values)
            if visit:
                values[node] = visit(node, values[node], values)
            for old in node.all_input_nodes:
                if self._last_use[old] == self._place[node]:
                    values.pop(old, None)
