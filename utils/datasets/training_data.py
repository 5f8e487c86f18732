"""The images that step 1 trains and evaluates on."""

from utils.common.arguments import ALL
from utils.common.errors import warn
from utils.common.normalisation import HALF, normalisation_from_flags
from utils.datasets.dataset import open_dataset
from utils.datasets.task import recorded_options
from utils.layouts.reading import read_folder, reading_options
from utils.network.loading import SPLIT_FLAGS, load_network


def open_training_data(heads, left_out=(), *, limit, num_workers, as_released=False, **flags):
    """The images that step 1 trains on, by its flags of these names and those of `dataset_options`.

    Args: heads: names of the attributes to train, in head order; left_out: those that an oracle lacks
    Returns: ImageDataset
    Raises: InputError for what is wrong with the folder, and if no training image has an attribute
    """
    options = dataset_options(**flags) | {"also_known": left_out}
    options |= {"limit": limit, "workers": num_workers, "exact_resize": as_released}
    data = open_dataset(attributes=heads, **options)
    for head in heads:
        data.positives(head, "train")
    _warn_of_missing_classes(data)
    return data


def open_trained(file, heads, left_out=(), *, given, device, data_path, cache_path, num_workers, **flags):
    """A network that step 1 has trained, and its images as they were in training, but for the flags that are `given`.

    Args:
        file: of the network; heads: names, in head order; left_out: those that an oracle lacks
        given: names of flags of step 1 that win over the file's
    Returns: (LoadedNetwork, ImageDataset)
    Raises: InputError if the file is absent or does not fit, or for what is wrong with the folder
    """
    asked = {flag: flags[flag] for flag in ("model", "img_size", "as_released", *SPLIT_FLAGS) if flag in given}
    kind = {"name": asked.pop("model", None), "img_size": asked.pop("img_size", None)}
    normalisation = normalisation_from_flags(flags["mean"], flags["std"])
    network = load_network(file, heads, device=device, normalisation=normalisation, **kind)
    exact = asked.pop("as_released", network.arguments.get("as_released", False))
    options = recorded_options(network, data_path, None, None, cache_path, **reading_options(**asked)) | asked
    options |= {"also_known": left_out, "workers": num_workers}
    data = open_dataset(attributes=network.attributes, exact_resize=exact, **options)
    _warn_of_missing_classes(data)
    return network, data


def _warn_of_missing_classes(data):
    """Say which attributes all images of a part have, or none: figures that need both classes are not defined there."""
    for part, rows in data.splits.items():
        for head, count in zip(data.attributes, data.labels[rows].sum(0), strict=True):
            if count in (0, len(rows)) and len(rows):
                which = "none" if count == 0 else "all"
                warn(f"{which} of the {len(rows):,} {part} images have {head}: figures such as its AUC are '-'")


def name_attributes(*, task_labels, data_path, **flags):
    """The names of --task_labels, [str]; for "all" every one of the data set, by its flags of these names."""
    if list(task_labels) != [ALL]:
        return task_labels
    return list(read_folder(data_path, **reading_options(**flags)).names)


def dataset_options(*, data_path, img_size, mean, std, split, allow_missing, cache_path, **flags):
    """Keyword arguments of `open_dataset` by flags of these names that have defaults; other flags are not looked at.

    Raises: InputError if mean and std make no sense
    """
    normalisation = normalisation_from_flags(mean, std) or HALF
    options = {"data_path": data_path, "img_size": img_size, "split": split, "allow_missing": allow_missing}
    options |= {"cache_path": cache_path, "mean": normalisation.mean, "std": normalisation.std}
    return options | reading_options(**flags)
