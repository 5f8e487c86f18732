"""State dicts put into a network: names as wrappers leave them, shapes and numbers checked, all or nothing."""

from collections import OrderedDict

import torch

from models.heads import find_heads
from utils.common.errors import InputError, printable

# what wraps a network prefixes the names: data parallel, torch.compile, a Lightning module, an exponential average, ...
WRAPPERS = (
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "backbone.",
    "ema.",
    "ema_model.",
    "ema_model.module.",
)
INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # also of a part of the network
COUNTERS = ("n_averaged", "initted", "step")  # of averages of weights, beside the network


def plain_names(state_dict):
    """A state dict, {name: tensor}, with the names that the network has where nothing wraps it.

    Returns: the same values in the same order; the same names if two would become equal
    """
    plain = {}
    for name, value in state_dict.items():
        if name in COUNTERS:
            continue
        for part in INSIDE:
            name = name.replace(part, "")
        while prefix := next((prefix for prefix in WRAPPERS if name.startswith(prefix)), None):
            name = name.removeprefix(prefix)
        if name in plain:
            return dict(state_dict)
        plain[name] = value
    return plain


def load_weights(model, state_dict, source):
    """Load a state dict into a network, all or nothing; names may carry the prefixes of wrappers, numbers any width.

    Raises: InputError that lists what is missing, unexpected or of another shape, or says which values are not finite;
        `source` names the file in it
    """
    state_dict, own = plain_names(state_dict), model.state_dict()
    problems = {
        "missing": [name for name in own if name not in state_dict and not name.endswith("num_batches_tracked")],
        "unexpected": [name for name in state_dict if name not in own],
        "of another shape": [
            f"{name} {tuple(value.shape)} instead of {tuple(own[name].shape)}"
            for name, value in state_dict.items()
            if name in own and value.shape != own[name].shape
        ],
        "of another kind": [
            f"{name} {_kind_of(value)} instead of {_kind_of(own[name])}"
            for name, value in state_dict.items()
            if name in own and not _convertible(value, own[name])
        ],
    }
    found = [f"{kind}: {_shorten(names)}" for kind, names in problems.items() if names]
    if found:
        found += _other_heads(model, state_dict)
        raise InputError(f"weights in {source} do not fit this network and these attributes: {'; '.join(found)}")
    check_finite_weights(state_dict, own, source)
    complete = OrderedDict(state_dict)
    complete._metadata = own._metadata  # the versions of the layers: without them some take the values for old ones
    model.load_state_dict(complete, strict=False)
    return model


def check_finite_weights(state_dict, own, source):
    """Refuse values that are no numbers in the precision of the network's `own` ones.

    Raises: InputError that names the first tensor; `source` names the file in it
    """
    for name, value in state_dict.items():
        if not value.is_floating_point() or value.is_meta:
            continue
        wrong = int((~torch.isfinite(value.to(own[name].dtype))).sum())
        if wrong:
            where = f"{wrong:,} of {value.numel():,} values of {name}"
            raise InputError(
                f"weights in {source} are not finite ({where}): the training diverged, use an earlier file"
            )


def _kind(value):
    """A tensor's numbers in words, with what else is unusual about it."""
    layout = str(value.layout).removeprefix("torch.") if value.layout != torch.strided else ""
    words = [str(value.dtype).removeprefix("torch."), layout, "without values" if value.is_meta else ""]
    return " ".join(filter(None, words))


def _convertible(value, own):
    """Whether a tensor can be copied into another one without a loss of meaning."""
    plain = value.layout == torch.strided and not value.is_quantized and (own.is_meta or not value.is_meta)
    if plain and value.is_floating_point() and own.numel() == 1 and not (own.is_floating_point() or value.is_meta):
        return float(value).is_integer()  # a counter of batches that went with the weights to another precision
    return plain and value.is_floating_point() == own.is_floating_point() and not value.is_complex()


def _kind_of(value):
    """The kind of a tensor in a word or two: float32, sparse_coo float32."""
    layout = "" if value.layout == torch.strided else f"{value.layout} "
    return f"{layout}{value.dtype}".replace("torch.", "")


def _other_heads(model, state_dict):
    """[a phrase] if the file has another number of heads than the network."""
    name, heads = find_heads(model)
    weight = state_dict.get(f"{name}.weight")
    if weight is None or weight.dim() != 2 or weight.shape[1] != heads.in_features or len(weight) == heads.out_features:
        return []
    asked = f"{heads.out_features} ({' '.join(heads.attributes)})"
    return [f"the file has {len(weight)} heads, asked for are {asked}: name the file's, in its order, by --task_labels"]


def _shorten(names, most=6):
    names = [printable(name, 120) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
