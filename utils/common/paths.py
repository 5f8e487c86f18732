"""Every path that one step hands to another, a function each that can't lead out of its folder; writing files whole.

Outputs are looked at before any work, so that hours of it are not lost where they are written.
"""

import hashlib
import os
import platform
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from utils.common import processes
from utils.common.errors import InputError, explain

SCRIPT = "unlearning_multi_celeba_resnet18"  # how the names of the three scripts begin
PAGE = "report.html"  # in a results/<run>/<targets> folder
GRAPHS, RELEASED_GRAPHS = "graphs", "important"  # folders of step 2, the second in the released text format
LONGEST_NAME = 255  # bytes, on common file systems
INPUTS = ("data_path", "weights", "pretrained", "graph", "unlearned", "original", "oracle", "checkpoint")
DATA_FILES = (".txt", ".csv", ".zip", ".jpg", ".jpeg", ".png")  # what a folder of images and its tables is made of
UNFIT = '/\\:*?"<>|'  # signs that Windows or a shared disk refuses in a name, beside those that are not printable
LONGEST = 120  # bytes of a name made from attributes: file systems stop at 255, and suffixes follow


def run_name(attributes, run_name=None):
    """Name of a run: its attributes joined by `_` (a count and a digest if that is long), or the user's own name.

    Raises: InputError if the name could not be that of a folder
    """
    return _checked(run_name, "--run_name") if run_name is not None else _joined(attributes, "attributes")


def targets_name(forgotten):
    """Name of what is forgotten: the attributes joined by `_`, shortened like a run's."""
    return _joined(forgotten, "targets")


def checkpoint_file(root, run, kind):
    """A network: root/<run>/<kind>.pth, kind such as "original", "pruned_Bald", "erased_Bald" or "oracle_Bald"."""
    return _folder(root, run) / f"{_checked(kind, 'kind')}.pth"


def training_state_file(root, run, kind="original"):
    """What a stopped training of that kind goes on from."""
    return _folder(root, run) / f"{_checked(kind, 'kind')}_training_state.pth"


def graph_file(root, run, targets, suffix=".json"):
    """The essential graph: root/<run>/<targets>.json, or one of its other forms by `suffix`."""
    return _folder(root, run) / _checked(f"{_checked(targets, 'targets')}{suffix}", "targets")


def released_graph_file(root, run, target_indices):
    """The votes as the released code names them: root/<run>_celeba_<t>_target_important_dict.txt, t joined by `_`."""
    indices = "_".join(str(int(index)) for index in target_indices)
    return Path(root) / f"{_checked(run, 'run name')}_celeba_{indices}_target_important_dict.txt"


def results_folder(results, run, targets):
    """Pictures and reports of a run, beside the results file: <folder of `results`>/<run>/<targets>."""
    return _folder(Path(results).parent, run) / _checked(targets, "targets")


def _folder(root, run):
    return Path(root) / _checked(run, "run name")


def _joined(names, what):
    joined = "_".join(_escaped(str(name) or _checked("", what)) for name in names)
    if len(joined.encode()) > LONGEST:
        joined = f"{len(names)}_attributes_{hashlib.sha256(joined.encode()).hexdigest()[:8]}"
    return _checked(joined, what)


def _escaped(name):
    """An attribute's name as a part of a file's: what some file system lacks, or leads out of a folder, as %XX.

    A `%` too where it would read as such a code: no two names become one.
    """
    name = re.sub("%(?=[0-9A-F]{2})", "%25", name)
    name = "".join(sign if sign.isprintable() and sign not in UNFIT else _hexadecimal(sign) for sign in name)
    name = name.replace("..", "%2E%2E")
    start, end = (_hexadecimal(sign) if sign in " ." else sign for sign in (name[0], name[-1]))
    return start + name[1:-1] + end if len(name) > 1 else start


def _hexadecimal(sign):
    return "".join(f"%{byte:02X}" for byte in sign.encode("utf-8", "surrogatepass"))


def _checked(name, what):
    """The name, if it is one path component that stays in its folder."""
    leaves = not name.strip() or name == "." or ".." in name or any(sign in name for sign in "/\\\0")
    if leaves or len(name.encode("utf-8", "surrogatepass")) > 200:
        raise InputError(f"{what} {name[:60]!r} can't name a file: use a short name without '/', '\\' and '..'")
    return name


