"""Weights as people have them: what kind of file it is, what it would take to open it, where the state dict lies in it.

Nothing here runs code of a file, and nothing takes more memory than the file has bytes.
"""

import json
import mmap
import re
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from importlib import import_module, util
from pathlib import Path

import torch

from utils.common.errors import InputError, no_memory

#: keys under which training scripts keep the state dict, in the order in which they are tried; averages come last
KEYS = (
    *("state_dict", "model_state_dict", "net_state_dict", "model", "net", "network", "module", "weights", "params"),
    *("backbone", "state", "ema", "ema_state_dict", "state_dict_ema", "model_ema", "params_ema"),
)
HARMLESS = [Namespace]  # the arguments of a command line, beside the weights in files of many training scripts
ALLOCATES = b"bytearray"  # the one harmless type that takes as much memory as a pickle tells it to
SAVE = "torch.save(model.state_dict(), FILE)"
CONVERT = "open it once where you trust it and save only its weights: "
JIT = f"a TorchScript archive: {CONVERT}torch.save(torch.jit.load(FILE).state_dict(), NEW)"
PROGRAM = f"an exported program: {CONVERT}torch.save(torch.export.load(FILE).state_dict, NEW)"
PICKLED = f"a whole pickled network perhaps: it may run code when it is opened; save only the weights with {SAVE}"
#: first bytes of files that hold no state dict of PyTorch's, and what they are
FOREIGN = {
    b"\x89HDF": "a Keras (HDF5) file: this project opens PyTorch's weights only",
    b"\x93NUMPY": f"a numpy array: make a state dict of tensors of it, and save it with {SAVE}",
    b"\xff\xd8\xff": "an image",
    b"\x89PNG": "an image",
    b"GIF8": "an image",
    b"RIFF": "an image",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a packed file: unpack it first",
    b"BZh": "a packed file: unpack it first",
    b"\xfd7zXZ": "a packed file: unpack it first",
    b"Rar!": "a packed file: unpack it first",
    b"7z\xbc\xaf": "a packed file: unpack it first",
    b"version https://git-lfs": "only a pointer of Git LFS: fetch the file itself with git lfs pull",
}
SUFFIXES = {
    ".onnx": "an ONNX file: this project opens PyTorch's weights only; export them from the network before it",
    ".pb": "a TensorFlow file: this project opens PyTorch's weights only",
    ".tflite": "a TensorFlow file: this project opens PyTorch's weights only",
}


def check_container(path, cure):
    """Refuse a file that torch.save did not write, that is cut off or altered, or that is larger inside than outside.

    Raises: InputError that says what the file is and what to do, or ends in `cure`
    """
    try:
        size = Path(path).stat().st_size
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    what = _foreign(Path(path), head)
    if what:
        raise InputError(f"{path} is {what}")
    if not size:
        raise InputError(f"{path} is damaged or no PyTorch file: it is empty; {cure}")
    if head.startswith(b"PK"):
        _check_archive(path, size, cure)
    # in all of the file: which of an archive's members PyTorch unpickles is PyTorch's to say
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        allocates = mapped.find(ALLOCATES) >= 0
    if allocates:
        raise InputError(f"{path} holds more than tensors, {PICKLED}")


def _foreign(path, head):
    """What a file is that holds no weights of PyTorch's, in words; None if it may hold some."""
    for start, what in FOREIGN.items():
        if head.startswith(start):
            return what
    if path.suffix.lower() in SUFFIXES:
        return SUFFIXES[path.suffix.lower()]
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"{", b"[") and text[1:2] != b"\x00":
        return "a JSON text, no weights: step 3 takes a graph by --graph"
    if text[:1] == b"<":
        return "a web page or XML text, no weights: the download went wrong perhaps"
    return None


def _check_archive(path, size, cure):
    damaged = InputError(f"{path} is damaged or no PyTorch file: {cure}")
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            names = {record.filename for record in records}
            what = _kind_of_archive(names)
            if what:
                raise InputError(f"{path} is {what}")
            declared = sum(record.file_size for record in records)
            if declared > size or any(record.compress_type != zipfile.ZIP_STORED for record in records):
                inside = f"{declared / 1e6:,.1f} MB in a file of {size / 1e6:,.1f} MB"
                raise InputError(f"{path} is packed, which PyTorch's files never are ({inside}): {cure}")
            if archive.testzip() is not None:  # reads all of it: the checksum of each record
                raise damaged
    except InputError:
        raise
    except Exception as error:  # bytes of unknown origin: zipfile fails in many ways on them
        if no_memory(error):
            raise
        raise damaged from None


