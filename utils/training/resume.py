"""A training on disk: the last and the best network, and the state that `--resume` goes on from.

The state is a plain dictionary: "epoch" (whole epochs done), "step" (batches of the next one done, with the "sums" and
"generators" at that point), state dicts of "model", "optimizer" and "scheduler", the "settings" that must not change on
the way, and whatever the caller adds. At the end of an epoch no generator is in it: each epoch seeds its own.
"""

import hashlib
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from utils.common import distributed, paths, processes
from utils.common.arguments import READING, recorded_flags
from utils.common.errors import InputError
from utils.common.interrupts import Stopped, command_again, undisturbed
from utils.evaluation.metrics import mean_auc
from utils.network.checkpoint import load_checkpoint, save_checkpoint
from utils.network.tensor_files import read_tensors, sha256_of, write_tensors
from utils.training.events import TrainingLog

KEYS = {"epoch", "model", "optimizer", "scheduler", "settings"}
IN_SETTINGS = "epoch batch_size optimizer lr weight_decay scheduler amp compile seed".split()  # `TrainingSettings` has
ELSEWHERE = ["setting", "task_labels", "leave_out", "force", "mean", "std", *READING]  # heads or images show them
OPTIONAL = {"normalisation"}  # a state says it only where it is not the usual one


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


def what_decides(flags, left_out, data):
    """What a resumed training must share with the stopped one beside `TrainingSettings`: {what: plain value}.

    Args: flags: {flag: value} of step 1; left_out: names of an oracle's left-out columns; data: `ImageDataset`
    """
    digest = hashlib.sha256()
    for rows in data.splits.values():
        digest.update("\n".join(data.image_ids[rows].tolist()).encode("utf-8", "surrogateescape"))
        digest.update(data.labels[rows].tobytes())
    kept = {name: value for name, value in recorded_flags(flags).items() if name not in {*IN_SETTINGS, *ELSEWHERE}}
    kept = {"attributes": list(data.attributes)} | kept
    kept |= {"split": data.split, "left out": list(left_out)}
    pretrained = sha256_of(flags["pretrained"])[:12] if flags["pretrained"] else None
    return kept | {"images and labels": digest.hexdigest()[:12], "pretrained": pretrained}


