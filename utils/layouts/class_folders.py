"""A folder for each class, as torchvision's ImageFolder reads them, perhaps below train/, val/ and test/.

    DIR/dog/a.jpg     or   DIR/train/dog/a.jpg
    DIR/cat/x/b.png        DIR/val/cat/b.jpg

Each class is a column, so an image has exactly one of the names.
"""

from pathlib import Path

import numpy as np

from utils.common.errors import InputError, warn
from utils.layouts.attribute_table import PART_WORDS, AttributeTable, check_size, shuffled
from utils.layouts.folders import list_images
from utils.layouts.text import shown


def find_classes(files):
    """What a folder's image files say as class folders.

    Args: files: of `list_images`
    Returns: [(file, name of its class, its part or None)]; only what lies below train/ and so on, if there is such
    """
    paths = [(file, file.split("/")) for file in files]
    parted = [(file, path[1], PART_WORDS[path[0].lower()]) for file, path in paths if _is_parted(path)]
    return parted or [(file, path[0], None) for file, path in paths if len(path) > 1]


def _is_parted(path):
    return len(path) > 2 and path[0].lower() in PART_WORDS


def read_class_folders(folder, **_):
    """Read class folders into an AttributeTable, rows in a fixed, shuffled order. Raises: InputError below 2 classes"""
    images = list_images(folder)
    found = find_classes(images)
    if found and found[0][2] is not None and len(found) < len(images):
        used = {file for file, _, _ in found}
        first = next(file for file in images if file not in used)
        text = (
            f"left out {len(images) - len(found):,} of {len(images):,} images in {folder}, which are in no class folder"
        )
        warn(f"{text} below train/, val/ or test/ (first: {shown(first)})")
    names = sorted({name for _, name, _ in found})
    if len(names) < 2:
        raise InputError(
            f"{folder} holds images of {len(names)} classes: lay those of each class into a folder of its name, "
            "of at least two, below train/, val/ and test/ if there is a split"
        )
    check_size(len(found), len(names), folder)
    places, labels = {name: place for place, name in enumerate(names)}, np.zeros((len(found), len(names)), np.uint8)
    labels[np.arange(len(found)), [places[name] for _, name, _ in found]] = 1
    files = np.array([file for file, _, _ in found], np.str_)
    parts = None if found[0][2] is None else np.array([part for _, _, part in found], np.int8)
    kept = {"folder": Path(folder).resolve(), "files": files, "parts": parts}
    table = AttributeTable(files, tuple(names), labels, str(folder), "folders", **kept)
    return table.rows(shuffled(len(files)))
