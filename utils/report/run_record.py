"""What a run says of itself: the lines of its header, the checkpoint that it writes, and its line of results."""

import os

from utils.common import run
from utils.common.arguments import recorded_flags
from utils.common.errors import InputError, warn
from utils.common.paths import check_outputs
from utils.graph.dataflow import trace_dataflow
from utils.network.checkpoint import Checkpoint


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
        "images": _images(data, flags["split"], flags["data_path"]),
        "normalisation": _in_words(data.normalisation),
        "afterwards": steps_to_come(model),
        "settings": f"{settings.epochs} epochs, {settings.optimizer}, {settings.scheduler}, lr {settings.lr:g}, "
        f"batch {settings.batch_size}",
    }


def describe_trained(network, data, flags):
    """Header of step 1 with --evaluate_only: {what: value}.

    Args: network: `LoadedNetwork`; data: `ImageDataset`; flags: {flag: value}, the network's own where none was given
    """
    split = flags["split"] if "split" in flags["given"] else network.arguments.get("split", flags["split"])
    return {
        "network": f"{network.name} from {network.path}, {network.img_size} px, {network.epoch} epochs",
        "heads": " ".join(network.attributes),
        "images": _images(data, split, flags["data_path"]),
        **describe_network(network, data),
    }


def _images(data, split, data_path):
    counts = ", ".join(f"{len(data.rows(part))} {part}" for part in data.splits)
    return f"{counts} ({split} split of {data_path})"


def steps_to_come(model, layers=5):
    """What steps 2 and 3 will be able to do with a network: score so many `layers`, as step 2 does unasked, or why not.

    Returns: it in words
    """
    try:
        trace_dataflow(model).choose_layers([layers])
    except InputError as error:
        return f"steps 2 and 3 cannot: {error}"
    return f"steps 2 and 3 can score {layers} layers"


def _in_words(normalisation):
    return f"{normalisation.name or 'of its own'}: {normalisation}"


def describe_network(network, data=None):
    """Lines of a header on how a network's images are prepared: {what: value}.

    Args: network: `LoadedNetwork`; data: `ImageDataset`, to be compared with what the network was trained on
    """
    lines = {"normalisation": _in_words(network.normalisation)}
    if network.assumed:
        lines["assumed"] = f"{' '.join(network.assumed)} (a plain state dict does not say: pass the flags for others)"
    recorded = network.arguments.get("training_part")
    if data is not None and recorded and recorded != data.digest(network.attributes):
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


def check_training_outputs(files, flags):
    """Look at the files of a training before it starts, see `check_outputs`.

    Args: files: `TrainingFiles`; flags: {flag: value} of step 1
    """
    check_outputs(flags, save_path=[] if flags["evaluate_only"] else list(vars(files).values()))


def original_checkpoint(model, epoch, kind, data, flags):
    """`Checkpoint` of a network that step 1 trained for some epochs on `data` with its flags, {flag: value}."""
    return Checkpoint(
        state_dict=model.state_dict(),
        model=flags["model"],
        attributes=model.attributes,
        img_size=flags["img_size"],
        seed=flags["seed"],
        epoch=epoch,
        normalisation=str(data.normalisation),
        arguments={**recorded_flags(flags), "training_part": data.digest()},
        versions=run.environment(),
        kind=kind,
    )


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
