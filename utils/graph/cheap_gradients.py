"""Gradients with respect to maps, exact but for rounding and with fewer operations than autograd's own.

The forward pass is the network's own, operation for operation, so every ReLU has the sign that the network gives it.
Only the way back differs: a convolution on a map of few positions becomes products of small matrices that leave out the
padding, a batch norm in eval mode one scaling, and the passes of several attributes become one.
"""

import warnings
from contextlib import contextmanager
from itertools import product

import torch
from torch import nn

ROOM = 256 * 2**20  # bytes that the gradients of several attributes may take together
MOST_POSITIONS = 4  # of an output map: with more, a convolution's own backward pass is faster


def is_plain(module):
    """Whether a module is a convolution of PyTorch's own class, padded by zeros."""
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)


@contextmanager
def cheap_gradients(model):
    """Let a network in eval mode, whose parameters take no gradient, go back the cheap way; put back at the end."""
    changed = []
    try:
        for module in model.modules():
            kept = type(module) is nn.BatchNorm2d and module.running_var is not None
            small = is_plain(module) and module.groups == 1
            if (kept or small) and "forward" not in vars(module):
                vars(module)["forward"] = _scaling(module) if kept else _convolving(module)
                changed.append(module)
        yield model
    finally:
        for module in changed:
            del vars(module)["forward"]


def gradients_of(outputs, attributes, maps):
    """Gradients of some columns of `outputs` (N, K) with respect to maps: tensors (len(attributes), N, C, H, W).

    The backward passes of the attributes are one, over that many times as many rows; operations that cannot be
    batched are gone through attribute by attribute.
    """
    chosen = torch.zeros(len(attributes), *outputs.shape, dtype=outputs.dtype, device=outputs.device)
    chosen[range(len(attributes)), :, attributes] = 1

    def back(one):
        return torch.autograd.grad(outputs, maps, one, retain_graph=True, materialize_grads=True)

    try:
        with warnings.catch_warnings(action="error", category=UserWarning):  # a slow way round is told by a warning
            return list(torch.func.vmap(back)(chosen))
    except (RuntimeError, UserWarning):
        return [torch.stack(column) for column in zip(*map(back, chosen), strict=True)]


def portions(attributes, maps):
    """Attributes in groups whose gradients with respect to the maps fit in ROOM bytes together."""
    each = sum(tensor.numel() * tensor.element_size() for tensor in maps)
    size = max(1, ROOM // max(1, each))
    return [attributes[start : start + size] for start in range(0, len(attributes), size)]


class _Back(torch.autograd.Function):
    """A module's own forward pass with another way back."""

    @staticmethod
    def forward(ctx, x, module, back):
        ctx.back, ctx.size = back, tuple(x.shape[2:])
        return type(module).forward(module, x)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.back(gradient, ctx.size), None, None


class _InputGradient(torch.autograd.Function):
    """`input_gradient`; the attributes of a batched backward pass become more rows."""

    @staticmethod
    def forward(gradient, convolution, size, kept):
        return input_gradient(convolution, gradient, size, kept)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass  # nobody differentiates twice

    @staticmethod
    def vmap(info, in_dims, gradient, convolution, size, kept):
        rows = gradient.movedim(in_dims[0], 0).flatten(0, 1)
        return input_gradient(convolution, rows, size, kept).unflatten(0, (info.batch_size, -1)), 0


def _scaling(norm):
    scale = torch.rsqrt(norm.running_var + norm.eps)
    scale = (scale if norm.weight is None else scale * norm.weight.detach()).view(-1, 1, 1)

    def forward(x):
        if not x.requires_grad or norm.training:
            return type(norm).forward(norm, x)
        return _Back.apply(x, norm, lambda gradient, _size: gradient * scale)

    return forward


def _convolving(convolution):
    kept = {}  # what the weights become, once for all batches

    def forward(x):
        if not x.requires_grad or not _is_small(convolution, x.shape[2:]):
            return type(convolution).forward(convolution, x)
        return _Back.apply(
            x, convolution, lambda gradient, size: _InputGradient.apply(gradient, convolution, size, kept)
        )

    return forward


def _is_small(convolution, size):
    height, width = output_size(convolution, size)
    return 0 < height * width <= MOST_POSITIONS


def output_size(convolution, size):
    """(H', W') of a convolution's output for maps of size (H, W)."""
    settings = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, *settings, strict=True))