class KeptTraining:
    """A training as it is kept on disk: after each epoch, and within one when it is stopped.

    state: to go on from, None: it starts anew; finished: no epoch is left; best: largest mean AUC so far
    """

    def __init__(self, files, fixed, epochs, *, resume=False, force=False, log=None, note=print):
        """Open what is there; nothing is written yet.

        Args:
            files: `TrainingFiles`; fixed: of `what_decides`; epochs: that are asked for
            resume: go on with the training that is there; force: replace it
            log: "tensorboard" or None, see `utils.training.events`; note: called with a line on where it goes on
        Raises: InputError if a training is there and neither is asked for, or it is not the one that is asked for
        """
        self.files, self.state, self.best, self._note = files, None, float("-inf"), note
        self.finished, self._force = False, force
        self._waiting = None  # a state whose epoch is not evaluated yet
        self._anew = True  # nothing of this training is kept yet
        there = [path for path in (files.last, files.state, files.best) if path.exists()]
        if there and not (resume or force):
            cure = "go on with it by --resume, replace it by --force, or name another run by --run_name"
            raise InputError(f"{there[0]} holds a training already: {cure}")
        if resume and files.state.exists():
            self.state = load_training_state(files.state)
            check_settings(self.state, fixed, only=fixed)
            self.best, self._anew = self.state.pop("best_auc", self.best), False
            self._say_where(epochs)
        elif resume:
            if files.last.exists():
                _check_first_epoch(files, fixed)
            note(f"no training to resume at {files.state}: starting anew")
        self._log = TrainingLog(log, files.last, self.state["epoch"] if self.state else 0, fixed, epochs)

    def _say_where(self, epochs):
        done, step = self.state["epoch"], self.state.get("step", 0)
        self.finished = done >= epochs
        if self.finished and not self.files.last.exists():
            raise InputError(
                f"{self.files.state} is of a finished training, but {self.files.last} is gone: use --force"
            )
        if step and distributed.active():
            raise InputError(f"{self.files.state} is within an epoch of one process: go on without torchrun")
        where = f"epoch {done + 1} of {epochs}" + (f", after {step} of its batches" if step else "")
        end = f"the training is finished ({done} of {epochs} epochs): nothing is left to train, nothing is written"
        self._note(end if self.finished else f"going on with {where}")

    def prepare(self, data, augment=None):
        """Decode what a training needs of `data`, an `ImageDataset`; nothing for a finished one.

        Args: augment: as of `train_epochs`, for the pictures of a log
        """
        for split in () if self.finished else data.splits:
            data.prepare(data.rows(split))
        self._log.show(data, augment)

    def watch(self, epochs):
        """The `Progress`es of `train_epochs`; from each on a stop does not lose it while it is not evaluated yet."""
        for progress in epochs:
            self._waiting = progress.last_step
            yield progress
        if not self.finished:
            self._note(f"wrote {self.files.last}")

    def keep(self, progress, checkpoint, figures):
        """Write what an epoch gave: the last network, the best one if it is that, the state, and the log's curves.

        Args: progress: `Progress`; checkpoint: `Checkpoint`; figures: {attribute: figures} on the images held out
        """
        self._begin()
        save_checkpoint(self.files.last, checkpoint)
        if (reached := mean_auc(figures)) > self.best:
            save_checkpoint(self.files.best, checkpoint)
            self.best = reached  # not before: a stop in between evaluates the epoch again
        save_training_state(self.files.state, {**progress.state, "best_auc": self.best})
        self._waiting = None
        self._log.epoch(progress, figures)

    @contextmanager
    def saved_when_stopped(self):
        """Inside, `Stopped` saves the state where there is one and prints the command to go on. Raises: SystemExit"""
        try:
            yield
        except Stopped as stop:
            state = getattr(stop, "state", self._waiting)
            if state is not None and not distributed.active():  # the others are elsewhere in the epoch
                with undisturbed():
                    self._begin()
                    save_training_state(self.files.state, {**state, "best_auc": self.best})
            same = self._anew and self._force  # what it was to replace is there still
            again = command_again([]) if same else command_again(["--resume"], drop=["--force"])
            line = f"stopped; go on with: {again}\n"
            print(processes.last_words(line, stop.code), end="", file=sys.stderr, flush=True)
            raise SystemExit(stop.code) from None

    def _begin(self):
        """Before the first file of a training that starts anew: a state of another one must not outlive its network."""
        if self._anew and distributed.is_main():
            for path in (self.files.state, self.files.best):
                with suppress(FileNotFoundError):
                    path.unlink()
        self._anew = False


def _check_first_epoch(files, fixed):
    """A network without a state is left by a kill between the two of the first epoch: only then it may be replaced."""
    network = load_checkpoint(files.last)
    same = all(fixed[name] == value for name, value in network.arguments.items() if name in fixed and name != "amp")
    if network.epoch != 1 or not same:
        raise InputError(f"{files.last} is there, but no training state {files.state}: train anew with --force")


def save_training_state(path, state):
    """Write the state atomically (on the main process). Raises: ValueError if a part is missing."""
    if missing := KEYS - set(state):
        raise ValueError(f"a training state needs {', '.join(sorted(missing))}")
    write_tensors(path, dict(state))


def load_training_state(path):
    """Read the state, tensors on the CPU. Raises: InputError if it is absent, damaged or something else."""
    if not Path(path).is_file():
        raise InputError(f"no training to resume at {path}: leave out --resume to start one")
    state = read_tensors(path, "train anew with --force")
    if not isinstance(state, dict) or not KEYS <= set(state):
        raise InputError(f"{path} is not the state of a training: train anew with --force")
    return state


def check_settings(state, settings, only=None):
    """Compare the settings of a state with those asked for, all of them or those that `only` names.

    Raises: InputError naming what differs, both sides
    """
    before = state["settings"]
    names = dict.fromkeys([*settings, *before] if only is None else only)
    if any((name not in before or name not in settings) and name not in OPTIONAL for name in names):
        raise InputError("the training to resume is of an earlier version of these scripts: train anew with --force")
    for name in names:
        if before.get(name) != settings.get(name):
            raise InputError(
                f"the training to resume had {name} {before.get(name)}, asked for is {settings.get(name)}: "
                "ask for the same, or replace it by --force"
            )


def load_parts(state, parts):
    """Give each of some `parts`, {name: what has load_state_dict}, its state. Raises: InputError if one doesn't fit."""
    for name, part in parts.items():
        try:
            part.load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"the {name} of the training state does not fit ({reason}): replace it by --force"
            ) from None
