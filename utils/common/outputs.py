"""Outputs looked at before any work, so that hours of it are not lost where they are written."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from utils.common.errors import InputError, explain

INPUTS = ("data_path", "weights", "pretrained", "graph", "unlearned", "original", "oracle", "checkpoint")
DATA_FILES = (".txt", ".csv", ".zip", ".jpg", ".jpeg", ".png")  # what a folder of images and its tables is made of
LONGEST = 255  # bytes of a name on common file systems


def check_outputs(flags, **outputs):
    """Refuse files that a script could not write, or that it reads; nothing is made, nothing stays behind.

    Args:
        flags: {flag: value} of the script: the INPUTS among them are never overwritten, --cache_path is looked at too
        outputs: {flag: path of a file that is written because of it, or a list of them; None: not asked for}
    Raises: InputError that names the flag and the cure
    """
    inputs = {name: flags[name] for name in INPUTS if flags.get(name)}
    if flags.get("cache_path"):
        outputs = {**outputs, "cache_path": Path(flags["cache_path"]) / "images"}
    seen = set()
    for flag, paths in outputs.items():
        for path in map(Path, paths if isinstance(paths, (list, tuple)) else [paths] if paths else []):
            for name, other in inputs.items():
                if is_same_file(path, other) or _is_data(path, other):
                    raise InputError(f"--{flag} would overwrite {path}, which is read (--{name}): name another file")
            if os.path.realpath(path) in seen:
                raise InputError(f"--{flag} {path} is written for another flag, too: name another file")
            seen.add(os.path.realpath(path))
            _check_file(f"--{flag}: can't write {path}", path)


def is_same_file(path, other):
    """Whether `path` and `other` lead to one file, also through links."""
    try:
        return os.path.samefile(path, other)
    except OSError:  # one is not there
        return os.path.realpath(path) == os.path.realpath(other)


def _is_data(path, folder):
    """Whether a path is a table or an image in a folder that is read."""
    inside = Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents
    return inside and path.is_file() and path.suffix.lower() in DATA_FILES


def _check_file(what, path):
    """Refuse a file that could not be written: what stands there, the nearest folder that exists, the names between."""
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path)  # too long as a whole, or a folder that may not be looked into
        if os.path.exists(path) and not os.path.isfile(path):
            raise InputError(f"{what}: a folder or a device stands there; name another file")
        if os.path.exists(path) and not os.access(path, os.W_OK):
            raise InputError(f"{what}: it is write-protected; name another file")
        missing, folder = [path.name], path.parent
        while not os.path.lexists(folder):
            missing.append(folder.name)
            folder = folder.parent
        if not os.path.isdir(folder):
            raise InputError(f"{what}: {folder} is a file where a folder must be; name another path, or move it")
        if max(len(os.fsencode(name)) for name in missing) > LONGEST:
            raise InputError(f"{what[:200]}…: a name has more than {LONGEST} bytes; name a shorter path")
        with tempfile.TemporaryFile(dir=folder):  # on Linux without a name: a killed probe leaves nothing, either
            pass
    except OSError as error:
        raise InputError(f"{what[:300]}: {explain(error)}") from None
