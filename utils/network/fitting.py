"""Whether a network takes images of a size, found out without values: shapes are checked, nothing is computed.

On PyTorch's device "meta" no weight exists and no generator is moved; images go forward, in training also back.
"""

from functools import cache

import torch

from models import build_model
from models.heads import get_heads
from utils.common.errors import InputError, first_line
from utils.network.modes import keeping_modes

SIZES = (32, 64, 96, 128, 160, 192, 224, 256, 299, 384, 512)  # tried for the cure


def without_values(model, attributes, built=True):
    """The network `model` with heads for some `attributes`, on the device "meta": shapes (N, K) come out, no logits.

    Args: built: a network that looks at a value while it is built (RegNets) is built with values first; else it is None
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build_model(model, attributes)
        except NotImplementedError:  # it looks at a value while it is built
            return build_model(model, attributes).to("meta") if built else None


def failure(network, img_size, images, training=False):
    """Why a network fails on some images, in a line; None if it does not, or cannot be asked.

    Args: network: of `without_values`; img_size: pixels a side; images: how many; training: forward and back
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(training), keeping_modes(network):
            logits = network.train(training)(torch.empty(images, 3, img_size, img_size, device="meta"))
            expected = (images, get_heads(network).out_features)
            if tuple(logits.shape) != expected:
                return f"it gives {tuple(logits.shape)} instead of {expected}, an image's logit of each attribute"
            if training:
                logits.sum().backward()
    except NotImplementedError:  # an operation that knows no shapes: the network itself will tell
        return None
    except Exception as error:  # each layer refuses sizes in its own way
        return first_line(error).rstrip(".")
    return None


def check_size(model, attributes, img_size, training=False):
    """Refuse a size that a network does not take.

    Args: model: architecture; attributes: heads; img_size: pixels a side; training: two images must go forward and back
    Raises: InputError that names the nearest size that it takes
    """
    refused = _refusal(model, tuple(attributes), img_size, training)
    if refused:
        raise InputError(refused)


@cache  # the networks of an audit are alike
def _refusal(model, attributes, img_size, training):
    """Why a network does not take images of a size, with the cure; None if it does, or cannot be asked."""
    network = without_values(model, attributes, built=training)  # a small file asks for no large network
    reason = failure(network, img_size, 2, training) if network is not None else None
    if not reason:
        return None
    nearest_first = sorted(SIZES, key=lambda size: abs(size - img_size))
    nearest = next((size for size in nearest_first if not failure(network, size, 2, training)), None)
    cure = f"use --img_size {nearest}" if nearest else "use another --img_size or --model"
    return f"{model} takes no images of {img_size} px ({reason}): {cure}"
