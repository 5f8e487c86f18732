"""A network on disk: a plain dictionary of tensors and what made them, opened with weights_only=True.

The same content gives the same bytes: no path, device, time or file name goes in.
"""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral
from pathlib import Path

import torch

from models import build_for
from utils.common import distributed
from utils.common.arguments import check_names, recorded_flags
from utils.common.errors import InputError
from utils.common.normalisation import HALF, parse_normalisation
from utils.common.paths import SCRIPT
from utils.network import weight_files
from utils.network.records import check_record
from utils.network.tensor_files import read_tensors, write_tensors
from utils.network.weight_files import find_state_dict, is_state_dict

NORMALISATION = str(HALF)
FLAGS = {"attributes": "--task_labels", "model": "--model", "img_size": "--img_size", "seed": "--seed"}
OURS = {"state_dict", "attributes", "img_size", "normalisation"}  # fields that no other file has all of
SAVE = weight_files.SAVE
MOST_PIXELS, MOST_NAMES = 1 << 16, 10_000  # a file of a stranger asks for no more


@dataclass(frozen=True)
class Checkpoint:
    """A state dict and what made it.

    model: architecture; attributes: heads in order; img_size: pixels a side; normalisation: of the images, see
    `utils.common.normalisation`; seed, epoch: of the training (None: not known); arguments: of the command, without
    paths and devices; versions: {package: version}; parent_sha256: of the file it descends from; kind: "original",
    "pruned_<targets>", "erased_<targets>", "oracle_<targets>", …
    """

    state_dict: dict
    model: str
    attributes: tuple[str, ...]
    img_size: int
    normalisation: str = NORMALISATION
    seed: int | None = None
    epoch: int | None = None
    arguments: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    parent_sha256: str | None = None
    kind: str = "original"

    def __post_init__(self):
        object.__setattr__(self, "attributes", tuple(self.attributes))
        kinds = {"model": str, "img_size": int, "normalisation": str, "arguments": Mapping, "kind": str}
        kinds |= {"versions": Mapping, "parent_sha256": str | None, "seed": Integral | None, "epoch": Integral | None}
        wrong = [name for name, kind in kinds.items() if not isinstance(getattr(self, name), kind)]
        if wrong or not 0 < self.img_size <= MOST_PIXELS:
            raise ValueError(f"{' '.join(wrong) or 'img_size'} must be of another kind or size")
        names = [*self.attributes, self.model, self.kind]
        if len(names) > MOST_NAMES or not all(isinstance(name, str) for name in names):
            raise ValueError(f"attributes must be names, at most {MOST_NAMES:,}")
        if not (self.model + self.kind).isprintable():
            raise ValueError("model and kind must be printable")
        check_names(self.attributes)
        if not self.attributes or len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"attributes must be different names, at least one, got {self.attributes}")
        if not is_state_dict(self.state_dict):
            raise ValueError("state_dict must map names to tensors")
        parse_normalisation(self.normalisation)
        check_record(self.arguments)
        check_record(self.versions)


def save_checkpoint(path, checkpoint):
    """Write a checkpoint atomically; its tensors are copied to the CPU.

    Of several processes the first writes, the others return None.
    Returns: sha256 of the file
    """
    if not distributed.is_main():
        return None
    content = {part.name: getattr(checkpoint, part.name) for part in fields(checkpoint)}
    tensors = content.pop("state_dict")
    content["arguments"] = recorded_flags(content["arguments"])
    content = {
        "state_dict": {sys.intern(str(name)): _own_copy(value) for name, value in tensors.items()},
        **_plain(content),
    }
    return hashlib.sha256(write_tensors(path, content)).hexdigest()


def load_checkpoint(path):
    """Read a checkpoint, tensors on the CPU. Raises: InputError if it is absent, damaged or not one of ours."""
    if not Path(path).is_file():
        raise InputError(f"no checkpoint at {path}: {_cure(path)}")
    content = read_tensors(path, _cure(path))
    if not _is_ours(content):
        plain = "a plain state dict is passed with --weights, to steps 2 and 3"
        raise InputError(f"{path} is not a checkpoint of these scripts: {plain}")
    return _checkpoint(content, path)


def read_weights(path):
    """What a file of weights holds: a `Checkpoint` of ours, or a plain state dict as `read_state_dict` returns it.

    Raises: InputError if there is no such file or it holds something else
    """
    content = _read_any(path)
    return _checkpoint(content, path) if _is_ours(content) else _state_dict(content, path)


def _is_ours(content):
    return isinstance(content, Mapping) and set(content) >= OURS


