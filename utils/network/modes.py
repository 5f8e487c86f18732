"""Modes that work inside of a block only: training and evaluation of a network, precision of products."""

from contextlib import contextmanager

import torch


@contextmanager
def keeping_modes(model):
    """Give each module its own mode back at the end, after an error too."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield model
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def evaluating(model):
    """Evaluation mode inside; each module's own mode is put back at the end, after an error too."""
    with keeping_modes(model):
        yield model.eval()


@contextmanager
def exact_float32():
    """No TF32 on CUDA inside: float32 is float32; the settings are put back at the end, after an error too."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = False
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


@contextmanager
def unchanged_on_error(tensors):
    """Give some tensors their values back, in place, if the block ends in an error or an interrupt."""
    values = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for tensor, before in values:
                tensor.copy_(before)
        raise
