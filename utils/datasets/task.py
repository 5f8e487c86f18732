"""A task: what steps 2 and 3 and the tools work on, opened at once and checked against each other."""

from dataclasses import dataclass, field

import numpy as np
import torch

from utils.common import paths
from utils.common.arguments import ALL as ALL_NAMES
from utils.common.arguments import READING, resolve_targets
from utils.common.errors import warn
from utils.common.normalisation import normalisation_from_flags
from utils.common.run import start_run
from utils.datasets.dataset import open_dataset
from utils.layouts.reading import LAYOUT_OF, reading_options
from utils.network.loading import (
    ALL,
    SPLIT_FLAGS,
    LoadedNetwork,
    check_alike,
    load_network,
    named_heads,
    random_network,
)

UNLEARNED = {"prune": "pruned", "erase": "erased"}  # how files are named: two methods never write the same one


@dataclass(frozen=True)
class Task:
    """A network, the heads to forget and to keep, the device, and where their files lie.

    run, targets: the names that paths are made of; forgotten, kept: names of heads, in head order
    save_path: folder of the checkpoints; data_options: keyword arguments of `open_dataset`
    """

    run: str
    targets: str
    forgotten: list[str]
    kept: list[str]
    device: torch.device
    network: LoadedNetwork
    save_path: str
    data_options: dict = field(default_factory=dict)

    def open_data(self, as_released=None):
        """The images and labels of the network's heads, as `ImageDataset`.

        Args:
            as_released: resize floats without rounding, as the released code does; None: as in training
        Raises: InputError for what is wrong with the folder or the table
        """
        exact = self.network.arguments.get("as_released", False) if as_released is None else as_released
        data = open_dataset(attributes=self.network.attributes, exact_resize=exact, **self.data_options)
        self.data_options["split"] = data.split
        return data

    def checkpoint_file(self, kind):
        """Path of a network of the run: "original", "pruned", "erased" or "oracle"; all but the first by target."""
        return paths.checkpoint_file(self.save_path, self.run, kind if kind == "original" else f"{kind}_{self.targets}")

    def unlearned_file(self, method):
        """Path of what step 3 writes: pruned_<targets>.pth or erased_<targets>.pth; `method` is "prune" or "erase"."""
        return self.checkpoint_file(UNLEARNED[method])

    @property
    def graph_file(self):
        """Path of the essential graph that step 2 writes for these targets."""
        return paths.graph_file(paths.GRAPHS, self.run, self.targets)

    def results_folder(self, results, method=None):
        """Folder of what a method leaves to look at, beside the results file; without a method that of the graph."""
        folder = paths.results_folder(results, self.run, self.targets)
        return folder / UNLEARNED[method] if method else folder

    def reference_networks(self, seed=0, data=None):
        """{"random": a network that was never trained, "oracle": one that never saw the targets, if it was trained}.

        Args: data: `ImageDataset` whose training images give the untrained network its statistics; None: its defaults
        Raises: InputError if there is an oracle that does not fit
        """
        images = None if data is None else calibration_images(data)
        random = random_network(self.network.name, self.network.attributes, seed, self.device, images)
        networks, path = {"random": random}, self.checkpoint_file("oracle")
        if path.is_file():
            oracle = load_network(path, self.kept, device=self.device)
            check_alike({"original": self.network, "oracle": oracle}, oracle_again(self.network, self.forgotten))
            warn_of_other_images(oracle, data)
            networks["oracle"] = oracle.model
        return networks


def open_task(
    *,
    task_labels,
    target_class,
    run_name=None,
    weights=None,
    weights_labels=None,
    model=None,
    img_size=None,
    mean=None,
    std=None,
    data_path,
    split=None,
    allow_missing=None,
    cache_path="cache",
    save_path="checkpoints",
    seed=0,
    device="auto",
    **flags,
):
    """Open what the flags of the same names ask for, and of `reading_options`; other flags are not looked at.

    Args:
        task_labels: names of the heads, in order; target_class: names or places of those to forget
        weights: the user's own state dict; None: the run's `original.pth`
        weights_labels: names of the heads in it, in order; None: those of task_labels
        model, img_size, mean, std: None takes the checkpoint's
        split, allow_missing, and how the folder is read: None takes what the checkpoint was trained with; `limit` is
            always its own
    Returns: Task
    Raises: InputError if a name is unknown, a file is absent or damaged, or the two do not fit
    """
    device = start_run(seed, device)
    run = paths.run_name(task_labels, run_name)
    checkpoint = paths.checkpoint_file(save_path, run, "original")
    task_labels = named_heads(task_labels, checkpoint, weights)
    forgotten = resolve_targets(task_labels, target_class)
    asked = {"name": model, "img_size": img_size, "normalisation": normalisation_from_flags(mean, std)}
    asked |= {"weights": weights, "labels": weights_labels, "pick": True}
    network = load_network(checkpoint, task_labels, device=device, **asked)
    return Task(
        run=run,
        targets=paths.targets_name(forgotten),
        forgotten=forgotten,
        kept=[name for name in network.attributes if name not in forgotten],
        device=device,
        network=network,
        save_path=save_path,
        data_options=recorded_options(network, data_path, split, allow_missing, cache_path, **flags),
    )


