"""Step 1's working parts: what is trained, on what, where it goes, and what is said at the end."""

import time
from dataclasses import dataclass
from pathlib import Path

from utils import paths, run
from utils.arguments import recipe_arguments
from utils.augmentation import Augmentation
from utils.checkpoint import (
    Checkpoint,
    check_matches,
    load_checkpoint,
    load_training_state,
    restore,
    save_checkpoint,
    save_training_state,
)
from utils.errors import InputError, did_you_mean
from utils.metrics import figures_per_head
from utils.training import Recipe, fit, predict, resolve_amp


@dataclass(frozen=True)
class Files:
    """Where a training writes: the last and the best network, and the state to resume from."""

    last: Path
    best: Path
    state: Path


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


def files(args, name):
    """Files of this training: `original…`, or `oracle_<targets>…` if columns are left out."""
    kind = f"oracle_{paths.targets_name(args.leave_out)}" if args.leave_out else "original"
    checkpoint = paths.checkpoint_file
    state = paths.training_state_file(args.save_path, name, kind)
    return Files(checkpoint(args.save_path, name, kind), checkpoint(args.save_path, name, f"{kind}_best"), state)


def weight_seed(args):
    """Seed of the first weights: an oracle starts from others than the original did, so that it shares no value."""
    return args.seed + 1_000_003 if args.leave_out else args.seed


def check_positives(data):
    """Refuse to train a head that has no positive image. Raises InputError naming the attribute and the part."""
    for attribute in data.attributes:
        for part in ("train", "test"):
            data.positives(attribute, part)


def describe(args, model, data, device):
    """Lines of the header: {what: value}."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    left_out = f", left out: {' '.join(args.leave_out)}" if args.leave_out else ""
    return {
        "network": f"{args.model}, {parameters:,} parameters, {args.img_size} px, on {device}",
        "heads": " ".join(data.attributes) + left_out,
        "images": f"{len(data.rows['train'])} train, {len(data.rows['test'])} test ({args.split}) of {args.data_path}",
        "recipe": f"{args.epoch} epochs, {args.optimizer}, {args.scheduler}, lr {args.lr:g}, batch {args.batch_size}",
    }


def recipe(args):
    """`training.Recipe` of the arguments."""
    return Recipe(
        epochs=args.epoch,
        batch_size=args.batch_size,
        lr=args.lr,
        optimizer=args.optimizer,
        weight_decay=args.weight_decay,
        scheduler=args.scheduler,
        amp=args.amp,
        shuffle=not args.as_released,
        compile=args.compile,
        seed=args.seed,
    )


def augmentation(args):
    """Flips and rotations of the arguments; the released code flips vertically too."""
    return Augmentation(hflip=args.hflip, vflip=args.vflip or args.as_released, degrees=args.rotation)


def keeper(args, model, data, places, device):
    """A function that judges, reports and saves after every epoch: last and best network, and the state to resume.

    The best is chosen by the mean AUC over the heads on the validation part where the split has one, else on the test
    part; no later step reads it unless told to, so no figure rests on a choice made on the test part.
    """
    rows = data.everything("valid" if "valid" in data.rows else "test")
    data.prepare(rows)
    best = {"auc": float("-inf")}

    def keep(progress):
        figures = judge(model, data, rows, args.batch_size, device, resolve_amp(args.amp, device))
        aucs = [row["auc"] for row in figures.values() if row["auc"] is not None]
        mean_auc = sum(aucs) / len(aucs) if aucs else float("nan")
        shown = "  ".join(f"{name} {row['accuracy']:.3f}" for name, row in list(figures.items())[:4])
        width = len(str(args.epoch))
        print(
            f"epoch {progress.epoch:>{width}}/{args.epoch}  loss {progress.loss:.4f}  mean AUC {mean_auc:.4f}  "
            f"accuracy {shown}  {progress.seconds:.1f} s"
        )
        checkpoint = snapshot(args, model, data, progress.epoch)
        save_checkpoint(places.last, checkpoint)
        if mean_auc > best["auc"]:
            best["auc"] = mean_auc
            save_checkpoint(places.best, checkpoint)
        save_training_state(places.state, {**progress.state, "best_auc": best["auc"]})

    return keep, best


def snapshot(args, model, data, epoch):
    """The network now, with what made it."""
    kind = f"oracle_{paths.targets_name(args.leave_out)}" if args.leave_out else "original"
    return Checkpoint(
        state_dict=model.state_dict(),
        model=args.model,
        attributes=data.attributes,
        img_size=args.img_size,
        seed=args.seed,
        epoch=epoch,
        arguments=recipe_arguments(args),
        versions=run.environment(),
        kind=kind,
    )


def train(model, data, args, places, device):
    """Fit the network, from the start or from a stopped training; returns the seconds it took."""
    keep, best = keeper(args, model, data, places, device)
    state = None
    if args.resume:
        state = load_training_state(places.state)
        best["auc"] = state.pop("best_auc")
        print(f"resuming after epoch {state['epoch']} of {args.epoch}")
    start = time.perf_counter()
    fit(model, data, recipe(args), device, augment=augmentation(args), on_epoch=keep, state=state)
    return time.perf_counter() - start


def load(args, path, attributes, device):
    """The trained network of `path`, checked against what is asked. Raises InputError if it does not match."""
    checkpoint = load_checkpoint(path)
    check_matches(checkpoint, path, attributes=tuple(attributes), model=args.model, img_size=args.img_size)
    return restore(checkpoint, device)


def judge(model, data, rows, batch_size, device, bf16=False):
    """{attribute: figures} of a network on some rows."""
    logits, labels = predict(model, data, rows, batch_size, device, bf16=bf16)
    return figures_per_head(logits.numpy(), labels.numpy(), data.attributes)


def report(model, data, args, places, seconds, device):
    """Print the table of the test part."""
    heads = judge(model, data, data.everything("test"), args.batch_size, device)
    measures = {"tpr_all_positive": "TPR on all-positive", "accuracy": "accuracy"}
    measures |= {"balanced_accuracy": "balanced accuracy", "auc": "AUC"}
    rows = [
        [name, row["n"], *("-" if row[key] is None else f"{row[key]:.3f}" for key in measures)]
        for name, row in heads.items()
    ]
    print(run.table(rows, ["attribute", "n", *measures.values()]))
    if seconds is not None:
        print(f"wrote {places.last} after {seconds:.0f} s of training")
