"""Networks on disk: a plain dictionary that `torch.load(..., weights_only=True)` opens anywhere."""

import hashlib
import io
import pickle
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch

from models import build_model, load_weights
from utils.errors import InputError
from utils.files import write_atomically

NORMALISATION = "(x / 255 - 0.5) / 0.5"


@dataclass(frozen=True)
class Checkpoint:
    """A network's values and what made them.

    state_dict: tensors by name; model: name for `build_model`; attributes: heads in order; img_size: pixels a side
    seed, epoch: of the training, None if unknown; arguments: of the script, without paths; versions: of packages
    parent_sha256: of the file it was made from, None if it was trained from scratch; kind: "original", "unlearned_Bald" …
    """

    state_dict: dict
    model: str
    attributes: tuple[str, ...]
    img_size: int
    seed: int | None
    epoch: int | None
    arguments: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    parent_sha256: str | None = None
    kind: str = "original"
    normalisation: str = NORMALISATION


def save_checkpoint(path, checkpoint):
    """Write a checkpoint, whole or not at all; the same content gives the same bytes. Returns the file's sha256."""
    content = {item.name: getattr(checkpoint, item.name) for item in fields(checkpoint)}
    content["attributes"] = list(checkpoint.attributes)
    content["state_dict"] = {
        name: value.detach().cpu().contiguous().clone() for name, value in checkpoint.state_dict.items()
    }
    return _save(path, content)


def _save(path, content):
    buffer = io.BytesIO()  # into memory first: a file's own name would become part of the bytes
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def save_training_state(path, state):
    """Write what resuming needs (optimizer, schedule, epoch), whole or not at all."""
    _save(path, state)


def _load(path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        cure = "save a state dict instead: torch.save(model.state_dict(), FILE)"
        raise InputError(
            f"{path} holds more than tensors (a whole pickled module?), which is not opened: {cure}"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{path} is damaged or no torch file: {str(error).splitlines()[0]}") from error


def load_checkpoint(path):
    """Read a checkpoint of this project.

    Raises: InputError if it is absent, damaged or something else
    """
    path = Path(path)
    if not path.is_file():
        script = "unlearning_multi_celeba_resnet18_original.py"
        raise InputError(f"no checkpoint at {path}: run step 1 first (python {script} --task …)")
    content = _load(path)
    names = {item.name for item in fields(Checkpoint)}
    if not isinstance(content, dict) or set(content) != names:
        raise InputError(f"{path} is no checkpoint of this project: pass a plain state dict by --weights")
    return Checkpoint(**{**content, "attributes": tuple(content["attributes"])})


def load_training_state(path):
    """Read what `save_training_state` wrote. Raises InputError if it is absent or damaged."""
    if not Path(path).is_file():
        raise InputError(f"no training state at {path}: nothing to resume, run without --resume")
    return _load(path)


def check_matches(checkpoint, path, **asked):
    """Compare a checkpoint with what is asked: attributes, model, img_size.

    Raises: InputError that names both sides and the cure
    """
    flags = {"attributes": "--task_labels", "model": "--model", "img_size": "--img_size"}
    for name, wanted in asked.items():
        found = getattr(checkpoint, name)
        if found != wanted:
            sides = [" ".join(side) if name == "attributes" else str(side) for side in (found, wanted)]
            raise InputError(
                f"{path} has {name} {sides[0]}, asked for {sides[1]}: "
                f"pass {flags[name]} {sides[0]} or run step 1 with --run_name of its own"
            )


def read_state_dict(path):
    """Tensors by name from a file: a plain state dict, or one under "state_dict", "model" or "model_state_dict".

    Raises: InputError if it is absent, damaged or holds no state dict
    """
    if not Path(path).is_file():
        raise InputError(f"no weights at {path}")
    content = _load(path)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content or not all(torch.is_tensor(value) for value in content.values()):
        raise InputError(
            f"{path} holds no state dict (tensors by name): torch.save(model.state_dict(), FILE) makes one"
        )
    return content


def restore(checkpoint, device="cpu"):
    """The checkpoint's network, on the device, in train mode as torch builds it."""
    model = build_model(checkpoint.model, checkpoint.attributes)
    return load_weights(model, checkpoint.state_dict, f"the checkpoint of {checkpoint.kind}").to(device)


def sha256_of(path):
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(file)


def _sha256(file):
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()
