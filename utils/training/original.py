"""Step 1's working parts: what is trained, on what, where it goes, and what is said on the way."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from utils.common import run
from utils.common.errors import InputError, did_you_mean
from utils.common.paths import targets_name
from utils.evaluation.predict import evaluate
from utils.network.checkpoint import Checkpoint, check_matches, load_checkpoint, restore, save_checkpoint
from utils.training.loop import fit
from utils.training.recipe import TrainingSettings, resolve_amp
from utils.training.resume import load_training_state, save_training_state


@dataclass(frozen=True)
class Job:
    """A training: what, how, and where it goes.

    architecture: name for `build_model`; attributes: heads to train; left_out: columns an oracle never sees
    recipe: `training.Recipe`; augment: function of (images, generator); arguments: what the checkpoint records
    last, best, state: files of the last and the best network, and of what resuming needs
    """

    architecture: str
    attributes: tuple[str, ...]
    left_out: tuple[str, ...]
    img_size: int
    recipe: TrainingSettings
    augment: Callable
    last: Path
    best: Path
    state: Path
    arguments: dict = field(default_factory=dict)


def kept_attributes(attributes, left_out):
    """The heads to train: all attributes but those left out.

    Raises: InputError if a left-out name is not among them or none is kept
    """
    for name in left_out:
        if name not in attributes:
            raise InputError(f"--leave_out {name}: not among {' '.join(attributes)}{did_you_mean(name, attributes)}")
    kept = [name for name in attributes if name not in left_out]
    if not kept:
        raise InputError("--leave_out names every attribute: nothing is left to train")
    return kept


def kind_of(left_out):
    """Name of the checkpoint: "original", or "oracle_<targets>" if columns are left out."""
    return f"oracle_{targets_name(left_out)}" if left_out else "original"


def weight_seed(seed, left_out):
    """Seed of the first weights: an oracle starts from others than the original did, so that it shares no value."""
    return seed + 1_000_003 if left_out else seed


def check_positives(data):
    """Refuse to train a head that has no positive image. Raises InputError naming the attribute and the part."""
    for attribute in data.attributes:
        for part in ("train", "test"):
            data.positives(attribute, part)


def describe(job, model, data, source, device):
    """Lines of the header: {what: value}; `source` says where the images come from."""
    recipe, parameters = job.recipe, sum(parameter.numel() for parameter in model.parameters())
    return {
        "network": f"{job.architecture}, {parameters:,} parameters, {job.img_size} px, on {device}",
        "heads": " ".join(job.attributes) + (f", left out: {' '.join(job.left_out)}" if job.left_out else ""),
        "images": f"{len(data.rows('train'))} train, {len(data.rows('test'))} test ({source})",
        "recipe": f"{recipe.epochs} epochs, {recipe.optimizer}, {recipe.scheduler}, lr {recipe.lr:g}, "
        f"batch {recipe.batch_size}",
    }


def train(job, model, data, device, resume=False):
    """Fit the network, from the start or from a stopped training; returns the seconds it took."""
    best = {"auc": float("-inf")}
    state = None
    if resume:
        state = load_training_state(job.state)
        best["auc"] = state.pop("best_auc")
        print(f"resuming after epoch {state['epoch']} of {job.recipe.epochs}")
    keep = _keeper(job, model, data, best, device)
    start = time.perf_counter()
    fit(model, data, job.recipe, device, augment=job.augment, on_epoch=keep, state=state)
    return time.perf_counter() - start


def _keeper(job, model, data, best, device):
    """A function that judges, reports and saves after every epoch: last and best network, and the state to resume.

    The best is chosen by the mean AUC over the heads on the validation part where the split has one, else on the test
    part; no later step reads it unless told to, so no figure rests on a choice made on the test part.
    """
    rows = data.rows("valid" if "valid" in data.splits else "test")
    data.prepare(rows)
    epochs, bf16 = job.recipe.epochs, resolve_amp(job.recipe.amp, device)

    def keep(progress):
        figures = evaluate(model, data, rows, job.recipe.batch_size, device, bf16)
        aucs = [row["auc"] for row in figures.values() if row["auc"] is not None]
        mean_auc = sum(aucs) / len(aucs) if aucs else float("nan")
        accuracies = "  ".join(f"{name} {row['accuracy']:.3f}" for name, row in list(figures.items())[:4])
        print(
            f"epoch {progress.epoch:>{len(str(epochs))}}/{epochs}  loss {progress.loss:.4f}  mean AUC {mean_auc:.4f}  "
            f"accuracy {accuracies}  {progress.seconds:.1f} s",
            flush=True,
        )
        checkpoint = _snapshot(job, model, progress.epoch)
        save_checkpoint(job.last, checkpoint)
        if mean_auc > best["auc"]:
            best["auc"] = mean_auc
            save_checkpoint(job.best, checkpoint)
        save_training_state(job.state, {**progress.state, "best_auc": best["auc"]})

    return keep


def _snapshot(job, model, epoch):
    return Checkpoint(
        state_dict=model.state_dict(),
        model=job.architecture,
        attributes=job.attributes,
        img_size=job.img_size,
        seed=job.recipe.seed,
        epoch=epoch,
        arguments=job.arguments,
        versions=run.environment(),
        kind=kind_of(job.left_out),
    )


def load(job, device):
    """The job's trained network. Raises InputError if there is none, or it does not match what is asked."""
    checkpoint = load_checkpoint(job.last)
    asked = {"attributes": job.attributes, "model": job.architecture, "img_size": job.img_size}
    check_matches(checkpoint, job.last, **asked)
    return restore(checkpoint, device)
