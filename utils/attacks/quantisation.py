"""Quantisation: the weights rounded to a few bits, then probed again.

An edit that hides an attribute by small changes of many weights can be rounded away with them.
"""

import copy

import torch
from torch import nn

from models.heads import AttributeHeads
from utils.attacks.passes import read_anew
from utils.probes.attack import Attack
from utils.probes.linear import LINEAR

BITS = {"quick": (4,), "full": (4, 8)}  # of the audit's levels


def run(subject):
    """Scores of a linear probe of each stage of the network with rounded weights.

    Args: subject: `utils.probes.attack.Subject`
    Returns: {"int4 layer4", …: (M,) scores, or None if the training images lack a class}
    """
    scores = {}
    for bits in BITS[subject.setup.level.name]:
        rounded = read_anew(subject, quantised(subject.model, bits))
        scores |= {f"int{bits} {stage}": found for stage, found in LINEAR.run(rounded).items()}
    return scores


QUANTISATION = Attack("quantisation", run, costly=True)


@torch.no_grad()
def quantised(model, bits):
    """A copy whose convolutions and linear layers, but the heads, have weights of `bits` bits.

    Each weight becomes the nearest multiple of a (2^(bits-1) - 1)-th of the largest one of its output channel; biases,
    norms and activations stay float32.

    Returns: the copy; the `model` stays as it is
    """
    model, most = copy.deepcopy(model), 2 ** (bits - 1) - 1
    for layer in model.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)) and not isinstance(layer, AttributeHeads):
            largest = layer.weight.abs().flatten(1).amax(1).view(-1, *[1] * (layer.weight.ndim - 1))
            step = largest.clamp(min=torch.finfo(largest.dtype).tiny * most) / most
            layer.weight.copy_((layer.weight / step).round() * step)
    return model.to(memory_format=torch.channels_last)  # the images' own order