def write_atomically(path, content):
    """Write bytes or text: to a temporary name in the same folder, flushed to disk, then renamed.

    A process that is killed on the way leaves what stood under the final name; what such a one left beside it is
    removed by the next to write that file. Missing folders are made. Of several processes, which all hold the same, the
    first writes.
    Returns: the path
    Raises: OSError with the path in it, also for a full disk
    """
    path = Path(path)
    if not processes.is_main():
        return path
    content = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    short = path.name if len(os.fsencode(path.name)) <= 150 else hashlib.sha256(os.fsencode(path.name)).hexdigest()
    temporary = path.with_name(f".{short}.{platform.node()[:40]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path.parent, f".{short}.")
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):  # the name that the user knows
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return path


def sync_folder(folder):
    """Flush the names in a folder to disk, where the system can: a new file also survives a loss of power."""
    with suppress(OSError):  # Windows opens no folder, some file systems sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_left_over(folder, start):
    """Remove temporary files of one final name whose process on this machine is gone, or that are a day old."""
    for name in os.listdir(folder):
        node, _, process = name.removeprefix(start).removesuffix(".tmp").rpartition(".")
        if name.startswith(start) and name.endswith(".tmp") and process.isdecimal():
            here = node == platform.node()[:40] and int(process) != os.getpid()
            with suppress(OSError):  # another one removed it first
                if here and not _is_alive(int(process)) or time.time() - os.stat(folder / name).st_mtime > 86400:
                    os.unlink(folder / name)


def _is_alive(process):
    """Whether a process of this number runs; yes where that can't be asked harmlessly (Windows)."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True


def check_outputs(flags, shown=(), **outputs):
    """Refuse files that a script could not write, or that it reads; nothing is made, nothing stays behind.

    Args:
        flags: {flag: value} of the script: the INPUTS among them are never overwritten; a --cache_path that is in use
            may be read-only, but no file
        shown: {flag: how the user knows it}, for outputs that go by no flag
        outputs: {flag: path of a file that is written because of it, or a list of them; None: not asked for}
    Raises: InputError that names the flag and the cure
    """
    if not processes.is_main():  # the first writes, and tries it for all
        return
    inputs = {name: flags[name] for name in INPUTS if flags.get(name)}
    if flags.get("cache_path") and not flags.get("as_released"):  # which keeps no cache
        with suppress(OSError):  # images are decoded each time then, with a note
            _nearest_folder(f"--cache_path {flags['cache_path']}", Path(flags["cache_path"]) / "images")
    seen = set()
    for flag, paths in outputs.items():
        what = dict(shown).get(flag, f"--{flag}")
        for path in map(Path, paths if isinstance(paths, (list, tuple)) else [paths] if paths else []):
            for name, other in inputs.items():
                if is_same_file(path, other) or _is_data(path, other):
                    raise InputError(f"{what} would overwrite {path}, which is read (--{name}): name another file")
            if os.path.realpath(path) in seen:
                raise InputError(f"{what} {path} is written for another flag, too: name another file")
            seen.add(os.path.realpath(path))
            _check_file(f"{what}: can't write {path}", path)
            if path.suffix == ".jsonl" or flag == "results" and path == Path(flags.get("results") or ""):
                _check_lines(what, path)


def _check_lines(what, path):
    """Refuse to append a line of results to a file that holds something else."""
    with suppress(OSError), open(path, "rb") as file:  # none is there
        line = file.readline(1 << 20).removeprefix(b"\xef\xbb\xbf").strip()
        if line and not line.startswith(b'{"'):
            raise InputError(f"{what} {path} is no file of results, a line would spoil it: name another file")


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
        missing, folder = _nearest_folder(what, path)
        if max(len(os.fsencode(name)) for name in missing) > LONGEST_NAME:
            raise InputError(f"{what[:200]}…: a name has more than {LONGEST_NAME} bytes; name a shorter path")
        with tempfile.TemporaryFile(dir=folder):  # on Linux without a name: a killed probe leaves nothing, either
            pass
    except OSError as error:
        raise InputError(f"{what[:300]}: {explain(error)}") from None


def _nearest_folder(what, path):
    """(names of a path that are not there yet, the folder above them that is). Raises: InputError if that is none"""
    missing, folder = [path.name], path.parent
    while not os.path.lexists(folder):
        missing.append(folder.name)
        folder = folder.parent
    if not os.path.isdir(folder):
        raise InputError(f"{what}: {folder} is a file where a folder must be; name another path, or move it")
    return missing, folder
