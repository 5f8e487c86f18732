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
    return _take_norms_apart(model)


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


class NormAndActivation(nn.Module):
    """A batch norm with its activation, which timm has as one module: apart, so that a trace shows the norm by itself.

    In a state dict the names are timm's, without `norm.`.
    """

    def __init__(self, joined):
        """Take over the tensors of a `BatchNormAct2d`."""
        super().__init__()
        names = ("num_features", "eps", "momentum", "affine", "track_running_stats")
        self.norm = nn.BatchNorm2d(*(getattr(joined, name) for name in names))
        self.norm._parameters.update(joined._parameters)
        self.norm._buffers.update(joined._buffers)
        self.drop, self.act = joined.drop, joined.act
        self.register_state_dict_post_hook(_write_names)
        self.register_load_state_dict_pre_hook(_read_names)

    def forward(self, maps):
        """(N, C, H, W), normalised and activated."""
        return self.act(self.drop(self.norm(maps)))


def _write_names(module, state_dict, prefix, metadata):
    for name in [name for name in state_dict if name.startswith(f"{prefix}norm.")]:
        state_dict[prefix + name.removeprefix(f"{prefix}norm.")] = state_dict.pop(name)


def _read_names(module, state_dict, prefix, *_):
    for name in module.norm.state_dict():
        if prefix + name in state_dict:
            state_dict[f"{prefix}norm.{name}"] = state_dict.pop(prefix + name)


def _take_norms_apart(model):
    joined = {name: module for name, module in model.named_modules() if type(module).__name__ == "BatchNormAct2d"}
    for name, module in joined.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, NormAndActivation(module))
    return model


def _import_timm(name):
    if util.find_spec("timm") is None:
        raise InputError(f"--model {printable(name, 80)} needs the library timm: {INSTALL}")
    return import_module("timm")
