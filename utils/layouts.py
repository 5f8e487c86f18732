"""Order of axes in memory with which a network trains fastest: fixed rules, so that a seed still gives one network."""

from contextlib import contextmanager

import torch
from torch import nn


def training_layout(device, amp):
    """Order of axes in memory that trains fastest: channels last, but not in bfloat16 on a processor.

    There convolutions are as fast either way on one machine (ResNet-18 at 64 px), and the gradients of their kernels
    take over twice as long with channels last on another of the same kind; see `fast_pooling` for the rest.
    """
    return torch.contiguous_format if amp and torch.device(device).type == "cpu" else torch.channels_last


@contextmanager
def fast_pooling(model, layout):
    """Have max-pooling layers work with channels last while the rest of the network has another layout.

    Values, gradients and the layout of what comes out are the same; in bfloat16 on a processor pooling is ten times
    faster so, as only that order uses its vector instructions.
    """
    pools = [module for module in model.modules() if isinstance(module, nn.MaxPool2d)]
    hooks = []
    if layout != torch.channels_last:
        for pool in pools:
            hooks.append(pool.register_forward_pre_hook(_channels_last))
            hooks.append(pool.register_forward_hook(_channels_first))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _channels_last(module, inputs):
    return tuple(images.contiguous(memory_format=torch.channels_last) for images in inputs)


def _channels_first(module, inputs, output):
    return output.contiguous()
