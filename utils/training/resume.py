"""A training on disk: the last and the best network, and the state that `--resume` goes on from.

The state is a plain dictionary: "epoch" (whole epochs done), state dicts of "model", "optimizer" and "scheduler", the
"settings" that must not change on the way, and whatever the caller adds. No generator is in it: those of an epoch are
seeded by (seed, epoch).
"""

from dataclasses import dataclass
from pathlib import Path

from utils.common import paths
from utils.common.errors import InputError
from utils.network.checkpoint import read_tensors, save_checkpoint, write_tensors

KEYS = {"epoch", "model", "optimizer", "scheduler", "settings"}


@dataclass(frozen=True)
class TrainingFiles:
    """Where a training writes: its last and its best network, and the state to resume from."""

    last: Path
    best: Path
    state: Path


def training_files(save_path, run, left_out=()):
    """`TrainingFiles` of a run's original network, or of the oracle that never sees the columns left out."""
    kind = f"oracle_{paths.targets_name(left_out)}" if left_out else "original"
    best = paths.checkpoint_file(save_path, run, f"{kind}_best")
    return TrainingFiles(
        paths.checkpoint_file(save_path, run, kind), best, paths.training_state_file(save_path, run, kind)
    )


def keep_epoch(files, checkpoint, state, mean_auc, best_auc):
    """Write what an epoch gave: the last network, the best one if it is that, and the state.

    Args:
        files: `TrainingFiles`; checkpoint: `Checkpoint`; state: of `Progress`; mean_auc: of the heads, NaN if unknown
    Returns: the best mean AUC so far
    """
    save_checkpoint(files.last, checkpoint)
    if mean_auc > best_auc:
        best_auc = mean_auc
        save_checkpoint(files.best, checkpoint)
    save_training_state(files.state, {**state, "best_auc": best_auc})
    return best_auc


def resume_training(files):
    """(state to go on from, best mean AUC so far). Raises: InputError as `load_training_state`."""
    state = load_training_state(files.state)
    return state, state.pop("best_auc")


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
