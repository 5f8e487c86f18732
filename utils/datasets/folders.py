"""What a folder in CelebA's layout holds: its tables, its image folder, which of the images are there."""

import os
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np

from utils.common.errors import InputError
from utils.datasets.text import encoding_hint, shown

IMAGES = "img_align_celeba"


def check_folder(folder):
    """Return the folder as a path. Raises: InputError if it is not there."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"no folder {folder}: put CelebA there (see data/README.md), "
            f"or draw a set with python data/make_synthetic_celeba.py --out {folder}"
        )
    return folder


def find_files(folder, names):
    """Those of some files that a folder, or else celeba/ in it, holds, in their order. Raises: see `check_folder`."""
    folder = check_folder(folder)
    found = [[base / name for name in names if (base / name).is_file()] for base in (folder, folder / "celeba")]
    return found[0] or found[1]


def need_files(folder, names, what):
    """As `find_files`; `what` says what they are. Raises: InputError if there is none."""
    paths = find_files(folder, names)
    if not paths:
        raise InputError(
            f"no {what} ({' or '.join(names)}) in {folder} or {Path(folder) / 'celeba'}: see data/README.md"
        )
    return paths


def composed(names):
    """Names as [str] in the composed Unicode form."""
    return [unicodedata.normalize("NFC", name) for name in names]


def find_image_folder(folder):
    """Folder that holds the images, absolute. Raises: InputError if there is none."""
    folder = check_folder(folder)
    for base in (folder, folder / "celeba"):
        for found in (base / IMAGES / IMAGES, base / IMAGES):  # some copies are zipped with the folder doubled
            if found.is_dir():
                return found.resolve()
    raise InputError(f"no image folder {IMAGES}/ in {folder}: put CelebA's aligned images there (see data/README.md)")


def find_images(image_folder, image_ids):
    """Names of the files of some images, by one listing of the folder: (N,) str array, empty where there is none.

    A name whose accents are composed otherwise (as macOS does) is the same name.
    Raises: InputError if the folder cannot be listed
    """
    try:
        files = os.listdir(image_folder)
    except OSError as error:
        raise InputError(f"cannot list {image_folder}: {error.strerror}; check its permissions") from None
    there = set(files)
    names = [name if name in there else "" for name in image_ids.tolist()]
    if "" in names:
        others = [name for name in files if not name.isascii()]
        forms, counts = dict(zip(composed(others), others, strict=True)), Counter(composed(others))
        for place, (name, form) in enumerate(zip(names, composed(image_ids), strict=True)):
            if not name and counts[form] == 1:
                names[place] = forms[form]
    return np.array(names, np.str_)


def missing_images_message(image_folder, image_ids, present):
    """One line on the images that are not there: `image_ids` (N,) str, `present` (N,) bool."""
    others = next((entry.name for entry in os.scandir(image_folder)), None)
    seen = f"; the folder holds files such as {shown(others)}" if others and not present.any() else ""
    first = str(image_ids[present.argmin()])
    seen += encoding_hint([first])
    return (
        f"{(~present).sum():,} of {len(image_ids):,} images are missing in {image_folder} "
        f"(first: {shown(first)}{seen}): add them, or train with --allow_missing to use the "
        "others only"
    )
