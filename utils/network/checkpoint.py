"""A network on disk: a plain dictionary of tensors and what made them, opened with weights_only=True.

The same content gives the same bytes: no path, device, time or file name goes in.
"""

import hashlib
import io
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch

from models import build_model, load_weights
from utils.common import distributed
from utils.common.arguments import recorded_flags
from utils.common.errors import InputError
from utils.common.paths import write_atomically

NORMALISATION = "(x / 255 - 0.5) / 0.5"
FLAGS = {"attributes": "--task_labels", "model": "--model", "img_size": "--img_size", "seed": "--seed"}
SCRIPT = "unlearning_multi_celeba_resnet18"


@dataclass(frozen=True)
class Checkpoint:
    """A state dict and what made it.

    model: architecture; attributes: heads in order; img_size: pixels a side; seed, epoch: of the training (None: not
    known); arguments: of the command, without paths and devices; versions: {package: version}; parent_sha256: of the
    file it descends from; kind: "original", "pruned_<targets>", "erased_<targets>", "oracle_<targets>", …
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
        if not self.attributes or len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"attributes must be different names, at least one, got {self.attributes}")
        if not _is_state_dict(self.state_dict):
            raise ValueError("state_dict must map names to tensors")
        if self.normalisation != NORMALISATION:
            raise ValueError(f"normalisation must be {NORMALISATION!r}, got {self.normalisation!r}")


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
    names = {part.name for part in fields(Checkpoint)}
    if not isinstance(content, dict) or set(content) != names:
        raise InputError(f"{path} is not a checkpoint of these scripts: a plain state dict is passed with --weights")
    try:
        return Checkpoint(**content)
    except (TypeError, ValueError) as error:
        raise InputError(f"checkpoint {path} is not valid: {error}; {_cure(path)}") from None


def checkpoint_in(path):
    """The checkpoint of this project that a file holds; None if it holds something else, or is not there."""
    try:
        return load_checkpoint(path)
    except InputError:
        return None


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
            what, flag = name.replace("_", " "), FLAGS.get(name, f"--{name}")
            cure = f"pass {flag} {_words(found)}" if name in FLAGS else "use the one that belongs here"
            wanted = f"asked for is {_words(expected)}"
            raise InputError(f"checkpoint {path} has {what} {_words(found)}, {wanted}: {cure}, or {_cure(path)}")


def restore(checkpoint, device="cpu"):
    """The checkpoint's network, in evaluation mode. Raises: InputError if its tensors do not fit the architecture."""
    with torch.random.fork_rng(devices=[]):  # the first values are overwritten: drawing them must not shift a seed
        model = build_model(checkpoint.model, checkpoint.attributes)
    return load_weights(model, checkpoint.state_dict, f"the {checkpoint.kind} checkpoint").to(device).eval()


def read_state_dict(path):
    """A plain state dict from a file that holds one, also under the key "state_dict" or "model", or a checkpoint.

    Raises: InputError if there is no such file or it holds something else, a whole pickled network, say
    """
    if not Path(path).is_file():
        raise InputError(f"no weights at {path}: name a file that torch.save(model.state_dict(), FILE) wrote")
    content = read_tensors(path, "save one with torch.save(model.state_dict(), FILE)")
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not _is_state_dict(content):
        raise InputError(f"{path} holds no state dict: save one with torch.save(model.state_dict(), FILE)")
    return dict(content)


def write_tensors(path, content):
    """Write a dictionary of tensors and plain values atomically, on the main process. Returns: the bytes."""
    if not distributed.is_main():  # all processes hold the same
        return b""  # nothing is serialised
    buffer = io.BytesIO()  # written to a file by name, the name would become part of the bytes
    torch.save(content, buffer)
    write_atomically(path, buffer.getbuffer())
    return buffer.getbuffer()


def read_tensors(path, cure):
    """What torch.save wrote, tensors on the CPU.

    Raises: InputError that ends in `cure` if the file can't be read so; one of its own for a whole pickled network
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # bytes of unknown origin: the unpickler fails in many ways on them
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            cure = "it may run code when it is opened; save only the weights with torch.save(model.state_dict(), FILE)"
            raise InputError(f"{path} holds more than tensors, a whole pickled network perhaps: {cure}") from None
        raise InputError(f"{path} is damaged or no PyTorch file: {cure}") from None


def sha256_of(path):
    """Hex digest of a file. Raises: InputError if it can't be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()


def _cure(path):
    kind = Path(path).stem
    if kind.startswith(("pruned", "erased")):
        return f"run step 3 first (python {SCRIPT}_unlearning.py --task …)"
    if kind.startswith("oracle"):
        return f"train the oracle first (python {SCRIPT}_original.py --task … --leave_out …)"
    return f"run step 1 first (python {SCRIPT}_original.py --task …)"


def _words(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is_state_dict(value):
    tensors = isinstance(value, Mapping) and len(value) > 0
    return tensors and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())


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
