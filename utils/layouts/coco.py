"""COCO's layout: annotations of objects in one JSON file for each part, images in folders beside it.

    DIR/annotations/instances_train2017.json    {"images": […], "annotations": […], "categories": […]}
    DIR/train2017/000000000009.jpg              or images/train2017/…, or images/…, or anywhere below DIR

An image has the name of a category if one of its annotations is of it; the part is in the file's name.
"""

import gc
import json
import re
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from utils.common.errors import InputError, no_memory
from utils.layouts.attribute_table import NO_PART, PART_WORDS, AttributeTable, check_size, shuffled
from utils.layouts.folders import ImageFinder, safe_paths
from utils.layouts.text import file_size, shown

ANNOTATIONS, PATTERN = "annotations", "instances_*.json"
MOST_JSON = 1 << 31  # bytes of one file
OUTLINE = re.compile(rb'"segmentation"\s*:\s*\[[][\s\d.,eE+-]*\]')  # most of a file, and not asked for
WORDS = PART_WORDS | {"minitrain": 0, "minival": 1, "testdev": 2}


def find_instances(folder):
    """Paths of the files of annotations of a folder, sorted."""
    folder = Path(folder) / ANNOTATIONS
    return sorted(folder.glob(PATTERN)) if folder.is_dir() else []


def read_coco(folder, **_):
    """Read all files of annotations, rows in a fixed, shuffled order.

    Returns: AttributeTable
    Raises: InputError that says what in which file is not as it should be, or which image is in two
    """
    folder, files = Path(folder), find_instances(folder)
    if not files:
        raise InputError(f"{folder} has no {ANNOTATIONS}/{PATTERN}: see data/README.md")
    finder, read = ImageFinder(folder), [read_instances(path) for path in files]
    names = sorted(set().union(*(names for _, names, _ in read)))
    check_size(sum(len(ids) for ids, _, _ in read), len(names), folder)
    places, labels = {name: place for place, name in enumerate(names)}, []
    for _, own, has in read:
        columns = np.array([places[name] for name in own], np.int64)
        labels.append(np.zeros((len(has), len(names)), np.uint8))
        labels[-1][:, columns] = has
    found, parts, wholes = [], [], [path.stem.partition("_")[2] for path in files]
    for path, whole, (ids, _, _) in zip(files, wholes, read, strict=True):
        word, part, others = _word_of(whole), _part_of(whole), {*wholes} - {whole}
        folders = (whole, f"images/{whole}", "images", word, f"images/{word}", "")
        found.append(finder.find(ids, path, folders, partial(_is_of_others, part=part, others=others)))
        parts.append(np.full(len(ids), part, np.int8))
    ids, there, parts = np.concatenate([ids for ids, _, _ in read]), np.concatenate(found), np.concatenate(parts)
    ids = np.where(there == "", ids, there)
    _check_once(folder, ids)
    kept = {"folder": folder.resolve(), "files": there}
    kept["parts"] = parts if (parts != NO_PART).any() else None
    table = AttributeTable(ids, tuple(names), np.concatenate(labels), str(folder / ANNOTATIONS), "coco", **kept)
    return table.rows(shuffled(len(ids)))


def _word_of(name):
    return re.match("[A-Za-z]*", name)[0]


def _part_of(name):
    return WORDS.get(_word_of(name).lower(), NO_PART)


def _is_of_others(file, part, others):
    """Whether a file lies in a folder of another part than `part`, or of one of the `others`, files of annotations."""
    folders = file.split("/")[:-1] if part != NO_PART else []
    return any(name in others or _part_of(name) not in (part, NO_PART) for name in folders)


def _check_once(folder, ids):
    names, counts = np.unique(ids, return_counts=True)
    if len(names) < len(ids):
        first = shown(names[counts.argmax()])
        raise InputError(f"{folder / ANNOTATIONS} has {first} more than once: leave it in one of the files")


@contextmanager
def _without_collection():
    """Leave out the search for circles while millions of objects are made, which takes most of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collection()
def read_instances(path):
    """What a file of annotations says.

    Returns: names of the images (N,) str array; of the M categories, [str]; whether an image has one, (N, M) bool
    Raises: InputError if it is no such file
    """
    content = _load(path)
    try:
        images = {image["id"]: image["file_name"] for image in content["images"]}
        categories = {category["id"]: category["name"].strip() for category in content["categories"]}
        pairs = [(one["image_id"], one["category_id"]) for one in content["annotations"]]
        counts = len(content["images"]), len(content["categories"])
        names, ids = list(categories.values()), safe_paths([str(name) for name in images.values()], path)
    except (KeyError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {shown(error)}"
        raise InputError(f"{path} is no file of instances as COCO has them ({what}): see data/README.md") from None
    if (len(images), len(categories)) != counts or len(set(names)) < len(names) or "" in names:
        raise InputError(f"{path} has an id of an image or a category twice, or a name of a category: make them unique")
    if not images or not categories:
        raise InputError(f"{path} has {len(images)} images and {len(categories)} categories: is it the right file?")
    check_size(len(images), len(categories), path)
    rows = {one: row for row, one in enumerate(images)}
    columns = {one: column for column, one in enumerate(categories)}
    try:
        at = np.fromiter((rows[image] for image, _ in pairs), np.int64, len(pairs))
        of = np.fromiter((columns[category] for _, category in pairs), np.int64, len(pairs))
    except (KeyError, TypeError) as error:
        what = f"an annotation of the image or category {shown(error)}"
        raise InputError(f"{path} has {what}, which it does not list: list it, or take it out") from None
    has = np.zeros((len(images), len(categories)), bool)
    has[at, of] = True
    return np.array(ids, np.str_), names, has


def _load(path):
    try:
        size = file_size(path)
        if size > MOST_JSON:
            raise InputError(f"{path} has {size / 1e6:,.0f} MB, at most {MOST_JSON / 1e6:,.0f}: leave out the outlines")
        text = OUTLINE.sub(b'"segmentation":0', path.read_bytes())
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        if no_memory(error):
            raise
        reason = "nested too deeply" if isinstance(error, RecursionError) else shown(error)
        raise InputError(f"{path} is no JSON ({reason}): fetch it again, or save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the file and its permissions") from None
