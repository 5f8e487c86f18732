"""Networks by name: `build_model` gives logits (N, K), one named head per attribute."""

import torchvision
from torch import nn

from models.customresnet import customresnet
from models.heads import AttributeHeads, find_heads, replace_heads
from models.resnet18 import resnet18
from utils.common.errors import InputError, did_you_mean

OWN_MODELS = {"resnet18": resnet18, "customresnet": customresnet}


def model_names():
    """Names that `build_model` knows: the project's own and torchvision's classification networks."""
    classifiers = torchvision.models.list_models(module=torchvision.models)
    return sorted({*OWN_MODELS, *classifiers})


def build_model(name, attributes, pretrained=None):
    """A fresh network with one linear head per attribute.

    Args:
        name: "resnet18", "customresnet" or any torchvision classification network that ends in a linear layer
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
        model = _build_torchvision(name, attributes)
    if pretrained:
        _load_trunk(model, pretrained)
    return model


def load_weights(model, state_dict, source):
    """Load a plain state dict into a network, all or nothing.

    Raises: InputError that lists what is missing, unexpected or of another shape; `source` names the file in it
    """
    state_dict = {name.removeprefix("module."): value for name, value in state_dict.items()}
    own = model.state_dict()
    problems = {
        "missing": [name for name in own if name not in state_dict and not name.endswith("num_batches_tracked")],
        "unexpected": [name for name in state_dict if name not in own],
        "of another shape": [
            f"{name} {tuple(value.shape)} instead of {tuple(own[name].shape)}"
            for name, value in state_dict.items()
            if name in own and value.shape != own[name].shape
        ],
    }
    found = [f"{kind}: {_shorten(names)}" for kind, names in problems.items() if names]
    if found:
        raise InputError(f"weights in {source} do not fit this network and these attributes: {'; '.join(found)}")
    model.load_state_dict(state_dict, strict=False)
    return model


def _shorten(names, most=6):
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _build_torchvision(name, attributes):
    if name not in model_names():
        raise InputError(f"unknown model {name!r}{did_you_mean(name, model_names())}")
    options = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    trunk = torchvision.models.get_model(name, weights=None, **options)
    linear = [module for module in trunk.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"model {name!r} does not end in a linear layer, so it cannot hold one head per attribute")
    return replace_heads(trunk, AttributeHeads(linear[-1].in_features, attributes))


def _load_trunk(model, state_dict):
    name, heads = find_heads(model)
    trunk = {key: value for key, value in state_dict.items() if not key.startswith(f"{name}.")}
    own_heads = {f"{name}.{key}": value for key, value in heads.state_dict().items()}
    load_weights(model, {**trunk, **own_heads}, "the pretrained state dict")
