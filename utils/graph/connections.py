"""Relevance of the connections between two scored convolutions, from gradients of maps and inputs kept at hand."""

import torch

from utils.graph.cheap_gradients import is_plain


def weight_relevance(convolution, inputs, gradient):
    """(C_out, C_in / groups): sum over images and kernel of the weight times the gradient with respect to it."""
    weight = convolution.weight.detach()
    if is_plain(convolution):
        placing = (convolution.stride, convolution.padding, convolution.dilation, convolution.groups)
        found = torch.nn.grad.conv2d_weight(inputs, weight.shape, gradient, *placing)
    else:
        convolution.weight.requires_grad_(True)
        found = torch.autograd.grad(convolution(inputs), convolution.weight, gradient)[0]
        convolution.weight.requires_grad_(False)
    return (weight * found).sum((2, 3))


def connection_matrix(per_weight, groups):
    """(K, C_in, C_out) from one number per (output, input within its group), (K, C_out, C_in / groups).

    Channels of different groups are not connected: zero.
    """
    heads, outputs, inputs = per_weight.shape
    output = torch.arange(outputs, device=per_weight.device)[:, None]
    first = output // (outputs // groups) * inputs
    matrix = per_weight.new_zeros(heads, inputs * groups, outputs)
    matrix[:, first + torch.arange(inputs, device=per_weight.device), output] = per_weight
    return matrix
