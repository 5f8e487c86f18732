"""Order of axes in memory with which a network trains fastest: fixed rules, so that a seed still gives one network.

Images always come with channels last, and so do the maps that convolutions make of them.
"""

import torch


def weight_layout(device, amp):
    """Order of the weights' axes: channels last, but not in bfloat16 on a processor.

    There both orders are equally fast on one machine (ResNet-18 at 64 px, images with channels last), and on another of
    the same kind with a later PyTorch gradients of channels-last kernels took twice as long.
    """
    return torch.contiguous_format if amp and torch.device(device).type == "cpu" else torch.channels_last
