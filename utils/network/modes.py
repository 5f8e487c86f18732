"""Modes that work inside of a block only: training and evaluation of a network, precision of products."""

from contextlib import contextmanager
from functools import partial

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
    """float32 is float32 inside, no TF32 on CUDA, no bfloat16 in a CPU's products; as before at the end or an error."""
    cudnn, restore = torch.backends.cudnn, []
    try:
        restore = [(_set_convolutions, cudnn.allow_tf32)]
        restore += [(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())]
    except RuntimeError:  # somebody uses the newer settings: from then on the older ones refuse to be read
        backends = torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn, torch.backends.mkldnn.matmul
        restore = [(partial(setattr, backend, "fp32_precision"), backend.fp32_precision) for backend in backends]
    exact = {_set_convolutions: False, torch.set_float32_matmul_precision: "highest"}
    try:
        for put, _ in restore:
            put(exact.get(put, "ieee"))
        yield
    finally:
        for put, value in restore:
            put(value)


def _set_convolutions(allow_tf32):
    torch.backends.cudnn.allow_tf32 = allow_tf32


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
