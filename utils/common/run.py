"""A run's frame: seed, device, header, stopwatch, tables, and the line it leaves in the results file."""

import json
import os
import platform
import random
import re
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import numpy
import torch

from utils.common import distributed, processes
from utils.common.errors import InputError, printable

fcntl = resource = None
with suppress(ImportError):  # not on Windows
    import fcntl
    import resource

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "pandas", "scikit-learn", "matplotlib")
ROOT = Path(__file__).resolve().parents[2]


def seed_everything(seed):
    """Seed Python, numpy and PyTorch (all devices), and let cuDNN choose repeatable algorithms only."""
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def start_run(seed, device="auto"):
    """Seed everything, pick the device and join the other processes, if there are any.

    Returns: torch.device of this process
    Raises: InputError if the device is not there, or as `utils.common.distributed.start`
    """
    seed_everything(seed)
    return distributed.start(pick_device(device))


def pick_device(name="auto"):
    """The torch.device of that name; "auto" is cuda where there is one. Raises: InputError if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}: use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= gpus:
            found = f"{gpus} found" if gpus else "none found"
            raise InputError(f"--device {name}: no such CUDA device, {found}; use --device cpu or auto")
    elif device.type != "cpu":
        raise InputError(f"unknown device {name!r}: use auto, cpu, cuda or cuda:N")
    return device


def environment():
    """{package: version} of what the numbers depend on; what is not installed is left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def hardware():
    """CPU and GPU, if there is one, in words: "AMD EPYC, 2 cores, NVIDIA H200"."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        cpu = named[0] if named else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    words = [cpu, f"{cores} cores"]
    if torch.cuda.is_available():
        words.append(torch.cuda.get_device_name())
    return ", ".join(words)


def commit():
    """Short hash of the code's commit, "+" behind it if tracked files differ; None outside of its repository."""

    def git(*words):
        asked = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
        return asked.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return None  # unpacked inside of someone else's repository
        short = git("rev-parse", "--short=12", "HEAD")
        return short + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def command_line():
    """The shell command that started this program, without the folders of interpreter and clone."""
    script, *words = sys.argv
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    start = ["-m", spec.name] if spec is not None and spec.name != "__main__" else [_short_name(script)]
    return shlex.join(["python", *start, *words])


def _short_name(script):
    """A script's path below the clone, tools/audit.py, or the name alone of one that lies elsewhere."""
    path = Path(os.path.realpath(script))
    return path.relative_to(ROOT).as_posix() if ROOT in path.parents else path.name


def header(title, lines):
    """Print a title, the given {what: value} aligned, and the command, versions and hardware of this run.

    What steers a terminal is escaped: a name in a file may come from anybody.
    """
    versions = " ".join(f"{package} {version}" for package, version in environment().items())
    lines = {**lines, "command": command_line(), "versions": versions, "hardware": hardware(), "commit": commit()}
    width = max(len(what) for what in lines)
    words = {what: "-" if value is None else printable(value) for what, value in lines.items()}
    print(f"{printable(title)}\n" + "\n".join(f"  {what:<{width}}  {value}" for what, value in words.items()))


class Stopwatch:
    """Wall clock of named phases: `with watch("score"): …` adds to `watch.seconds["score"]`."""

    def __init__(self, device="cpu"):
        """On a CUDA `device` a phase ends when the work that it queued is done."""
        self.seconds, self._device = {}, str(device)

    @contextmanager
    def __call__(self, phase):
        """Time the body; an exception in it leaves the time spent, too."""
        self._synchronise()
        start = time.perf_counter()
        try:
            yield self
        finally:
            self._synchronise()
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

    def _synchronise(self):
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)


def peak_rss_bytes():
    """Most memory that this process has held so far, in bytes; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held before it started this program
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def append_result(path, record):
    """Append `record` as one JSON line to the file `path`, keys sorted, with `command`, `versions`,
    `hardware`, `commit` and `date` added.

    Safe with several programs where the file system has locks; a line that a killed one left unfinished is closed
    first, and what a full disk lets through of a line is taken back. What UTF-8 lacks (a byte of a file's name) is
    escaped. Of the processes of one program the first writes.
    Raises: ValueError if a figure is NaN or infinite (None is how an undefined one is written); OSError with the path
    """
    if not processes.is_main():
        return
    frame = {"command": command_line(), "versions": environment(), "hardware": hardware(), "commit": commit()}
    frame["date"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = json.dumps({**frame, **record}, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    line = re.sub("[\ud800-\udfff]", lambda sign: rf"\\u{ord(sign[0]):x}", line)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+", buffering=0) as file:
            _lock(file)
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                line = line if file.read(1) == b"\n" else "\n" + line
            try:
                rest = line.encode()
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise


def _lock(file):
    """Hold the file alone until it is closed, where the system and the file system (Lustre, NFS) can."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def table(rows, columns):
    """Aligned text: a line of `columns`, then the rows; numbers to the right, floats with 4 digits, None as "-"."""
    words = [[_shown(cell) for cell in row] for row in rows]
    columns = [printable(column) for column in columns]
    widths = [max(map(len, column)) for column in zip(columns, *words, strict=True)]
    right = [any(isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))]

    def line(cells):
        placed = zip(cells, widths, right, strict=True)
        return " | ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in placed).rstrip()

    return "\n".join([line(columns), "-|-".join("-" * w for w in widths), *map(line, words)])


def _shown(cell):
    if isinstance(cell, float):
        return f"{cell:.4f}"
    return "-" if cell is None else printable(cell)