def _kind_of_archive(names):
    """What an archive with files of these names is, if it is none that torch.save writes."""
    last = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last or any("/code/" in name for name in names):
        return JIT
    if any("model.json" in name or "exported_program" in name for name in names) or "archive_format" in last:
        return PROGRAM
    if "model.weights.h5" in last:
        return "a Keras file: this project opens PyTorch's weights only"
    if names and all(name.endswith(".npy") for name in names):
        return f"a numpy archive: make a state dict of tensors of it, and save it with {SAVE}"
    if "data.pkl" not in last:
        return "a zip archive, no PyTorch file: unpack it first"
    return None


def reason_blocked(path, error):
    """Line for a file that weights_only refuses, with the `error` it gave; None if the file is simply damaged."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if not found:
        return None
    pickle = _pickle_of(path)
    if not pickle:
        return f"{path} holds more than tensors, {found[1]} for one, {PICKLED}"
    kind = "is a Lightning checkpoint with" if b"pytorch-lightning_version" in pickle else "holds"
    new = json.dumps(str(Path(path).with_name(f"{Path(path).stem}_weights.pth")))
    line = f"import torch; torch.save({_weights_in(pickle, json.dumps(str(path)))}, {new})"
    return f"{path} {kind} more than tensors, {found[1]} for one, and may run code when it is opened: {CONVERT}{line}"


def _pickle_of(path):
    """The pickle in a file of PyTorch's newer format; empty where there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return next((archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")), b"")
    except (OSError, zipfile.BadZipFile):
        return b""


def _weights_in(pickle, file):
    """The Python expression that gives the state dict of a `file` that its owner trusts, as far as its pickle shows."""
    loaded = f"torch.load({file}, map_location='cpu', weights_only=False)"
    if pickle[2:3] != b"}":  # no dictionary: a network
        return f"{loaded}.state_dict()"
    for key in KEYS:
        mark = b"X" + len(key).to_bytes(4, "little") + key.encode()
        found = re.search(re.escape(mark) + rb"(?:q.|r....)?(?:c([\w.]+)\n(\w+)\n)?", pickle, re.DOTALL)
        if found:
            whole = found[1] not in (None, b"collections")  # an object there, no dictionary
            return f'{loaded}["{key}"]' + ".state_dict()" * whole
    return f"{{k: v for k, v in {loaded}.items() if torch.is_tensor(v)}}"


def is_safetensors(path):
    """Whether a file is one of the safetensors library: eight bytes of length, then JSON."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= Path(path).stat().st_size


def read_safetensors(path):
    """{name: tensor} of a safetensors file. Raises: InputError if the library is absent or the file damaged."""
    if util.find_spec("safetensors") is None:
        raise InputError(f"{path} is a safetensors file: pip install safetensors, or save one with {SAVE}")
    try:
        return import_module("safetensors.torch").load_file(path, device="cpu")
    except Exception as error:  # bytes of unknown origin
        if no_memory(error):
            raise
        raise InputError(f"{path} is a damaged safetensors file ({error}): copy it again") from None


def find_state_dict(content, levels=3):
    """The state dict in what a file holds: itself, or up to two levels down under the usual keys; None if none is.

    Numbers and texts among the tensors of a network (`epoch` beside `conv1.weight`) are left out.
    """
    if is_state_dict(content):
        return dict(content)
    if not isinstance(content, Mapping) or not levels:
        return None
    below = (find_state_dict(content.get(key), levels - 1) for key in KEYS)
    found = next((one for one in below if one), None)
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and torch.is_tensor(value)}
    return found or (tensors if any("." in key for key in tensors) else None)


def is_state_dict(value):
    """Whether a value maps names to tensors, at least one."""
    tensors = isinstance(value, Mapping) and len(value) > 0
    return tensors and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())


def keys_in_words(content):
    """The first keys of what a file holds, for an error line; an empty text if it has none."""
    keys = [str(key)[:30] for key in content][:6] if isinstance(content, Mapping) else []
    return f" (it holds {', '.join(json.dumps(key) for key in keys)})" if keys else ""
