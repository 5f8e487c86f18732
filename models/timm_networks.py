"""Networks of the timm library, where it is installed: `timm:NAME`, built here without weights, never downloaded."""

from functools import cache
from importlib import import_module, util

import torch
from torch import nn

from utils.common.errors import InputError, did_you_mean, first_line, no_memory, printable

PREFIX = "timm:"
INSTALL = "pip install timm (one of requirements-extras.txt)"


def is_timm(name):
    """Whether the name of a network asks for one of timm."""
    return name.startswith(PREFIX)


def build_timm(name):
    """A fresh network of timm with the outputs that it is published with.

    Args: name: "timm:" and a name that timm lists, with or without the tag of its weights (resnet26d.bt_in1k)
    Returns: module mapping images (N, 3, H, W) to (N, 1000), as a rule
    Raises: InputError if timm is not installed, does not know the name, or its network ends in no single linear layer
    """
    library, own = _import_timm(name), name.removeprefix(PREFIX)
    if not library.is_model(own):  # a name with a hub or a folder before it is none: nothing is fetched or opened
        hint = did_you_mean(own, library.list_models()).replace("mean ", f"mean {PREFIX}")
        raise InputError(f"unknown model {printable(name, 80)!r}{hint or ': timm.list_models() lists them'}")
    try:
        model = library.create_model(own, pretrained=False)
    except NotImplementedError:  # it looks at a value while it is built without values
        raise
    except Exception as error:  # an entry of its list that needs something that is not there
        if no_memory(error):
            raise
        raise InputError(f"timm cannot build {name}: {first_line(error)}; use another --model") from None
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not linear or linear[-1] is not model.get_classifier():
        raise InputError(f"model {name!r} does not end in a linear layer, so it cannot hold one head per attribute")
    return model


@cache
def published_size(name):
    """Number of parameters but those of the last layer, found without values; 0 if that cannot be found so."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = build_timm(name)
        model.reset_classifier(0)  # its outputs are of ImageNet's 1,000 classes, or of 21,841
        return sum(parameter.numel() for parameter in model.parameters())
    except NotImplementedError:
        return 0


def _import_timm(name):
    if util.find_spec("timm") is None:
        raise InputError(f"--model {printable(name, 80)} needs the library timm: {INSTALL}")
    return import_module("timm")