def open_networks(
    files,
    forgotten,
    *,
    device,
    task_labels,
    model,
    img_size,
    mean,
    std,
    seed,
    data_path,
    split,
    allow_missing,
    cache_path,
    **flags,
):
    """Networks of any files for an audit, with the images to audit them on, by flags of these names.

    Args:
        files: {"unlearned", "original", "oracle": path or None}; the oracle lacks the heads of `forgotten`
        model, img_size, mean, std: None takes the files' own
    Returns: (`LoadedNetwork` of the unlearned one, {role: network} with "random" added, `ImageDataset`,
        keyword arguments of `open_dataset` that gave it)
    Raises: InputError if a file does not fit, or the networks differ in architecture, image size or normalisation
    """
    kept = [name for name in task_labels if name not in forgotten]
    options = {"name": model, "img_size": img_size, "normalisation": normalisation_from_flags(mean, std)}
    loaded = {}
    for role, path in files.items():
        if path:
            heads = kept if role == "oracle" else task_labels
            check = ALL if role == "unlearned" else ("attributes",)
            loaded[role] = load_network(None, heads, weights=path, device=device, check=check, **options)
    network = loaded["unlearned"]
    sure = [one for one in loaded.values() if not one.assumed]
    if sure and len(sure) < len(loaded):
        cure = f"pass --model and --img_size for plain state dicts ({sure[0].flags})"
    else:
        cure = oracle_again(network, forgotten) if "oracle" in loaded else "train one of them again as the other was"
    check_alike(loaded, cure)
    options = recorded_options(network, data_path, split, allow_missing, cache_path, **flags)
    exact = network.arguments.get("as_released", False)
    data = open_dataset(attributes=task_labels, exact_resize=exact, **options)
    options["split"] = data.split
    if "oracle" in loaded:
        warn_of_other_images(loaded["oracle"], data)
    networks = {role: one.model for role, one in loaded.items()}
    networks["random"] = random_network(network.name, task_labels, seed, device, calibration_images(data))
    return network, networks, data, options


def oracle_again(network, forgotten):
    """The cure, in words, for an oracle that was trained otherwise than a `LoadedNetwork`; `forgotten`: names."""
    command = f"python {paths.SCRIPT}_original.py --leave_out {' '.join(forgotten)} {network.flags}"
    return f"train the oracle again at {network.img_size} px with --model {network.name} ({command})"


def warn_of_other_images(oracle, data):
    """Warn if an oracle, a `LoadedNetwork`, was trained on another part than the training part of `data`, if given."""
    if data is not None and trained_on_others(oracle, data):
        warn(f"{oracle.path} was trained on other images or labels than the training part of this data set")


def trained_on_others(network, data):
    """Whether a `LoadedNetwork` says that it was trained on another part than the training part of `data`.

    False also where it does not say, or it was trained on labels that `data` lacks: nothing can be compared then.
    """
    recorded, heads = network.arguments.get("training_part"), network.file_heads or network.attributes
    return bool(recorded) and set(heads) <= set(data.attributes) and recorded != data.digest(heads)


def calibration_images(data, most=64):
    """Images (N, 3, H, W) on the CPU, evenly spread over the training part, at most so many: always the same."""
    rows = data.rows("train")
    rows = data.prepare(rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))])
    return next(iter(data.batches(rows, len(rows), "cpu")))[0]


def recorded_options(network, data_path, split, allow_missing, cache_path, **flags):
    """Keyword arguments of `open_dataset`; the parts are those of the network's training unless others are named.

    Args: network: `LoadedNetwork`; flags: of `reading_options`; a layout among them takes what was recorded for others
    """
    options = {flag: network.arguments.get(flag, default) for flag, default in SPLIT_FLAGS.items()}
    reading = reading_options(**flags)
    layout = reading.get("layout")
    of_others = {flag for flag, its in LAYOUT_OF.items() if layout not in (None, its)}
    lost = [flag for flag in READING if options[flag] is None or flag in of_others]
    options = {flag: value for flag, value in options.items() if flag not in lost} | reading
    options |= {"data_path": data_path, "img_size": network.img_size, "cache_path": cache_path}
    options |= {"mean": network.normalisation.mean, "std": network.normalisation.std}
    if options.get("unknown_labels") == "skip":  # the cut after 75 % is of the rows that the training had
        recorded = network.arguments.get("task_labels", ())
        every = list(recorded) == [ALL_NAMES]
        options["trained_on"] = [ALL_NAMES] if every else list(dict.fromkeys((*network.file_heads, *recorded)))
    given = {"split": split, "allow_missing": allow_missing}
    return options | {flag: value for flag, value in given.items() if value is not None}
