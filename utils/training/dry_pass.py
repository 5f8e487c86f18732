"""Whether a network can be trained at a size and in batches, found out before any image is decoded.

Two images without values (on the device "meta") go forward and back: shapes are checked as in training, nothing is
computed, no weight exists and no generator is moved.
"""

import torch
import torch.nn.functional as F

from models import build_model
from utils.common.errors import InputError, first_line
from utils.training.batches import rows_of_epoch

SIZES = (32, 64, 96, 128, 160, 192, 224, 256, 299, 384, 512)  # tried for the cure


def check_training(model, attributes, img_size, rows, settings, device="cpu"):
    """Refuse what training would fail on.

    Args:
        model: architecture; attributes: heads; img_size: pixels a side; rows: (N,) to train on
        settings: `TrainingSettings`; device: that it will be compiled for, if it will
    Raises: InputError if the rows or the batch are too few, or the network takes no such images
    """
    _, batch_size = rows_of_epoch(rows, settings, 0)
    images = min(2, batch_size)  # batch norm may refuse a single one
    network = _without_values(model, attributes)
    reason = _failure(network, img_size, images)
    if reason and images == 1 and not _failure(network, img_size, 2):
        shared = settings.batch_size // batch_size
        least = f"at least {2 * shared}" + (f" for {shared} processes" if shared > 1 else "")
        raise InputError(f"{model} cannot train on one image at a time ({reason}): use a --batch_size of {least}")
    if reason:
        nearest_first = sorted(SIZES, key=lambda size: abs(size - img_size))
        nearest = next((size for size in nearest_first if not _failure(network, size, 2)), None)
        cure = f"use --img_size {nearest}" if nearest else "use another --img_size or --model"
        raise InputError(f"{model} cannot train on images of {img_size} px ({reason}): {cure}")
    if settings.compile:
        _check_compiler(device)


def _without_values(model, attributes):
    """The network on the device "meta"."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build_model(model, attributes)
        except NotImplementedError:  # it looks at a value while it is built
            return build_model(model, attributes).to("meta")


def _failure(network, img_size, images):
    """Why a training step fails on some images, in a line; None if it does not."""
    try:
        with torch.random.fork_rng(devices=[]):
            logits = network.train()(torch.empty(images, 3, img_size, img_size, device="meta"))
            F.binary_cross_entropy_with_logits(logits, torch.empty_like(logits)).backward()
    except NotImplementedError:  # an operation without shapes of its own: training will tell
        return None
    except Exception as error:  # each layer refuses sizes in its own way
        return first_line(error).rstrip(".")
    return None


def _check_compiler(device):
    """Compile one addition. Raises: InputError if that fails, for lack of a compiler as a rule"""
    try:
        torch.compile(lambda numbers: numbers + 1)(torch.zeros(2, device=device))
    except Exception as error:  # each backend fails in its own way
        cure = "install a C++ compiler (g++), or leave out --compile"
        raise InputError(f"--compile: torch.compile fails here ({first_line(error)}): {cure}") from None
