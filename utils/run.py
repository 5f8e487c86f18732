"""What every script does around its work: seed, device, header, stopwatch, environment record, results line."""

import fcntl
import json
import os
import platform
import random
import resource
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision

from utils.errors import InputError
from utils.files import write_atomically

__all__ = [
    "Stopwatch",
    "append_result",
    "command_line",
    "commit",
    "environment",
    "hardware",
    "header",
    "peak_rss_bytes",
]
__all__ += ["pick_device", "seed_everything", "table", "write_atomically"]


def seed_everything(seed):
    """Seed Python, NumPy and torch, and ask torch for the same result each time."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def pick_device(name):
    """torch.device of "auto" (CUDA if there is one), "cpu", "cuda" or "cuda:N". Raises InputError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"--device {name}: expected auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu"
        )
    return device


def environment():
    """{package: version} of what decides the numbers."""
    packages = {"torch": torch, "torchvision": torchvision, "numpy": np, "pillow": PIL}
    return {"python": platform.python_version()} | {
        name: str(package.__version__) for name, package in packages.items()
    }


def hardware():
    """The processor or card in words, without the machine's name."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    name = model[0].split(":", 1)[1].strip() if model else platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _lines(path):
    return Path(path).read_text().splitlines() if Path(path).is_file() else []


def commit():
    """Short commit of this checkout, with `+` if tracked files were changed; None outside a checkout."""
    folder = Path(__file__).resolve().parent

    def git(*words):
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)

    try:
        head = git("rev-parse", "--short", "HEAD")
    except FileNotFoundError:  # no git on this machine
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+" if git("status", "--porcelain", "--untracked-files=no").stdout else "")


def command_line():
    """The command as a person would type it in the project's folder."""
    return shlex.join(["python", os.path.basename(sys.argv[0]), *sys.argv[1:]])


def header(title, lines):
    """Print one aligned header: {what: value}, after versions and commit."""
    versions = environment()
    shown = {
        "versions": f"torch {versions['torch']}, Python {versions['python']}, commit {commit() or 'unknown'}",
        **lines,
    }
    width = max(len(what) for what in shown)
    print(title)
    for what, value in shown.items():
        print(f"  {what:<{width}}  {value}")


class Stopwatch:
    """Seconds of wall clock per phase; work queued on a CUDA device is waited for at the end of a phase."""

    def __init__(self, device="cpu"):
        """`device`: where the phases compute."""
        self.device, self.seconds = torch.device(device), {}

    @contextmanager
    def __call__(self, phase):
        """Time the block and add it to `seconds[phase]`."""
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[phase] = round(self.seconds.get(phase, 0.0) + time.perf_counter() - start, 3)


def peak_rss_bytes():
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def append_result(path, record):
    """Add one JSON line to a results file, with date, commit, versions, hardware and command.

    Raises: ValueError if a number is not finite
    """
    facts = {"date": datetime.now(timezone.utc).strftime("%Y-%m-%d"), "commit": commit(), "versions": environment()}
    facts |= {"hardware": hardware(), "command": command_line()}
    line = json.dumps({**record, **facts}, sort_keys=True, allow_nan=False, default=str) + "\n"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two runs may end at once
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def table(rows, columns):
    """Rows of values as aligned text: the first column to the left, the others to the right."""
    cells = [[str(value) for value in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = []
    for row in cells:
        shown = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(" | ".join(shown))
    lines.insert(1, "-|-".join("-" * width for width in widths))
    return "\n".join(lines)
