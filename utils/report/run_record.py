"""What a run says of itself: the lines of its header, the checkpoint that it writes, and its line of results."""

import os

from utils.common import distributed, run
from utils.common.arguments import recorded_flags
from utils.graph.selection import CONTROLS
from utils.network.checkpoint import Checkpoint, save_checkpoint, sha256_of
from utils.report.figures import draw_before_after
from utils.report.tables import before_after_table, forgetting_sentence


def dataset_name(data_path):
    """What a data set is called in results: the name of its folder."""
    return os.path.basename(os.path.abspath(data_path))


def describe_training(model, data, settings, left_out, flags):
    """Header of step 1: {what: value}.

    Args:
        data: `ImageDataset`; settings: `TrainingSettings`; left_out: names of the columns that an oracle never sees
        flags: {flag: value} of step 1
    """
    parameters, device = sum(parameter.numel() for parameter in model.parameters()), next(model.parameters()).device
    counts = ", ".join(f"{len(data.rows(split))} {split}" for split in data.splits)
    return {
        "network": f"{flags['model']}, {parameters:,} parameters, {flags['img_size']} px, on {device}",
        "heads": " ".join(model.attributes) + (f", left out: {' '.join(left_out)}" if left_out else ""),
        "images": f"{counts} ({flags['split']} split of {flags['data_path']})",
        "settings": f"{settings.epochs} epochs, {settings.optimizer}, {settings.scheduler}, lr {settings.lr:g}, "
        f"batch {settings.batch_size}",
    }


def describe_task(task):
    """First lines of the header of steps 2 and 3: {what: value}; `task` is a `utils.datasets.task.Task`."""
    network = task.network
    return {
        "network": f"{network.name} from {network.path}, {network.img_size} px, on {task.device}",
        "forget": " ".join(task.forgotten),
        "keep": " ".join(task.kept),
    }


def describe_unlearning(task, method, data):
    """Header of step 3: {what: value}; `method` as in `save_unlearned`, `data` an `ImageDataset`."""
    counts = ", ".join(f"{layer} {len(channels)}" for layer, channels in method.get("pruned", {}).items())
    how = {"channels to prune": counts} if counts else {"method": method["rule"]}
    return {**describe_task(task), **how, "test images": f"{len(data.rows('test'))} ({task.data_options['data_path']})"}


def original_checkpoint(model, epoch, kind, flags):
    """`Checkpoint` of a network that step 1 trained for some epochs with its flags, {flag: value}."""
    return Checkpoint(
        state_dict=model.state_dict(),
        model=flags["model"],
        attributes=model.attributes,
        img_size=flags["img_size"],
        seed=flags["seed"],
        epoch=epoch,
        arguments=recorded_flags(flags),
        versions=run.environment(),
        kind=kind,
    )


def save_unlearned(path, network, method, flags):
    """Write the unlearned checkpoint of a `LoadedNetwork`.

    Args: method: what made it, JSON-ready, see `utils.pruning.channels` and `ErasureSettings`; flags: {flag: value}
    """
    asked = {flag: value for flag, value in recorded_flags(flags).items() if value is not None}
    before = network.arguments.get("unlearning")  # of an earlier unlearning that this one goes on from
    checkpoint = Checkpoint(
        state_dict=network.model.state_dict(),
        model=network.name,
        attributes=tuple(network.attributes),
        img_size=network.img_size,
        seed=network.seed,
        epoch=network.epoch,
        arguments={**network.arguments, "unlearning": method | {"arguments": asked, "before": before}},
        versions=run.environment(),
        parent_sha256=network.sha256,
        kind=path.stem,
    )
    save_checkpoint(path, checkpoint)
    print(f"wrote {path}")


def method_name(method):
    """The method in words: "prune" or "erase", and what differs from its defaults."""
    if method["rule"] == "erase":
        return "erase" if method["strength"] == 1 else f"erase, strength {method['strength']:g}"
    if method["rule"] in CONTROLS:
        return f"control, {method['rule']} channels"
    words = ["prune"]
    words += ["no balance"] if method["rule"] == "no_balance" else []
    words += ["as released"] if method.get("as_released") else []
    words += ["gradient x activation"] if method.get("importance") == "gradient_activation" else []
    layers = method.get("layers") or ["5"]
    words += [f"layers {' '.join(layers)}"] if layers != ["5"] else []
    return ", ".join(words)


@distributed.by_first
def unlearning_line(task, method, path, before, after, seconds, flags):
    """What a results line keeps of an unlearning.

    Args:
        task: `Task`; method: as in `save_unlearned`; path: of the unlearned checkpoint
        before, after: {attribute: figures}; seconds: {phase: seconds}; flags: {flag: value} of step 3
    """
    network = task.network
    nodes = method.get("pruned", {})
    return {
        "run": task.run,
        "dataset": dataset_name(flags["data_path"]),
        "attributes": list(network.attributes),
        "forgotten": list(task.forgotten),
        "method": method_name(method),
        "proportion": method.get("proportion"),
        "graph": {name: value for name, value in method.items() if name not in ("pruned", "arguments", "before")},
        "model": network.name,
        "img_size": network.img_size,
        "heads": {head: {"before": before[head], "after": after[head]} for head in network.attributes},
        "pruned": {layer: len(channels) for layer, channels in nodes.items()},
        "seconds": seconds,
        "peak_rss_bytes": run.peak_rss_bytes(),
        "parent_sha256": network.sha256,
        "checkpoint_sha256": sha256_of(path),
        "arguments": recorded_flags(flags | task.data_options),
        "seed": flags["seed"] if network.seed is None else network.seed,
    }


@distributed.by_first
def report_unlearning(line, folder, results):
    """Append the line of a run to the results, draw before against after, and print both in words.

    Args: line: of `unlearning_line`; folder: of the picture; results: the file of JSON lines
    """
    run.append_result(results, line)
    heads, forgotten = line["heads"], line["forgotten"]
    picture = folder / "before_after.png"
    draw_before_after(picture, heads, forgotten, f"{line['model']}: {line['method']}, forget {', '.join(forgotten)}")
    print(f"wrote {picture} and a line in {results}")
    print(before_after_table(heads, forgotten))
    print(*(forgetting_sentence(target, **heads[target]) for target in forgotten), sep="\n")
