"""What a run says of itself: the lines of its header, the checkpoint that it writes, and its line of results."""

import os

from utils.common import distributed, run
from utils.common.arguments import recorded_flags
from utils.common.errors import warn
from utils.datasets.task import trained_on_others
from utils.erasure.heads import emptied_heads
from utils.graph.selection import CONTROLS
from utils.network.checkpoint import Checkpoint, save_checkpoint
from utils.network.tensor_files import sha256_of
from utils.report.figures import draw_before_after
from utils.report.outputs import steps_to_come
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
    return {
        "network": f"{flags['model']}, {parameters:,} parameters, {flags['img_size']} px, on {device}",
        "heads": " ".join(model.attributes) + (f", left out: {' '.join(left_out)}" if left_out else ""),
        "images": _images(data, flags["data_path"]),
        "normalisation": _in_words(data.normalisation),
        "afterwards": steps_to_come(model),
        "settings": f"{settings.epochs} epochs, {settings.optimizer}, {settings.scheduler}, lr {settings.lr:g}, "
        f"batch {settings.batch_size}",
    }


def describe_trained(network, data, flags):
    """Header of step 1 with --evaluate_only: {what: value}.

    Args: network: `LoadedNetwork`; data: `ImageDataset`; flags: {flag: value}, the network's own where none was given
    """
    return {
        "network": f"{network.name} from {network.path}, {network.img_size} px, {network.epoch} epochs",
        "heads": " ".join(network.attributes),
        "images": _images(data, flags["data_path"]),
        **describe_network(network, data),
    }


def _images(data, data_path):
    counts = ", ".join(f"{len(data.rows(part))} {part}" for part in data.splits)
    return f"{counts} ({data.split} split of {data_path})"


def _in_words(normalisation):
    return f"{normalisation.name or 'of its own'}: {normalisation}"


def describe_network(network, data=None):
    """Lines of a header on how a network's images are prepared: {what: value}.

    Args: network: `LoadedNetwork`; data: `ImageDataset`, to be compared with what the network was trained on
    """
    lines = {"normalisation": _in_words(network.normalisation)}
    if network.file_heads not in ((), network.attributes):
        rows = " ".join(str(network.file_heads.index(head)) for head in network.attributes)
        lines["heads taken"] = f"rows {rows} of the file's {len(network.file_heads)} ({' '.join(network.file_heads)})"
    if network.assumed:
        lines["assumed"] = f"{' '.join(network.assumed)} (a plain state dict does not say: pass the flags for others)"
    if data is not None and trained_on_others(network, data):
        lines["note"] = "these are not the training images and labels that the network was trained on"
    return lines


def describe_task(task, data=None):
    """First lines of the header of steps 2 and 3: {what: value}.

    Args: task: `utils.datasets.task.Task`; data: `ImageDataset`, to be compared with what the network was trained on
    """
    network = task.network
    return {
        "network": f"{network.name} from {network.path}, {network.img_size} px, on {task.device}",
        **describe_network(network, data),
        "forget": " ".join(task.forgotten),
        "keep": " ".join(task.kept),
    }


def describe_unlearning(task, method, data, flags):
    """Header of step 3: {what: value}; `method` as in `save_unlearned`, `data` an `ImageDataset`, `flags` of step 3."""
    counts = ", ".join(f"{layer} {len(channels)}" for layer, channels in method.get("pruned", {}).items())
    emptied = [] if flags["evaluate_only"] else emptied_heads(task.network.model)
    return {
        **describe_task(task, data),
        **({"empty before": f"{' '.join(emptied)} (answers the same whatever it sees)"} if emptied else {}),
        "method": method_name({name: flags[name] for name in ("strength", "depth")} | method),
        **({"channels to prune": counts} if counts else {}),
        "test images": f"{len(data.rows('test'))} ({task.data_options['data_path']})",
    }


