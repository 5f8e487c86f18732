"""The table of images by names that every layout is read into: nothing else in the house knows which layout it was."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from utils.common.errors import InputError, did_you_mean
from utils.layouts.text import shown

SPLITS = ("released", "official", "all")
UNKNOWN = 255  # the label of a cell that says neither yes nor no
TRAIN, VALID, TEST, NO_PART = 0, 1, 2, -1
PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}
PART_WORDS = {  # how people call the parts of a split
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALID),
    **dict.fromkeys(("test", "testing"), TEST),
}
MOST_NAMES, MOST_BYTES = 20_000, 1 << 32  # of a table
MOST_SHOWN = 60  # names in an error


@dataclass(frozen=True)
class AttributeTable:
    """Names of images, with a label for each pair.

    image_ids: (N,) str array; names: of M columns; labels: (N, M) uint8, 1 = has it, 0 = has it not, or UNKNOWN
    source: of the table, for error messages; layout: its name
    folder: absolute, that `files` lie below; files: (N,) str array, "" where there is no image; None: not looked for
    parts: (N,) int8, TRAIN, VALID, TEST or NO_PART; None: the layout says nothing of a split
    refused: {column that is not offered as a name: why}
    """

    image_ids: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray
    source: str = "the attribute table"
    layout: str = "celeba"
    folder: Path | None = None
    files: np.ndarray | None = None
    parts: np.ndarray | None = None
    refused: dict = field(default_factory=dict)

    def __post_init__(self):
        """Check that the parts fit each other."""
        if self.labels.shape != (len(self.image_ids), len(self.names)):
            raise ValueError(f"labels {self.labels.shape} for {len(self.image_ids)} images, {len(self.names)} names")

    @property
    def own_split(self):
        """The --split of who passes none: "official" if the layout has parts of its own, else "released"."""
        return "released" if self.parts is None else "official"

    def columns(self, attributes, skip_unknown=False):
        """Labels (N, K) uint8 of some attributes, in their order.

        Args: skip_unknown: let UNKNOWN labels pass
        Raises: InputError if an attribute is absent or doubled, or a label of it is not known
        """
        attributes = tuple(attributes)
        if not attributes or len(set(attributes)) < len(attributes):
            raise InputError(f"attributes must be at least one and all different, got {' '.join(attributes) or 'none'}")
        for attribute in attributes:
            if attribute in self.refused:
                raise InputError(self.refused[attribute])
            if attribute not in self.names:
                hint = did_you_mean(attribute, self.names) or f": choose among {name_some(self.names)}"
                raise InputError(f"unknown attribute {attribute!r} in {self.source}{hint}")
        labels = np.ascontiguousarray(self.labels[:, [self.names.index(attribute) for attribute in attributes]])
        unknown = labels == UNKNOWN
        if not skip_unknown and unknown.any():
            row, column = np.argwhere(unknown)[0]
            where = f"row {row + 1:,} ({shown(self.image_ids[row])}) of {self.source}"
            what = f"no label in column {shown(attributes[column])} (an empty cell, or 0 among -1 and 1)"
            cure = "fill it, or leave such rows out by --unknown_labels skip"
            raise InputError(f"{where} has {what}, and {unknown.any(1).sum() - 1:,} more rows: {cure}")
        return labels

    def rows(self, chosen):
        """Return the table of some rows (a slice, indices or a mask)."""
        given = {name: getattr(self, name) for name in ("image_ids", "labels", "files", "parts")}
        return replace(self, **{name: rows[chosen] for name, rows in given.items() if rows is not None})

    def located(self):
        """The table with `folder` and `files`. Raises: InputError if there is no folder of images"""
        return self

    def parted(self, note):
        """The table with `parts`; without a test part the validation part is it.

        Args: note: called with a line on what was done
        Raises: InputError if the layout has none
        """
        if self.parts is None:
            cure = "pass --split released, or lay the images (or a split column) out in train, val and test"
            raise InputError(f"{self.source} has no split of its own: {cure}")
        stray = self.parts == NO_PART
        if stray.any():
            note(f"left out {stray.sum():,} of {len(stray):,} table rows, which are in no part of the split")
        if (self.parts == VALID).any() and not (self.parts == TEST).any():
            note("there is no test part: the validation part is the test part, choices are made on training images")
            return replace(self, parts=np.where(self.parts == VALID, TEST, self.parts))
        return self

    def split_rows(self, split, note=print):
        """Rows of each part of a split, {"train": (n,) int64, "test", and with the official one "valid"}.

        Args: split: one of SPLITS; note: called with a line on what was done
        Raises: InputError if train or test would be empty, or the layout has no such split
        """
        count = len(self.image_ids)
        if split == "official":
            parts = self.parted(note).parts
            rows = {part: np.flatnonzero(parts == code) for part, code in PARTS.items()}
        elif split == "released":
            rows = {"train": np.arange(int(0.75 * count)), "test": np.arange(int(0.75 * count), count)}
        else:
            rows = {"train": np.arange(count), "test": np.arange(count)}
        for part in ("train", "test"):
            if not len(rows[part]):
                raise InputError(
                    f"no {part} images: the split {split!r} of {count:,} images leaves that part empty; "
                    "use more images (--limit) or another --split"
                )
        return rows


def name_some(names):
    """Names joined for an error: all of few, the first of many and how many there are."""
    first = ", ".join(map(shown, names[:MOST_SHOWN]))
    return first if len(names) <= MOST_SHOWN else f"{first}, … ({len(names):,} in all)"


def check_size(rows, names, source):
    """Refuse a table of so many `rows` and `names` that would fill the memory. Raises: InputError"""
    if names > MOST_NAMES or rows * names > MOST_BYTES:
        most = f"at most {MOST_NAMES:,} names, and {MOST_BYTES:,} labels"
        raise InputError(f"{source} gives {names:,} names to {rows:,} images, {most}: leave out the rare ones")


def shuffled(count):
    """A fixed order of so many rows, (N,) int64: for folders that are sorted by class, of which no share is fair."""
    return np.random.default_rng(0).permutation(count)
