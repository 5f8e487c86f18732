"""A network as scoring runs it: the same function in eval mode, with fewer operations.

Batch norms become part of the convolution before them, and a convolution whose kernel mostly reads padding (3x3 on a
map of 2x2, say) becomes one matrix product without the padding. Both are exact but for rounding. The network itself is
not changed; what cannot be traced runs as it is.
"""

import math
from itertools import product

import torch
import torch.nn.functional as F
from torch import fx, nn

MOST_POSITIONS = 0.6  # of the kernel's size: below it the matrix has so much fewer products that it is always faster


class LeanConvolution(nn.Module):
    """A plain convolution with its batch norm folded in; on small maps a matrix product."""

    def __init__(self, convolution, norm=None):
        """Fold `norm` (None: nothing behind it) into `convolution`; neither is changed."""
        super().__init__()
        weight, bias = convolution.weight.detach(), convolution.bias
        bias = None if bias is None else bias.detach()
        if norm is not None:
            scale = torch.rsqrt(norm.running_var + norm.eps)
            scale = scale if norm.weight is None else scale * norm.weight.detach()
            bias = -norm.running_mean * scale if bias is None else (bias - norm.running_mean) * scale
            bias = bias if norm.bias is None else bias + norm.bias.detach()
            weight = weight * scale[:, None, None, None]
        self.weight, self.bias, self._matrices = weight, bias, {}  # no parameters: nothing here is trained
        self._placing = (convolution.stride, convolution.padding, convolution.dilation)
        self._groups = convolution.groups

    def forward(self, x):
        """(N, C, H, W) -> (N, C', H', W')."""
        height, width = x.shape[2:]
        if self._groups > 1 or height * width > MOST_POSITIONS * math.prod(self.weight.shape[2:]):
            return F.conv2d(x, self.weight, self.bias, *self._placing, self._groups)
        if (height, width) not in self._matrices:
            self._matrices[height, width] = convolution_matrix(self.weight, *self._placing, height, width)
        matrix, (out_height, out_width) = self._matrices[height, width]
        flat = x.permute(0, 2, 3, 1).flatten(1) @ matrix  # positions first, channels last
        maps = flat.unflatten(1, (out_height, out_width, -1))
        return (maps if self.bias is None else maps + self.bias).permute(0, 3, 1, 2)


def convolution_matrix(weight, stride, padding, dilation, height, width):
    """The matrix of a convolution without bias on maps of one size.

    Args:
        weight: (C', C, h, w) tensor; stride, padding, dilation: pairs
        height, width: of the input, in positions
    Returns: (matrix (height * width * C, H' * W' * C'), (H', W'))
    """
    outputs, inputs, *kernel = weight.shape
    sides = zip((height, width), kernel, stride, padding, dilation, strict=True)
    size = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sides]
    taps = weight.permute(2, 3, 1, 0).contiguous()
    places = []
    for y, x, i, j in product(*map(range, (*size, *kernel))):
        row = y * stride[0] - padding[0] + i * dilation[0]
        column = x * stride[1] - padding[1] + j * dilation[1]
        if 0 <= row < height and 0 <= column < width:
            places.append((row, column, y, x, taps[i, j]))
    everywhere = len(places) == height * width * math.prod(size)  # each pair of positions has at most one tap
    make = weight.new_empty if everywhere else weight.new_zeros
    matrix = make(height, width, inputs, *size, outputs)
    for row, column, y, x, tap in places:
        matrix[row, column, :, y, x] = tap
    return matrix.view(height * width * inputs, -1), tuple(size)


class _Tracer(fx.Tracer):
    """Convolutions stay whole, also those of classes of one's own."""

    def is_leaf_module(self, module, name):
        return isinstance(module, nn.Conv2d) or super().is_leaf_module(module, name)


def lean_network(model, scored):
    """A network that gives the logits of `model` in eval mode, with a map of each scored convolution.

    Args:
        model: network in eval mode; it shares all other modules with the result
        scored: names of convolutions whose own output is needed: their batch norm stays apart
    Returns: (module, {scored name: the module in it whose output is that map}); the network itself where it cannot be
        traced, or where someone listens to its modules
    """
    plain = model, {name: model.get_submodule(name) for name in scored}
    if any(_is_watched(module) for module in model.modules()):
        return plain
    try:
        graph = _Tracer().trace(model)
    except Exception:  # torch.fx raises many kinds; each means that it cannot be traced
        return plain
    modules = dict(model.named_modules())
    targets = [node.target for node in graph.nodes if node.op == "call_module"]
    lean = {}
    for node in graph.nodes:
        if node.op != "call_module" or targets.count(node.target) > 1 or not is_plain(modules[node.target]):
            continue
        norm = None if node.target in scored else _norm_behind(node, modules)
        lean[node.target] = LeanConvolution(modules[node.target], modules[norm.target] if norm else None)
        if norm:
            norm.replace_all_uses_with(node)
            graph.erase_node(norm)
    network = fx.GraphModule({**_targets(graph, model), **lean}, graph)
    return network, {name: network.get_submodule(name) for name in scored}


def _targets(graph, model):
    """{name: module or tensor} of what a graph refers to."""
    found = {}
    for node in graph.nodes:
        if node.op == "call_module":
            found[node.target] = model.get_submodule(node.target)
        elif node.op == "get_attr":
            owner, _, name = node.target.rpartition(".")
            found[node.target] = getattr(model.get_submodule(owner), name)
    return found


def _is_watched(module):
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def is_plain(module):
    """Whether a module is a convolution of PyTorch's own class, padded by zeros."""
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _norm_behind(node, modules):
    """The node of a batch norm with kept statistics that alone reads this convolution, or None."""
    if len(node.users) != 1:
        return None
    user = next(iter(node.users))
    module = modules.get(user.target) if user.op == "call_module" else None
    kept = type(module) is nn.BatchNorm2d and module.running_var is not None
    return user if kept else None
