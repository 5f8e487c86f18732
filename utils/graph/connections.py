"""How much each connection of a convolution matters: its weight times the gradient with respect to it."""

import torch


def add_relevance(sums, convolution, inputs, history, rank):
    """Add a batch's relevance of weights to `sums` (K, C_out, C_in / groups): one convolution an attribute.

    Args:
        inputs: (B, C_in, H, W); history: gradients of the output (B, C_out, H', W'), one a round
        rank: (B, K), as of `utils.graph.importance`
    """
    for k, rounds in enumerate(rank.T):
        own = rounds.nonzero()[:, 0]
        if len(own):
            gradient = torch.stack([history[number - 1][n] for n, number in enumerate(rounds.tolist()) if number])
            own_inputs = inputs[own.to(inputs.device, non_blocking=True)].contiguous()  # the memory order of `gradient`
            sums[k] += _weight_relevance(convolution, own_inputs, gradient)


def _weight_relevance(convolution, inputs, gradient):
    """(C_out, C_in / groups): sum over images and kernel of the weight times the gradient with respect to it.

    Args: inputs: (N, C_in, H, W) of a convolution; gradient: (N, C_out, H', W') with respect to its output
    """
    weight = convolution.weight
    plain = type(convolution) is torch.nn.Conv2d and not isinstance(convolution.padding, str)
    if plain and convolution.padding_mode == "zeros":
        placing = (convolution.stride, convolution.padding, convolution.dilation, convolution.groups)
        of_weight = torch.nn.grad.conv2d_weight(inputs, weight.shape, gradient, *placing)
    else:
        weight.requires_grad_(True)
        output = convolution.forward(inputs)  # its hooks are for the network's own pass
        of_weight = torch.autograd.grad(output, weight, gradient)[0]
        weight.requires_grad_(False)
    return of_weight.mul_(weight).sum((2, 3))


def connection_matrix(per_weight, groups):
    """(K, C_in, C_out) from one number per (output, input within its group), (K, C_out, C_in / groups).

    Channels of different groups are not connected: zero.
    """
    heads, outputs, inputs = per_weight.shape
    output = torch.arange(outputs)[:, None]
    first = output // (outputs // groups) * inputs
    matrix = per_weight.new_zeros(heads, inputs * groups, outputs)
    matrix[:, first + torch.arange(inputs), output] = per_weight
    return matrix
