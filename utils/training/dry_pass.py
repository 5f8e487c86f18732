"""Whether a training can begin: rows, batch, size of the images and compiler, before any image is decoded."""

import torch

from utils.common.errors import InputError, first_line, no_memory
from utils.network.fitting import check_size, failure, without_values
from utils.training.batches import rows_of_epoch


def check_training(model, attributes, img_size, rows, settings, device="cpu"):
    """Refuse what training would fail on.

    Args:
        model: architecture; attributes: heads; img_size: pixels a side; rows: (N,) to train on
        settings: `TrainingSettings`; device: that it will be compiled for, if it will
    Raises: InputError if the rows or the batch are too few, or the network takes no such images
    """
    rows_of_epoch(rows, settings, 0)
    check_size(model, attributes, img_size, training=True)
    alone = settings.batch_size == 1  # the batch norms of several processes see the whole batch, an image of each
    reason = failure(without_values(model, attributes), img_size, 1, training=True) if alone else None
    if reason:
        raise InputError(f"{model} cannot train on one image at a time ({reason}): use a --batch_size of at least 2")
    if settings.compile:
        _check_compiler(device)


def _check_compiler(device):
    """Compile one addition. Raises: InputError if that fails, for lack of a compiler as a rule"""
    try:
        torch.compile(lambda numbers: numbers + 1)(torch.zeros(2, device=device))
    except Exception as error:  # each backend fails in its own way
        if no_memory(error):
            raise
        cure = "install a C++ compiler (g++), or leave out --compile"
        raise InputError(f"--compile: torch.compile fails here ({first_line(error)}): {cure}") from None