def _checkpoint(content, path):
    """The `Checkpoint` that a dictionary with our fields makes. Raises: InputError if it is of another version."""
    names = {part.name for part in fields(Checkpoint)}
    surplus, lacking = sorted(map(str, set(content) - names)), sorted(names - set(content))
    if surplus or lacking:
        sides = [f"unknown here: {', '.join(surplus)}"] * bool(surplus) + [f"lacking: {', '.join(lacking)}"] * bool(
            lacking
        )
        cure = f"use that version, or {_cure(path)}"
        raise InputError(f"checkpoint {path} is of another version of these scripts ({'; '.join(sides)}): {cure}")
    try:
        return Checkpoint(**content)
    except (TypeError, ValueError) as error:
        raise InputError(f"checkpoint {path} is not valid: {error}; {_cure(path)}") from None


def check_matches(checkpoint, path, **asked):
    """Compare fields of a checkpoint with what is asked, e.g. attributes=…, model=…, img_size=….

    Raises: InputError naming both sides and the cure; KeyError if there is no such field
    """
    for name, expected in asked.items():
        if name not in {part.name for part in fields(Checkpoint)}:
            raise KeyError(f"a checkpoint has no {name!r}")
        found = getattr(checkpoint, name)
        expected = tuple(expected) if isinstance(expected, list) else expected
        if found != expected:
            what = name.replace("_", " ")
            cure = f"pass {FLAGS[name]} {_words(found)}" if name in FLAGS else "use the one that belongs here"
            if name == "normalisation":
                cure = f"pass {parse_normalisation(found).flags}"
            wanted = f"asked for is {_words(expected)}"
            raise InputError(f"checkpoint {path} has {what} {_words(found)}, {wanted}: {cure}, or {_cure(path)}")


def restore(checkpoint, device="cpu", source=None):
    """The checkpoint's network, in evaluation mode; `source` names its file for errors.

    Raises: InputError if its tensors do not fit the architecture, or are not finite
    """
    with torch.random.fork_rng(devices=[]):  # the first values are overwritten: drawing them must not shift a seed
        source = source or f"the {checkpoint.kind} checkpoint"
        model = build_for(checkpoint.model, checkpoint.attributes, checkpoint.state_dict, source)
    return model.to(device).eval()


def read_state_dict(path):
    """A plain state dict from a file that holds one, also under the usual keys, or a checkpoint, or safetensors.

    Raises: InputError if there is no such file or it holds something else, a whole pickled network, say
    """
    return _state_dict(_read_any(path), path)


def _read_any(path):
    """Content of a file of weights of any origin."""
    if (Path(path) / ".metadata").is_file():
        cure = f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {path} NEW"
        raise InputError(f"{path} is a checkpoint in many files: put it into one, {cure}")
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder: name the file of weights in it")
    if not Path(path).is_file():
        raise InputError(f"no weights at {path}: name a file that {SAVE} wrote")
    if weight_files.is_safetensors(path):
        return weight_files.read_safetensors(path)
    return read_tensors(path, f"save one with {SAVE}")


def _state_dict(content, path):
    found = find_state_dict(content)
    if found is None:
        inside = weight_files.keys_in_words(content)
        raise InputError(f"{path} holds no state dict: save one with {SAVE}{inside}")
    return found


def _cure(path):
    kind = Path(path).stem
    if kind.startswith(("pruned", "erased")):
        return f"run step 3 first (python {SCRIPT}_unlearning.py --task …)"
    if kind.startswith("oracle"):
        return f"train the oracle first (python {SCRIPT}_original.py --task … --leave_out …)"
    return f"run step 1 first (python {SCRIPT}_original.py --task …)"


def _words(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _own_copy(tensor):
    """A contiguous copy on the CPU: a view would take the storage behind it into the file."""
    return tensor.detach().to("cpu", copy=True).clone(memory_format=torch.contiguous_format)


def _plain(value):
    """Strings, numbers, lists and dictionaries only, one object per string, so equal content pickles to equal bytes."""
    if hasattr(value, "item"):  # a number of numpy or torch, which may pass for Python's own
        value = value.item()
    if isinstance(value, str):
        return sys.intern(str(value))
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {_plain(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(part) for part in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    return sys.intern(str(value))


def check_labels(content, attributes, weights, labels):
    """Refuse --weights_labels that name no file's rows, or another's, or lack a head that is asked for.

    Args: content: `Checkpoint` or plain state dict, read from `weights`; attributes: asked for; labels: the flag's
    Raises: InputError
    """
    if not labels:
        return
    words = f"--weights_labels {' '.join(labels)}"
    if not weights:
        raise InputError(f"{words} names the heads in the file of --weights: pass that, too")
    if isinstance(content, Checkpoint) and tuple(labels) != content.attributes:
        raise InputError(
            f"{words}: {weights} says itself that its heads are {' '.join(content.attributes)}; leave it out"
        )
    lacking = [attribute for attribute in attributes or () if attribute not in labels]
    if lacking:
        raise InputError(f"{words} lacks {lacking[0]}, a head that --task_labels asks for")
