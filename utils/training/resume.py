"""Where a training stands, on disk: what `--resume` needs beyond the network's checkpoint.

A plain dictionary: "epoch" (whole epochs done), the state dicts of "model", "optimizer" and "scheduler", the
"settings" that must not change on the way, and whatever the caller adds. No generator is in it: those of an epoch are
seeded by (seed, epoch).
"""

from pathlib import Path

from utils.common.errors import InputError
from utils.network.checkpoint import read_tensors, write_tensors

KEYS = {"epoch", "model", "optimizer", "scheduler", "settings"}


def save_training_state(path, state):
    """Write the state atomically (on the main process). Raises: ValueError if a part is missing."""
    if missing := KEYS - set(state):
        raise ValueError(f"a training state needs {', '.join(sorted(missing))}")
    write_tensors(path, dict(state))


def load_training_state(path):
    """Read the state, tensors on the CPU. Raises: InputError if it is absent, damaged or something else."""
    if not Path(path).is_file():
        raise InputError(f"no training to resume at {path}: leave out --resume to start one")
    state = read_tensors(path, "leave out --resume to start again")
    if not isinstance(state, dict) or not KEYS <= set(state):
        raise InputError(f"{path} is not the state of a training: leave out --resume to start again")
    return state


def check_settings(state, settings):
    """Compare the settings of a state with those asked for. Raises: InputError naming what differs, both sides."""
    before = state["settings"]
    for name in sorted(settings.keys() | before.keys()):
        if before.get(name) != settings.get(name):
            raise InputError(
                f"the training to resume had {name} {before.get(name)}, asked for is {settings.get(name)}: "
                "ask for the same, or leave out --resume to start again"
            )