def input_gradient(convolution, gradient, size, kept):
    """Gradient with respect to the input of a convolution without groups, padding left out.

    Args:
        gradient: (N, C', H', W') with respect to its output; size: (H, W) of its input
        kept: dict that keeps what the weights become; empty at first
    Returns: (N, C, H, W)
    """
    settings = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
    of_two = settings == ((3, 3), (1, 1), (1, 1), (1, 1)) and tuple(size) == (2, 2)
    if of_two not in kept:
        kept[of_two] = _taps(convolution.weight.detach(), of_two)
    cells = gradient.permute(2, 3, 0, 1).contiguous()
    maps = _of_two(cells, kept[of_two]) if of_two else _by_taps(convolution, cells, size, kept[of_two])
    return maps.permute(2, 3, 0, 1)


def _taps(weight, of_two):
    """(C', C, h, w) -> (h, w, C', C), in the form that `_of_two` takes or as they are.

    A tap at a time, which is several times as fast as all at once.
    """
    taps = weight.new_empty(*weight.shape[2:], *weight.shape[:2])
    for i, j in product(*map(range, weight.shape[2:])):
        taps[i, j] = weight[:, :, i, j]
    for side in (taps, taps.transpose(0, 1)) if of_two else ():
        side[0] -= side[1]
        side[2] -= side[1]
    return taps


def _of_two(cells, taps):
    """A 2x2 map under a 3x3 kernel by 9 products in the place of 16: (2, 2, N, C') -> (2, 2, N, C).

    Along one side, with taps t and gradients g: x0 = t1 g0 + t0 g1 = t1 (g0 + g1) + (t0 - t1) g1, and
    x1 = t2 g0 + t1 g1 = t1 (g0 + g1) + (t2 - t1) g0; so for both sides, one within the other.
    """
    rows = (cells[1], cells[0] + cells[1], cells[0])
    found = [
        [_product(row[1], tap[0]), _product(row[0] + row[1], tap[1]), _product(row[0], tap[2])]
        for row, tap in zip(rows, taps, strict=True)
    ]
    before, both, behind = (torch.stack([row[1] + row[0], row[1] + row[2]]) for row in found)
    return torch.stack([both + before, both + behind])


def _by_taps(convolution, cells, size, taps):
    """(H', W', N, C') -> (H, W, N, C): each place of the input adds up what its outputs' taps give."""
    maps = cells.new_zeros(*size, cells.shape[2], taps.shape[3])
    for y, x, i, j in product(*map(range, (*cells.shape[:2], *taps.shape[:2]))):
        row = y * convolution.stride[0] - convolution.padding[0] + i * convolution.dilation[0]
        column = x * convolution.stride[1] - convolution.padding[1] + j * convolution.dilation[1]
        if 0 <= row < size[0] and 0 <= column < size[1]:
            maps[row, column] += _product(cells[y, x], taps[i, j])
    return maps


def _product(rows, taps):
    """(N, C') and (C', C) -> (N, C); by oneDNN where PyTorch has it, on some processors twice as fast as its own."""
    if rows.device.type == "cpu" and rows.dtype == torch.float32 and _has_onednn():
        return torch.ops.mkldnn._linear_pointwise(rows, taps.t(), None, "none", [], "")
    return rows @ taps


def _has_onednn():
    """Whether PyTorch was built with oneDNN, it is not turned off, and its product has the name it has had so far."""
    onednn = torch.backends.mkldnn
    return onednn.is_available() and onednn.enabled and hasattr(torch.ops.mkldnn, "_linear_pointwise")
