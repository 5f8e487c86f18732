"""Training and evaluation mode of a network, put back as they were."""

from contextlib import contextmanager


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
