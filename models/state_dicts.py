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
        name = _without_inside(name)
        while prefix := next((prefix for prefix in WRAPPERS if name.startswith(prefix)), None):
            name = name.removeprefix(prefix)
        if name in plain:
            return dict(state_dict)
        plain[name] = value
    return plain


def match_names(state_dict, model, source):
    """A state dict, {name: tensor}, with a network's own names where its trunk is found whole behind some prefix.

    A Lightning module calls its network as it likes (`resnet.conv1.weight`) and keeps tensors of a loss beside it: what
    lies outside of the prefix is left out. A head that lies elsewhere (`fc.1`, behind a dropout; `head.fc`) takes its
    name if it is the only linear layer that is left over.
    Returns: the same values; as `plain_names` if the trunk is not found
    Raises: InputError if several networks lie in it; `source` names the file in it
    """
    state_dict = _apply_masks(state_dict)
    names = {name: _without_inside(name) for name in state_dict if name not in COUNTERS}
    own, (head, module) = model.state_dict(), find_heads(model)
    trunk = [name for name in own if not name.startswith(f"{head}.") and not name.endswith("num_batches_tracked")]
    prefixes = _prefixes(set(names.values()), trunk)
    if not prefixes:
        return plain_names(state_dict)
    if len(prefixes) > 1:
        several = ", ".join(printable(prefix.rstrip(".") or "no name", 60) for prefix in prefixes)
        raise InputError(
            f"{source} holds {len(prefixes)} such networks ({several}): save the weights of the one you mean"
        )
    inside = {
        new.removeprefix(prefixes[0]): state_dict[old] for old, new in names.items() if new.startswith(prefixes[0])
    }
    outside = {new: state_dict[old] for old, new in names.items() if not new.startswith(prefixes[0])}
    if f"{head}.weight" not in inside:
        left = {name: value for name, value in (inside | outside).items() if name not in own}
        matrices = [name for name, value in left.items() if value.dim() == 2]
        found = matrices[0].removesuffix(".weight") if len(matrices) == 1 else ""
        if found and left[matrices[0]].shape[1] == module.in_features and f"{found}.bias" in left:
            for part in ("weight", "bias"):
                inside.pop(f"{found}.{part}", None)
                inside[f"{head}.{part}"] = left[f"{found}.{part}"]
    return inside


def _apply_masks(state_dict):
    """A state dict with the products where `torch.nn.utils.prune` keeps weights and masks apart."""
    masks = {name: f"{name.removesuffix('_orig')}_mask" for name in state_dict if name.endswith("_orig")}
    plain = {name: value.shape for name, value in state_dict.items() if _kind(value) == "float32"}
    pairs = {name: mask for name, mask in masks.items() if name in plain and plain[name] == plain.get(mask)}
    kept = {name: value for name, value in state_dict.items() if name not in pairs and name not in pairs.values()}
    whole = {name.removesuffix("_orig"): state_dict[name] * state_dict[mask] for name, mask in pairs.items()}
    return {**kept, **whole}


def _prefixes(names, trunk):
    """What stands before all names of a trunk in a set of names, "" for nothing: a sorted list."""
    ends = [name.removesuffix(trunk[0]) for name in names if name.endswith(trunk[0])] if trunk else []
    ends = [end for end in ends if not end or end.endswith(".")]
    return sorted(end for end in ends if all(end + name in names for name in trunk))


def _without_inside(name):
    for part in INSIDE:
        name = name.replace(part, "")
    return name


def load_weights(model, state_dict, source):
    """Load a state dict into a network, all or nothing; names may carry the prefixes of wrappers, numbers any width.

    Raises: InputError that lists what is missing, unexpected or of another shape, or says which values are not finite;
        `source` names the file in it
    """
    state_dict, own = match_names(state_dict, model, source), model.state_dict()
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
    cure = "name the file's, in its order, by --task_labels, or by --weights_labels for --task_labels to pick some"
    return [f"the file has {len(weight)} heads, asked for are {asked}: {cure}"]


def _shorten(names, most=6):
    names = [printable(name, 120) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
