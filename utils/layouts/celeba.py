"""CelebA's folder as people have it: attribute table, partition, image folder; found, read, checked and written.

The layout is DATA/ or, as torchvision makes it, DATA/celeba/ with
    list_attr_celeba.txt     number of images, names of the attributes, then a row an image; or a .csv with a head
    list_eval_partition.txt  image and 0 train, 1 validation, 2 test; or a .csv with a head; only for that split
    img_align_celeba/        the images that the table names
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from utils.common.errors import InputError
from utils.layouts.attribute_table import AttributeTable
from utils.layouts.folders import IMAGES, composed, find_image_folder, find_images, need_files
from utils.layouts.tables import read_table
from utils.layouts.text import encoding_hint, shown, split_cells

ATTRIBUTES = tuple(
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair "
    "Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace "
    "Wearing_Necktie Young".split()
)
TABLE_FILES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
ONE_OF_TWO = "move the one away that is wrong"
PARTITION_FILES = ("list_eval_partition.txt", "list_eval_partition.csv")


@dataclass(frozen=True)
class CelebaTable(AttributeTable):
    """CelebA's table, whose images and partition are looked for when they are asked for: either may be absent."""

    base: Path | str = "."

    def located(self):
        """The table with the files of its images, by one listing. Raises: InputError if there is no image folder"""
        image_folder = find_image_folder(self.base)
        return replace(self, folder=image_folder, files=find_images(image_folder, self.image_ids))

    def parted(self, note):
        """The table with the official partition, as it is: there is nothing to `note`. Raises: see `read_partition`"""
        return replace(self, parts=read_partition(self.base, self.image_ids))


def read_attribute_table(folder):
    """Read list_attr_celeba.txt or .csv of a folder, values -1/1 or 0/1.

    Returns: CelebaTable
    Raises: InputError if folder or table is missing, the table is malformed (with the line number), or there are two
        that disagree
    """
    first, *others = [_read_attributes(path, folder) for path in need_files(folder, TABLE_FILES, "attribute table")]
    for other in others:
        _check_agreement(first.source, other.source, first.image_ids, other.image_ids)
        if first.names != other.names:
            raise InputError(f"{first.source} and {other.source} name other attributes: {ONE_OF_TWO}")
        unlike = first.labels != other.labels
        if unlike.any():
            row, column = np.argwhere(unlike)[0]
            what = f"image {shown(first.image_ids[row])}, {shown(first.names[column])}"
            raise InputError(
                f"{first.source} and {other.source} differ in {unlike.sum():,} labels (first: {what}): {ONE_OF_TWO}"
            )
    return first


def _read_attributes(path, folder):
    names, image_ids, values = read_table(path, (-1, 0, 1))
    _check_rows(path, image_ids)
    mixed = (values == -1).any(0) & (values == 0).any(0)  # 0 is then neither "has it not" nor anything known
    if mixed.any():
        raise InputError(f"column {shown(names[mixed.argmax()])} of {path} mixes -1 and 0: code it either -1/1 or 0/1")
    return CelebaTable(image_ids, names, (values == 1).view(np.uint8), str(path), base=folder)


def read_partition(folder, image_ids):
    """Official partition of some images, from list_eval_partition.txt or .csv.

    Args: image_ids: (N,) str array
    Returns: (N,) int8: 0 train, 1 validation, 2 test
    Raises: InputError if the file is missing or malformed, lacks some of the images, or there are two that disagree
    """
    paths = need_files(folder, PARTITION_FILES, "partition file")
    first, *others = [_partition_of(path, image_ids) for path in paths]
    for path, other in zip(paths[1:], others, strict=True):
        unlike = first != other
        if unlike.any():
            what = f"{unlike.sum():,} images (first: {shown(image_ids[unlike.argmax()])})"
            raise InputError(f"{paths[0]} and {path} differ in {what}: {ONE_OF_TWO}")
    return first


def _partition_of(path, image_ids):
    _, names, parts = read_table(path, (0, 1, 2), columns=1)
    _check_rows(path, names)
    places = pd.Index(names).get_indexer(image_ids)
    if (places < 0).any():
        forms = pd.Index(composed(names))
        if forms.is_unique:
            places = forms.get_indexer(composed(image_ids))
    lost = places < 0
    if lost.any():
        raise InputError(
            f"{lost.sum():,} of {len(image_ids):,} images are not in {path} "
            f"(first: {shown(image_ids[lost.argmax()])}{encoding_hint(names)}): add them there or pass --split released"
        )
    return parts[places, 0]


def write_tables(folder, table, partition=None):
    """Write a table, and if given a (N,) partition, in the official and the CSV form.

    In the official form blanks part the names of the attributes: the CSV stands alone where names have some.
    """
    folder, ids = Path(folder), table.image_ids.tolist()
    signs = np.where(table.labels, 1, -1).tolist()
    for name in TABLE_FILES[: all(split_cells(name) == [name] for name in table.names)]:
        with open(folder / name, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{len(ids)}\n{' '.join(table.names)}\n")
            file.writelines(
                f"{name} {' '.join(f'{sign:2d}' for sign in row)}\n" for name, row in zip(ids, signs, strict=True)
            )
    with open(folder / TABLE_FILES[1], "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"image_id,{','.join(map(_cell, table.names))}\n")
        file.writelines(f"{_cell(name)},{','.join(map(str, row))}\n" for name, row in zip(ids, signs, strict=True))
    if partition is None:
        return
    for name, head, separator in zip(PARTITION_FILES, ("", "image_id,partition\n"), (" ", ","), strict=True):
        with open(folder / name, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(head)
            cells = map(_cell, ids) if separator == "," else ids
            file.writelines(
                f"{image}{separator}{part}\n" for image, part in zip(cells, partition.tolist(), strict=True)
            )


def _cell(name):
    """A name as a cell of a CSV."""
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',;"') else name


def _check_rows(path, image_ids):
    names = image_ids.tolist()
    outside = next((name for name in names if "/" in name or "\\" in name or name in (".", "..")), None)
    if outside is not None:
        raise InputError(f"{path} names the image {shown(outside)}: write the name of a file in {IMAGES}/, no path")
    if (image_ids[:-1] < image_ids[1:]).all():  # sorted, as the official files are: nothing can be doubled
        return
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        doubled = sum(count > 1 for count in Counter(names).values())
        raise InputError(
            f"{path} names {doubled:,} images more than once (first: {shown(name)}): keep one row for each"
        )


def _check_agreement(path, other, names, others):
    if len(names) != len(others) or (names != others).any():
        raise InputError(f"{path} and {other} name other images, or in another order: {ONE_OF_TWO}")
