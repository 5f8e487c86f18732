"""Every path that one step hands to another, a function each that can't lead out of its folder; writing files whole."""

import hashlib
import os
from pathlib import Path

from utils.common import processes
from utils.common.errors import InputError

GRAPHS, RELEASED_GRAPHS = "graphs", "important"  # folders of step 2, the second in the released text format
LONGEST = 120  # characters of a name made from attributes: file systems stop at 255 bytes, and suffixes follow


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
    names = [_checked(str(name), what) for name in names]
    joined = "_".join(names)
    if len(joined) > LONGEST:
        joined = f"{len(names)}_attributes_{hashlib.sha256(joined.encode()).hexdigest()[:8]}"
    return _checked(joined, what)


def _checked(name, what):
    """The name, if it is one path component that stays in its folder."""
    leaves = name in ("", ".") or ".." in name or any(sign in name for sign in "/\\\0")
    if leaves or len(name.encode("utf-8", "surrogatepass")) > 200:
        raise InputError(f"{what} {name[:60]!r} can't name a file: use a short name without '/', '\\' and '..'")
    return name


def write_atomically(path, content):
    """Write bytes or text: to a temporary name in the same folder, flushed to disk, then renamed.

    A process that is killed on the way leaves what stood under the final name. Missing folders are made. Of several
    processes, which all hold the same, the first writes.
    Returns: the path
    """
    path = Path(path)
    if not processes.is_main():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
