"""CelebA's folder as people have it: attribute table, partition, image folder; found, read, checked and written.

The layout is DATA/ or, as torchvision makes it, DATA/celeba/ with
    list_attr_celeba.txt     number of images, names of the attributes, then a row an image; or a .csv with a head
    list_eval_partition.txt  image and 0 train, 1 validation, 2 test; or a .csv with a head; only for that split
    img_align_celeba/        the images that the table names
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.common.errors import InputError, did_you_mean
from utils.datasets.tables import parse_rows, read_lines

ATTRIBUTES = tuple(
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair "
    "Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace "
    "Wearing_Necktie Young".split()
)
IMAGES = "img_align_celeba"
TABLE_FILES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
PARTITION_FILES = ("list_eval_partition.txt", "list_eval_partition.csv")


@dataclass(frozen=True)
class AttributeTable:
    """Attributes of images: `image_ids` (N,) str array, `names` of M columns, `labels` (N, M) uint8, 1 = has it."""

    image_ids: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray
    source: str = "the attribute table"  # for error messages

    def __post_init__(self):
        """Check that the parts fit each other."""
        if self.labels.shape != (len(self.image_ids), len(self.names)):
            raise ValueError(f"labels {self.labels.shape} for {len(self.image_ids)} images, {len(self.names)} names")

    def columns(self, attributes):
        """Labels (N, K) uint8 of some attributes, in their order. Raises: InputError if one is unknown or doubled."""
        attributes = tuple(attributes)
        if not attributes or len(set(attributes)) < len(attributes):
            raise InputError(f"attributes must be at least one and all different, got {' '.join(attributes) or 'none'}")
        for attribute in attributes:
            if attribute not in self.names:
                hint = did_you_mean(attribute, self.names) or f": choose among {', '.join(self.names)}"
                raise InputError(f"unknown attribute {attribute!r} in {self.source}{hint}")
        return np.ascontiguousarray(self.labels[:, [self.names.index(attribute) for attribute in attributes]])

    def rows(self, chosen):
        """Return the table of some rows (a slice, indices or a mask)."""
        return AttributeTable(self.image_ids[chosen], self.names, self.labels[chosen], self.source)


def read_attribute_table(folder):
    """Read list_attr_celeba.txt or .csv of a folder, values -1/1 or 0/1.

    Returns: AttributeTable
    Raises: InputError if folder or table is missing or the table is malformed (with the line number)
    """
    path = _need_file(folder, TABLE_FILES, "attribute table")
    if path.suffix == ".txt":
        (count, head), body = read_lines(path, 2)
        if not count.strip().isdecimal():
            raise InputError(
                f"line 1 of {path} is {count.strip()[:40]!r}, expected the number of images: fetch it again"
            )
        skip, names = 2, tuple(head.split())
    else:
        (head,), body = read_lines(path, 1)
        skip, names = 1, tuple(word.strip(' \t\r\n"') for word in head.split(","))[1:]
    if not names or len(set(names)) < len(names):
        raise InputError(f"{path} has no or doubled attribute names in line {skip}: fetch the table again")
    image_ids, values = parse_rows(path, body, skip, 1 + len(names), (-1, 0, 1))
    if path.suffix == ".txt" and int(count) != len(image_ids):
        raise InputError(
            f"line 1 of {path} promises {int(count):,} images, the table has {len(image_ids):,} rows: "
            "correct the number or fetch the table again"
        )
    _check_rows(path, image_ids)
    mixed = (values == -1).any(0) & (values == 0).any(0)  # 0 is then neither "has it not" nor anything known
    if mixed.any():
        raise InputError(f"column {names[mixed.argmax()]} of {path} mixes -1 and 0: code it either -1/1 or 0/1")
    return AttributeTable(image_ids, names, (values == 1).view(np.uint8), str(path))


def read_partition(folder, image_ids):
    """Official partition of some images, from list_eval_partition.txt or .csv.

    Args: image_ids: (N,) str array
    Returns: (N,) int8: 0 train, 1 validation, 2 test
    Raises: InputError if the file is missing or malformed, or lacks some of the images
    """
    path = _need_file(folder, PARTITION_FILES, "partition file")
    skip = int(path.suffix == ".csv")
    _, body = read_lines(path, skip)
    names, parts = parse_rows(path, body, skip, 2, (0, 1, 2))
    _check_rows(path, names)
    order = np.argsort(names, kind="stable")
    places = order[np.minimum(np.searchsorted(names, image_ids, sorter=order), len(names) - 1)]
    lost = names[places] != image_ids
    if lost.any():
        raise InputError(
            f"{lost.sum():,} of {len(image_ids):,} images are not in {path} (first: {image_ids[lost.argmax()]}): "
            "fetch the partition file again or pass --split released"
        )
    return parts[places, 0]


def find_image_folder(folder):
    """Folder that holds the images, absolute. Raises: InputError if there is none."""
    folder = check_folder(folder)
    for base in (folder, folder / "celeba"):
        for found in (base / IMAGES / IMAGES, base / IMAGES):  # some copies are zipped with the folder doubled
            if found.is_dir():
                return found.resolve()
    raise InputError(f"no image folder {IMAGES}/ in {folder}: put CelebA's aligned images there (see data/README.md)")


def images_present(image_folder, image_ids):
    """Which images the folder holds, by one listing of it: (N,) bool."""
    present = set(os.listdir(image_folder))
    return np.fromiter((name in present for name in image_ids.tolist()), bool, len(image_ids))


def missing_images_message(image_folder, image_ids, present):
    """One line on the images that are not there: `image_ids` (N,) str, `present` (N,) bool."""
    others = next((entry.name for entry in os.scandir(image_folder)), None)
    seen = f"; the folder holds files such as {others}" if others and not present.any() else ""
    return (
        f"{(~present).sum():,} of {len(image_ids):,} images are missing in {image_folder} "
        f"(first: {image_ids[present.argmin()]}{seen}): add them, or train with --allow_missing to use the others only"
    )


def write_tables(folder, table, partition=None):
    """Write a table, and if given a (N,) partition, in the official and the CSV form."""
    folder, ids = Path(folder), table.image_ids.tolist()
    signs = np.where(table.labels, 1, -1).tolist()
    with open(folder / TABLE_FILES[0], "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{len(ids)}\n{' '.join(table.names)}\n")
        file.writelines(
            f"{name} {' '.join(f'{sign:2d}' for sign in row)}\n" for name, row in zip(ids, signs, strict=True)
        )
    with open(folder / TABLE_FILES[1], "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"image_id,{','.join(table.names)}\n")
        file.writelines(f"{name},{','.join(map(str, row))}\n" for name, row in zip(ids, signs, strict=True))
    if partition is None:
        return
    for name, head, separator in zip(PARTITION_FILES, ("", "image_id,partition\n"), (" ", ","), strict=True):
        with open(folder / name, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(head)
            file.writelines(f"{image}{separator}{part}\n" for image, part in zip(ids, partition.tolist(), strict=True))


def check_folder(folder):
    """Return the folder as a path. Raises: InputError if it is not there."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"no folder {folder}: put CelebA there (see data/README.md), "
            f"or draw a set with python data/make_synthetic_celeba.py --out {folder}"
        )
    return folder


def find_file(folder, names):
    """First of some files that a folder, or celeba/ in it, holds; None if there is none. Raises: see `check_folder`."""
    folder = check_folder(folder)
    paths = [base / name for base in (folder, folder / "celeba") for name in names]
    return next((path for path in paths if path.is_file()), None)


def _need_file(folder, names, what):
    path = find_file(folder, names)
    if path is None:
        raise InputError(
            f"no {what} ({' or '.join(names)}) in {folder} or {Path(folder) / 'celeba'}: see data/README.md"
        )
    return path


def _check_rows(path, image_ids):
    if not len(image_ids):
        raise InputError(f"{path} has no rows: fetch it again")
    if (image_ids[:-1] < image_ids[1:]).all():  # sorted, as the official files are: nothing can be doubled
        return
    names, counts = np.unique(image_ids, return_counts=True)
    if counts.max() > 1:
        raise InputError(
            f"{path} names {(counts > 1).sum():,} images more than once (first: {names[counts.argmax()]}): "
            "keep one row for each"
        )