def original_checkpoint(model, epoch, kind, data, flags, fixed):
    """`Checkpoint` of a network that step 1 trained for some epochs on `data` with its flags, {flag: value}.

    Args: fixed: of `utils.training.resume.what_decides`
    """
    began_from = {"pretrained": fixed["pretrained"]} if fixed["pretrained"] else {}
    return Checkpoint(
        state_dict=model.state_dict(),
        model=flags["model"],
        attributes=model.attributes,
        img_size=flags["img_size"],
        seed=flags["seed"],
        epoch=epoch,
        normalisation=str(data.normalisation),
        arguments={**recorded_flags(flags), "split": data.split, "training_part": data.digest(), **began_from},
        versions=run.environment(),
        kind=kind,
    )


def save_unlearned(path, network, method, flags):
    """Write the unlearned checkpoint of a `LoadedNetwork`, unless the flags evaluate alone what is there.

    Args: method: what made it, JSON-ready, see `utils.pruning.channels` and `ErasureSettings`; flags: {flag: value}
    """
    if flags.get("evaluate_only"):
        return
    asked = {flag: value for flag, value in recorded_flags(flags).items() if value is not None}
    record = dict(network.arguments)
    if network.file_heads not in ((), network.attributes):
        record.pop("training_part", None)  # of labels that the new file does not know
    before = record.get("unlearning")  # of an earlier unlearning that this one goes on from
    checkpoint = Checkpoint(
        state_dict=network.model.state_dict(),
        model=network.name,
        attributes=tuple(network.attributes),
        img_size=network.img_size,
        normalisation=str(network.normalisation),
        seed=network.seed,
        epoch=network.epoch,
        arguments={**record, "unlearning": method | {"arguments": asked, "before": before}},
        versions=run.environment(),
        parent_sha256=network.sha256,
        kind=path.stem,
    )
    save_checkpoint(path, checkpoint)
    print(f"wrote {path}")


def method_name(method):
    """The method in words: "prune" or "erase", and what differs from its defaults."""
    if method["rule"] == "erase":
        strength, words = method["strength"], ["erase"] + ["weights"] * (method.get("depth") == "weights")
        return ", ".join(words + [f"strength {strength if strength == 'auto' else f'{strength:g}'}"] * (strength != 1))
    if method["rule"] in CONTROLS:
        return f"control, {method['rule']} channels"
    words = ["prune"]
    words += ["no balance"] if method["rule"] == "no_balance" else []
    words += ["as released"] if method.get("as_released") or method["rule"] == "released" else []
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
    asked = recorded_flags(flags | task.data_options)
    if flags["evaluate_only"]:  # what was asked when the checkpoint was made, as far as it says how
        made = method.get("arguments", {})
        asked |= {flag: made[flag] for flag in ("method", "strength", "depth") if flag in made}
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
        "arguments": asked,
        "seed": flags["seed"] if network.seed is None else network.seed,
    }


def warn_of_base_rates(before, network):
    """Warn, in one line, of heads of the original that are right no more often than a constant answer.

    Args: before: {attribute: figures of the original}; network: `LoadedNetwork`, for its preparation of images
    Returns: `before`, as it is
    """
    poor = [
        f"{head} {figures['accuracy']:.2f} against {constant:.2f}"
        for head, figures in before.items()
        if figures["n"] and figures["accuracy"] <= (constant := max(rate := figures["base_rate"], 1 - rate))
    ]
    if poor:
        here = f"{network.normalisation.flags}, --img_size {network.img_size}"
        warn(
            f"the original is no better than the more frequent answer alone (accuracy of {', '.join(poor)}): check how "
            f"its images were prepared in training (here {here}), and the order of --task_labels"
        )
    return before


def report_unlearning(line, folder, results):
    """Append the line of a run to the results, draw before against after, print both in words.

    Args: line: of `unlearning_line`; folder: of the picture; results: the file of JSON lines
    """
    heads, forgotten, verdicts = line["heads"], line["forgotten"], line.get("verdict", {})
    picture = folder / "before_after.png"
    try:
        run.append_result(results, line)
        title = f"{line['model']}: {line['method']}, forget {', '.join(forgotten)}"
        draw_before_after(picture, heads, forgotten, title)
        print(f"wrote {picture} and a line in {results}")
    finally:  # the figures are told even where they cannot be kept
        print(before_after_table(heads, forgotten))
        print(*(forgetting_sentence(target, **heads[target], audited=bool(verdicts)) for target in forgotten), sep="\n")
