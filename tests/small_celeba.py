"""Folders of a few drawn images in CelebA's layout, and opening them."""

import numpy as np
from PIL import Image

from utils.datasets.dataset import open_dataset
from utils.layouts.attribute_table import AttributeTable
from utils.layouts.celeba import write_tables

NAMES = ("Bald", "Smiling", "Young")
LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1]], np.uint8)


def make_folder(folder, labels=LABELS, extension="jpg", table="txt", images="img_align_celeba", partition=None):
    """Write a folder of noise images 20 x 30, kept in one table form; returns it."""
    folder.mkdir(exist_ok=True, parents=True)
    ids = np.array([f"{row + 1:06d}.{extension}" for row in range(len(labels))])
    write_tables(folder, AttributeTable(ids, NAMES, labels), partition)
    (folder / f"list_attr_celeba.{'csv' if table == 'txt' else 'txt'}").unlink()
    (folder / images).mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ids:
        Image.fromarray(random.integers(0, 256, (30, 20, 3), np.uint8)).save(folder / images / name)
    return folder


def open_small(folder, attributes=("Bald", "Smiling"), **options):
    return open_dataset(folder, attributes, **{"img_size": 16, "cache_path": None, "split": "all", **options})
