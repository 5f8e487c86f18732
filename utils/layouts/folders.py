"""What a folder holds: CelebA's tables and image folder; of any folder all images below it, found by name."""

import os
import re
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np

from utils.common.errors import InputError
from utils.layouts.text import encoding_hint, shown

IMAGES = "img_align_celeba"
ENDINGS = frozenset("jpg jpeg jfif png bmp gif tif tiff webp pbm pgm ppm jp2 avif".split())
SAFE = re.compile(r"[\w-]+(\.[\w-]+)+", re.ASCII)  # most names: there is nothing to look at
NO_IMAGES = {"__MACOSX"}  # beside hidden folders
MOST_FILES = 20_000_000
MOST_SIGNS, MOST_BYTES = 1024, 1 << 32  # of a path; of all, as arrays in which each takes what the longest needs


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
    Raises: InputError if the folder cannot be listed, or two rows name one image
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
    twice, most = Counter(filter(None, names)).most_common(1)[0] if any(names) else ("", 1)
    if most > 1:
        raise InputError(f"{most} rows of the table name the image {shown(twice)}: keep one row for each")
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


def names_image(name):
    """Whether a name ends as those of image files do, in capital or small letters."""
    return name.rpartition(".")[2].lower() in ENDINGS and "." in name


def list_images(folder):
    """All image files below a folder, as sorted paths from there with "/": [str]. Links are followed, circles not.

    Raises: InputError if the folder is not there, cannot be listed, or holds too many files
    """
    folder, found, seen = str(check_folder(folder)), [], set()

    def refuse(error):
        raise InputError(f"cannot list {shown(error.filename)}: {error.strerror}; check its permissions") from None

    for base, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        status = os.stat(base)
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in NO_IMAGES)
        if (status.st_dev, status.st_ino) in seen:
            folders[:] = []
            continue
        seen.add((status.st_dev, status.st_ino))
        start = "" if base == folder else os.path.relpath(base, folder).replace(os.sep, "/") + "/"
        found += [start + name for name in files if name[0] != "." and names_image(name)]
        if len(found) > MOST_FILES:
            raise InputError(f"{folder} holds more than {MOST_FILES:,} images: name the folder of the data set")
    return sorted(found)


def safe_paths(names, source):
    """Paths from a stranger's file as "a/b.jpg", below the folder of its data set: [str].

    Args: source: the file that names them, for the error
    Raises: InputError if one is absolute, leads upwards, or is no path at all, or if they are too long
    """
    longest = max(map(len, names), default=0)
    if longest > MOST_SIGNS or 4 * longest * len(names) > MOST_BYTES:
        raise InputError(f"{source} names images by up to {longest:,} characters, at most {MOST_SIGNS:,}: is it right?")
    return [name if SAFE.fullmatch(name) else _safe_path(name, source) for name in names]


def _safe_path(name, source):
    name = name.strip()
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or name[0] in "/\\" or re.match("[A-Za-z]:", name) or ".." in parts or "\0" in name:
        named = f"the image {shown(name)}" if name else "an image with an empty name"
        raise InputError(f"{source} names {named}: write its path below the folder of the data set")
    return "/".join(parts)


class ImageFinder:
    """Finds images below a folder as tables name them; `files`: of `list_images`."""

    def __init__(self, folder, files=None):
        self.folder = Path(folder).resolve()
        self.files = list_images(folder) if files is None else files
        self._exact, self._forms, self._stems = set(self.files), None, None

    def find(self, names, source, folders=("",), is_others=None):
        """Paths of images below the folder: (N,) str array, empty where there is none.

        A name is a path from one of some `folders`, the first that has it, in any case of letters and form of accents;
        or else the name alone of a file, with or without its extension, that occurs once.
        Args:
            names: of `safe_paths`; source: what names them, for errors
            is_others: whether a file is not to be found by its name alone, as it belongs to others; None: none is
        Raises: InputError if a name occurs more than once, or two names lead to one file
        """
        found = [self._find(name, source, folders, is_others) for name in names]
        count, most = next(iter(Counter(filter(None, found)).most_common(1)), ("", 0))
        if most > 1:
            raise InputError(f"{source} names the image {shown(count)} {most} times: keep one row for each")
        return np.array(found, np.str_)

    def _find(self, name, source, folders, is_others):
        paths = [f"{folder}/{name}" if folder else name for folder in folders]
        for path in paths:
            if path in self._exact:
                return path
        if self._forms is None:
            self._forms, self._stems = {}, {}
            for file in self.files:
                form = _form(file)
                self._forms.setdefault(form, []).append(file)
                bare = form.rpartition("/")[2]
                for key in (bare, bare.rpartition(".")[0]):
                    self._stems.setdefault(key, []).append(file)
        candidates = next(filter(None, (self._forms.get(_form(path)) for path in paths)), None)
        if candidates is None and "/" not in name:
            candidates = [file for file in self._stems.get(_form(name), ()) if not (is_others and is_others(file))]
        if candidates and len(candidates) > 1:
            which = ", ".join(map(shown, candidates[:2]))
            raise InputError(
                f"{source} names the image {shown(name)}, which occurs {len(candidates)} times below {self.folder} "
                f"({which}): write its path"
            )
        return candidates[0] if candidates else ""


def _form(name):
    """A name that is the same in capital and small letters, and however its accents are composed."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFC", name).casefold()
