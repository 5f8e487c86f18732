"""Networks by name: `build_model` gives logits (N, K), one named head per attribute."""

import torch
import torchvision
from torch import nn

from models.customresnet import customresnet
from models.heads import AttributeHeads, find_heads, replace_heads
from models.resnet18 import resnet18
from models.state_dicts import load_weights, match_names, plain_names
from models.timm_networks import build_timm, is_timm, published_size
from utils.common.errors import InputError, did_you_mean

FEWEST_TENSORS = 16  # of a network
LARGEST_HEADS = 8_000_000  # parameters of 1000 outputs, at most
OWN_MODELS = {"resnet18": resnet18, "customresnet": customresnet}


def model_names():
    """Names that `build_model` knows: the project's own and torchvision's classification networks."""
    classifiers = torchvision.models.list_models(module=torchvision.models)
    return sorted({*OWN_MODELS, *classifiers})


def build_model(name, attributes, pretrained=None):
    """A fresh network with one linear head per attribute.

    Args:
        name: "resnet18", "customresnet", any torchvision classification network or "timm:NAME", that ends in a linear
            layer
        attributes: names of the heads, in order, at least one
        pretrained: state dict (ImageNet weights, say) for everything but the heads
    Returns: module mapping images (N, 3, H, W) to logits (N, K); `.attributes` names the heads
    Raises: InputError for an unknown name, repeated attributes or weights that do not fit
    """
    if not attributes or len(set(attributes)) != len(attributes):
        raise InputError(f"attributes must be different names, at least one: got {' '.join(attributes) or 'none'}")
    if name in OWN_MODELS:
        model = OWN_MODELS[name](attributes)
    else:
        trunk = build_timm(name) if is_timm(name) else _build_torchvision(name)
        linear = [module for module in trunk.modules() if isinstance(module, nn.Linear)]
        model = replace_heads(trunk, AttributeHeads(linear[-1].in_features, attributes))
    if pretrained:
        _load_trunk(model, pretrained)
    return model


def build_for(name, attributes, state_dict, source):
    """`build_model` and `load_weights` at once; a file that can't fill a large network costs no memory for it.

    Args: name, attributes: of the network; state_dict: {name: tensor}; source: names the file in errors
    Raises: InputError as both of them
    """
    most, held = _published_size(name) - LARGEST_HEADS, sum(value.numel() for value in state_dict.values())
    if held < most:
        raise InputError(
            f"weights in {source} do not fit this network: {held:,} numbers, {name} has more than {most:,}"
        )
    return load_weights(build_model(name, attributes), state_dict, source)


def _published_size(name):
    """Number of parameters as published, told without the memory that they take; 0: not known."""
    if is_timm(name):
        return published_size(name)
    if name in OWN_MODELS or name not in model_names():
        return 0
    return next(iter(torchvision.models.get_model_weights(name))).meta["num_params"]


def recognise(state_dict, name):
    """Another network than `name` that a state dict fits, heads aside, by the names and shapes of its tensors.

    Returns: its name; None if there is none, or the state dict fits `name` but for a few tensors too many
    """
    shapes = {key: value.shape for key, value in plain_names(state_dict).items()}
    if len(shapes) < FEWEST_TENSORS or _surplus(name, shapes) in range(FEWEST_TENSORS):
        return None
    held = sum(shape.numel() for shape in shapes.values())
    near = [other for other in model_names() if _near(held, _published_size(other))]  # building all takes seconds
    return next((other for other in near if _surplus(other, shapes) == 0), None)


def _near(held, published):
    """Whether a state dict of `held` numbers, statistics of batch norms too, may be of a network of so many."""
    return not published or published - LARGEST_HEADS <= held <= 1.02 * published + LARGEST_HEADS


def _surplus(name, shapes):
    """How many tensors of {name: shape} a network lacks, heads aside; None if these do not fill it."""
    try:
        with torch.device("meta"):  # no memory, no numbers drawn
            model = build_model(name, ("any",))
    except (InputError, NotImplementedError):  # no linear end; a RegNet computes while it is built
        return None
    heads = f"{find_heads(model)[0]}."

    def trunk(items):
        return {
            (key, shape) for key, shape in items if not key.startswith(heads) and not key.endswith("batches_tracked")
        }

    own, found = trunk((key, value.shape) for key, value in model.state_dict().items()), trunk(shapes.items())
    return len(found - own) if own <= found else None


def _build_torchvision(name):
    if name not in model_names():
        hint = did_you_mean(name, model_names()) or ": name a classification network of torchvision, resnet50 say"
        raise InputError(f"unknown model {name!r}{hint}")
    options = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    trunk = torchvision.models.get_model(name, weights=None, **options)
    if not any(isinstance(module, nn.Linear) for module in trunk.modules()):
        raise InputError(f"model {name!r} does not end in a linear layer, so it cannot hold one head per attribute")
    return trunk


def _load_trunk(model, state_dict):
    (name, heads), source = find_heads(model), "the pretrained state dict"
    found = match_names(state_dict, model, source)
    trunk = {key: value for key, value in found.items() if not key.startswith(f"{name}.")}
    own_heads = {f"{name}.{key}": value for key, value in heads.state_dict().items()}
    load_weights(model, {**trunk, **own_heads}, source)
