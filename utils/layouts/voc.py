"""PASCAL VOC's layout: one year, or several below VOCdevkit/.

    DIR/VOC2007/Annotations/000001.xml        the objects of an image: a name each, perhaps marked as difficult
    DIR/VOC2007/JPEGImages/000001.jpg
    DIR/VOC2007/ImageSets/Main/train.txt      names without their ends; val, trainval and test likewise

DIR may also be the VOCdevkit/ or the year itself. An image has a name if one of its objects has it.
"""

from pathlib import Path

import numpy as np
from defusedxml import DefusedXmlException, ElementTree
from tqdm import tqdm

from utils.common.errors import InputError
from utils.layouts.attribute_table import NO_PART, TEST, TRAIN, VALID, AttributeTable, check_size, shuffled
from utils.layouts.folders import list_images, safe_paths
from utils.layouts.text import file_size, read_text, shown

ANNOTATIONS, IMAGE_FOLDER, SETS = "Annotations", "JPEGImages", "ImageSets/Main"
SET_FILES = {"trainval": TRAIN, "train": TRAIN, "val": VALID, "test": TEST}  # val wins over trainval
MOST_XML = 1 << 24  # bytes of one annotation


def find_years(folder):
    """Folders with Annotations/ of XML files: the folder itself, or those in it or in its VOCdevkit/, sorted."""
    folder = Path(folder)
    if _is_year(folder):
        return [folder]
    for base in (folder, folder / "VOCdevkit"):
        years = [path for path in sorted(base.iterdir()) if _is_year(path)] if base.is_dir() else []
        if years:
            return years
    return []


def _is_year(folder):
    annotations = folder / ANNOTATIONS
    return annotations.is_dir() and next(annotations.glob("*.[xX][mM][lL]"), None) is not None


def read_voc(folder, difficult=True, **_):
    """Read the annotations of all years, rows in a fixed, shuffled order.

    Args: difficult: whether objects that are marked so count
    Returns: AttributeTable
    Raises: InputError that names the file which is no annotation, or the image that is in two parts, or that two
        annotations are of
    """
    folder, rows, parts = Path(folder), [], []
    images, years = list_images(folder), find_years(folder)
    if not years:
        raise InputError(f"{folder} has no {ANNOTATIONS}/ of .xml files, nor has a folder in it: see data/README.md")
    by_stem, taken = {}, {}
    for file in images:
        by_stem.setdefault(file.rpartition(".")[0], []).append(file)
    for year in years:
        files = sorted(path for path in (year / ANNOTATIONS).iterdir() if path.suffix.lower() == ".xml")
        sets = _read_sets(year)
        base = "" if year == folder else year.relative_to(folder).as_posix()
        for path in tqdm(files, desc=f"read {year.name}", unit="xml", disable=None, leave=False):
            name, objects = read_annotation(path)
            where = "/".join(filter(None, [base, IMAGE_FOLDER]))
            named = f"{where}/{name or path.stem}"
            file = _find_image(by_stem, f"{where}/{path.stem}", named, path)
            if file and taken.setdefault(file, path) != path:
                cure = "each image takes one annotation of its name: correct <filename>, or take one away"
                raise InputError(f"{taken[file]} and {path} are both of {shown(file)}: {cure}")
            rows.append((file or named, file, {one for one, hard in objects if difficult or not hard}))
            parts.append(sets.get(path.stem, NO_PART) if sets else None)
    return _make_table(folder, rows, parts)


def _find_image(by_stem, own, named, path):
    """The image of an annotation as a path below the folder, "" if there is none.

    The annotation's own name, by which the sets know it, comes before the one that it holds: copies keep the old one.
    Args: by_stem: {path without its end: files}; own: as the annotation is called; named: the file that it names
    """
    files = by_stem.get(own, [])
    file = next((file for file in (f"{own}.jpg", named) if file in files), files[0] if len(files) == 1 else "")
    if files and not file:
        cure = "take one away, or name one in <filename>"
        raise InputError(f"{path} may be of {' or '.join(map(shown, files))}: {cure}")
    return file or (named if named in by_stem.get(named.rpartition(".")[0], []) else "")


def _make_table(folder, rows, parts):
    names = sorted(set().union(*(objects for _, _, objects in rows)))
    if not names:
        raise InputError(f"the annotations of {folder} name no object: is it the right folder?")
    check_size(len(rows), len(names), folder)
    places, labels = {name: place for place, name in enumerate(names)}, np.zeros((len(rows), len(names)), np.uint8)
    for row, (_, _, objects) in enumerate(rows):
        labels[row, [places[name] for name in objects]] = 1
    ids, files = (np.array(column, np.str_) for column in list(zip(*rows, strict=True))[:2])
    parted = any(part is not None for part in parts)
    parts = np.array([NO_PART if part is None else part for part in parts], np.int8) if parted else None
    kept = {"folder": folder.resolve(), "files": files, "parts": parts}
    return AttributeTable(ids, tuple(names), labels, str(folder), "voc", **kept).rows(shuffled(len(ids)))


def read_annotation(path):
    """What an annotation says: (name of the image or None, [(name of an object, is it difficult)]).

    Raises: InputError if it is no annotation, too large, or holds entities or a path out of its folder
    """
    try:
        size = file_size(path)
        if size > MOST_XML:
            raise InputError(f"{path} has {size / 1e6:,.0f} MB, an annotation at most {MOST_XML / 1e6:.0f}: is it one?")
        root = ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    except DefusedXmlException as error:
        what = f"an entity or a document type ({type(error).__name__})"
        raise InputError(f"{path} holds {what}, which no annotation needs: take it out") from None
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise InputError(f"{path} is no XML ({shown(error)}): fetch it again, or take it away") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the file and its permissions") from None
    objects = []
    for found in root.findall("object"):
        name = (found.findtext("name") or "").strip()  # not of its parts, which have names, too
        if not name:
            raise InputError(f"{path} has an object without a name: name it, or take it out")
        objects.append((name, (found.findtext("difficult") or "0").strip().lower() in ("1", "true")))
    named = (root.findtext("filename") or "").strip()
    return (safe_paths([named], path)[0].rpartition("/")[2] if named else None), objects


def _read_sets(year):
    """{name: part} of the files in ImageSets/Main; empty without them."""
    found = {}
    for word, part in SET_FILES.items():
        path = year / SETS / f"{word}.txt"
        if not path.exists():
            continue
        lines = (line.split() for line in read_text(path).decode("utf-8", "surrogateescape").splitlines())
        for name in (words[0] for words in lines if words):
            before, other = found.get(name, (part, word))
            if before != part and not (other == "trainval" and word == "val"):
                raise InputError(f"{path} has {shown(name)}, which {other}.txt has, too: leave it in one of them")
            found[name] = part, word
    return {name: part for name, (part, _) in found.items()}
