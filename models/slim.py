"""Networks of an architecture with fewer channels: their widths as a plain dictionary, and the net built from it."""

import torch
from torch import nn

from utils.errors import InputError

SIZED = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)


def widths_of(model):
    """{module: [inputs, outputs]} of every convolution, batch norm and linear layer; a batch norm's two are equal."""
    return {name: width_of(module) for name, module in model.named_modules() if isinstance(module, SIZED)}


def set_widths(model, widths):
    """Give some modules fewer channels, in place; which of their values stay doesn't matter: load yours afterwards.

    Args:
        widths: {module: [inputs, outputs]}; modules that it doesn't name keep their size
    Returns: the model
    Raises: InputError if a module isn't there or has fewer channels than that
    """
    modules = dict(model.named_modules())
    for name, wanted in widths.items():
        full = width_of(modules[name]) if isinstance(modules.get(name), SIZED) else None
        fits = (
            full
            and isinstance(wanted, (list, tuple))
            and len(wanted) == 2
            and all(1 <= few <= many for few, many in zip(wanted, full, strict=True))
        )
        if not fits:
            raise InputError(
                f"the widths don't fit this network: {name} {wanted}, but there it has {full or 'no size'}"
            )
        keep_channels(modules[name], *(torch.arange(few) for few in wanted))
    return model


def keep_channels(module, inputs, outputs):
    """Keep some input and output channels of a convolution, batch norm or linear layer, in place.

    Args:
        inputs, outputs: places to keep, in order, (n,) int64. In a depthwise convolution and in a batch norm a channel
            is input and output at once, so both must be equal there
    Raises: ValueError for a convolution whose groups hold several channels
    """
    if isinstance(module, nn.BatchNorm2d):
        module.num_features = len(outputs)
        for name in ("weight", "bias", "running_mean", "running_var"):
            _keep(module, name, outputs)
        return
    _keep(module, "weight", outputs)
    _keep(module, "bias", outputs)
    if isinstance(module, nn.Linear):
        module.in_features, module.out_features = len(inputs), len(outputs)
        _keep(module, "weight", inputs, axis=1)
        return
    if is_depthwise(module):
        module.groups = len(outputs)
    elif module.groups > 1:
        raise ValueError("a convolution whose groups hold several channels keeps all of them")
    else:
        _keep(module, "weight", inputs, axis=1)
    module.in_channels, module.out_channels = len(inputs), len(outputs)


def is_depthwise(module):
    """Whether output channel i of a convolution reads input channel i and nothing else."""
    return module.groups > 1 and module.groups == module.in_channels == module.out_channels


def width_of(module):
    """[inputs, outputs] of a convolution, batch norm or linear layer."""
    if isinstance(module, nn.BatchNorm2d):
        return [module.num_features, module.num_features]
    if isinstance(module, nn.Linear):
        return [module.in_features, module.out_features]
    return [module.in_channels, module.out_channels]


def _keep(module, name, places, axis=0):
    tensor = getattr(module, name)
    if tensor is None:
        return
    kept = tensor.detach().index_select(axis, places.to(tensor.device))
    setattr(module, name, nn.Parameter(kept, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else kept)
