"""A table of one's own with a row an image: a column of images, columns of labels, perhaps a split, perhaps tags.

DIR/labels.csv    file,dog,person,split      or   file,tags
                  a.jpg,1,0,train                 a.jpg,dog|person
DIR/…/a.jpg       anywhere below DIR
"""

import csv
import io
import re
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from utils.common.errors import InputError, did_you_mean
from utils.layouts.attribute_table import PART_WORDS, UNKNOWN, AttributeTable, check_size, name_some
from utils.layouts.folders import ImageFinder, names_image, safe_paths
from utils.layouts.text import NO_LABEL, numbers_by_text, read_text, shown

SUFFIXES = (".csv", ".tsv")
YES_NO = {"true": 1, "yes": 1, "t": 1, "y": 1, "false": 0, "no": 0, "f": 0, "n": 0}
MEANINGS = YES_NO | numbers_by_text((-1, 0, 1))
SEPARATORS = ",;\t|"
SPLIT = "split"
MOST_COLUMNS = 20_000


def find_csvs(folder):
    """Names of the tables that lie in a folder itself, sorted: [str]."""
    files = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
    return [path.name for path in files if path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()]


def read_csv(folder, table=None, image_column=None, names_column=None, names_separator=None, **_):
    """Read a table of images below a folder.

    Args:
        table: its path below the folder; None: the only .csv or .tsv in it
        image_column: the column of images; None: the only one whose cells are names of image files
        names_column: a column that holds the names an image has, parted by names_separator ("|"); None: there is none
    Returns: AttributeTable
    Raises: InputError with row and column for what has no one meaning
    """
    path = _find_table(folder, table)
    columns, cells = _read_cells(path)
    image_column = _choose_image_column(path, columns, cells, image_column)
    ids = safe_paths(_texts(cells[image_column]), path)
    files = ImageFinder(folder).find(ids, path, ("", *_folder_of(table)))
    ids = np.array(ids, np.str_)
    others = {name: cells[name] for name in columns if name != image_column and name}
    split = next((name for name in others if name.casefold() == SPLIT), None)
    parts = None if split is None else _read_parts(path, split, others.pop(split), ids)
    tags = {}
    if names_column is not None:
        _check_column(path, [*others], names_column, "--names_column")
        tags = _read_names(path, names_column, others.pop(names_column), names_separator or "|")
    labels, refused = {}, {}
    for name, column in others.items():
        values, why = _read_labels(path, name, column, ids)
        (refused if values is None else labels)[name] = why if values is None else values
    both = next((name for name in tags if name in labels), None)
    if both is not None:
        raise InputError(f"{path} has a column {shown(both)}, which a cell of {names_column} names too: rename one")
    labels |= tags
    if not labels:
        why = next(iter(refused.values()), "there is no further column")
        raise InputError(
            f"{path} has no column of 0 and 1 ({why}): add one, or name a column of tags by --names_column"
        )
    check_size(len(ids), len(labels), path)
    refused = {name: why for name, why in refused.items() if name not in labels}
    where = {"folder": Path(folder).resolve(), "files": files, "parts": parts}
    labels, names = np.stack(list(labels.values()), 1), tuple(labels)
    return AttributeTable(ids, names, labels, str(path), "csv", refused=refused, **where)


def _folder_of(table):
    base = (table or "").replace("\\", "/").rpartition("/")[0]
    return [base] if base else []


def _find_table(folder, table):
    """Path of the table. Raises: InputError if it is not there, or it is not known which one is meant."""
    there = find_csvs(folder)
    if table is not None:
        path = Path(folder) / safe_table(table)
        if not path.is_file():
            hint = did_you_mean(table, there) or f": there are {name_some(there) or 'no tables'}"
            raise InputError(f"--table {shown(table)}: no such file in {folder}{hint}")
        return path
    if len(there) != 1:
        what = f"{len(there)} tables ({name_some(there)})" if there else "no table (.csv, .tsv)"
        raise InputError(f"{folder} holds {what}: name one by --table")
    return Path(folder) / there[0]


def safe_table(name):
    """The path of a table below its folder, with "/". Raises: InputError if it leads elsewhere"""
    parts = name.replace("\\", "/").split("/")
    if not name.strip() or parts[0] == "" or ".." in parts or re.match("[A-Za-z]:", name):
        raise InputError(f"--table {shown(name)}: write its path below --data_path, without '..'")
    return "/".join(parts)


def _read_cells(path):
    """(names of the columns, {name: categorical of text without blanks around it}) of a table, as texts."""
    text = read_text(path)
    first = next((line for line in text.split(b"\n") if line.strip()), b"").decode("utf-8", "replace")
    counts = {sign: first.count(sign) for sign in SEPARATORS}
    sign = max(counts, key=counts.get)
    rows = csv.reader(io.StringIO(text[: 1 << 22].decode("utf-8", "replace")), delimiter=sign, skipinitialspace=True)
    columns = []
    with suppress(csv.Error):
        columns = [name.strip() for name in next((row for row in rows if any(map(str.strip, row))), [])]
    named = [name for name in columns if name]
    twice = next((name for name in named if named.count(name) > 1), None) if len(named) <= MOST_COLUMNS else named[0]
    if not counts[sign] or len(named) < 2 or twice is not None or "\ufffd" in "".join(columns):
        found = f"a column {shown(twice)} twice, or too many" if twice else f"the columns {name_some(columns)!r}"
        cure = "its first line must name each column, in UTF-8, parted by commas, semicolons or tabs"
        raise InputError(f"line 1 of {path} has {found}: {cure}")
    image = next(filter(names_image, columns), None)
    if image is not None:
        raise InputError(f"line 1 of {path} holds the image {shown(image)}, but must name the columns: write it above")
    form = {"sep": sign, "header": 0, "names": range(len(columns)), "index_col": False, "na_filter": False}
    form |= {"skipinitialspace": True, "dtype": object, "encoding_errors": "surrogateescape"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of a first row that is longer than the head
            cells = pd.read_csv(io.BytesIO(text), **form)
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:  # pandas says in which line
        reason = " ".join(str(error).split())[-160:]
        raise InputError(
            f"{path} is no regular table ({shown(reason)}): give each row a cell for each column"
        ) from None
    if not len(cells):
        raise InputError(f"{path} has no rows: add a line for each image")
    _check_widths(path, text, sign, columns)
    return columns, {name: _categorical(cells[place].array) for place, name in enumerate(columns)}


def _check_widths(path, text, sign, columns):
    """Refuse a row without a cell for each named column, which pandas fills up: perhaps the file is cut off."""
    width = max(place for place, name in enumerate(columns, 1) if name)
    lines = io.TextIOWrapper(io.BytesIO(text), "utf-8", "replace", newline="")
    rows = (row for row in csv.reader(lines, delimiter=sign, skipinitialspace=True) if any(map(str.strip, row)))
    try:
        for number, row in enumerate(rows):
            if len(row) < width:
                what = f"row {number:,} ({shown(row[0].strip())}) of {path} has {len(row)} of {width} cells"
                raise InputError(f"{what}: write each, also those that are empty, or fetch the file again")
    except csv.Error as error:
        raise InputError(f"{path} is no regular table ({shown(error)}): name the right file") from None


def _texts(column):
    """The cells of a categorical column, [str]."""
    texts = column.cat.categories.tolist()
    return [texts[code] for code in column.cat.codes.tolist()]


def _categorical(column):
    """A column of texts as a categorical of those texts without the blanks around them."""
    codes, texts = pd.factorize(column)
    stripped = [text.strip() for text in texts]
    places = {text: place for place, text in enumerate(dict.fromkeys(stripped))}
    if len(places) < len(texts):
        codes = np.array([places[text] for text in stripped])[codes]
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(list(places), dtype=object), validate=False))


def _check_column(path, columns, name, flag):
    if name not in columns:
        hint = did_you_mean(name, columns) or f": the columns are {name_some(columns)}"
        raise InputError(f"{flag} {shown(name)}: no such column in {path}{hint}")


def _choose_image_column(path, columns, cells, given):
    if given is not None:
        _check_column(path, columns, given, "--image_column")
        return given
    likely = [name for name in columns if all(map(names_image, cells[name].cat.categories.tolist()))]
    if len(likely) != 1:
        what = f"columns {name_some(likely)} could all" if likely else f"none of the columns {name_some(columns)} does"
        raise InputError(f"{path}: {what} name the images: pass --image_column")
    return likely[0]


def _read_labels(path, name, column, ids):
    """(labels (N,) uint8, None), or (None, why the column is no column of labels)."""
    texts, codes = list(column.cat.categories), column.cat.codes.to_numpy()
    values = [UNKNOWN if text.lower() in NO_LABEL else MEANINGS.get(text.lower()) for text in texts]
    if None in values:
        strange = np.array([value is None for value in values])
        row = int(strange[codes].argmax())
        what = f"row {row + 1:,} ({shown(ids[row])}) of {path} has {shown(texts[codes[row]])!r} in column {shown(name)}"
        return None, f"{what}, expected 0/1, -1/1, true/false or yes/no: correct it, or choose another column"
    if set(values) <= {UNKNOWN}:
        return None, f"column {shown(name)} of {path} has no labels, all cells are empty: choose another"
    if -1 in values:  # then 0 says neither yes nor no
        values = [{-1: 0, 0: UNKNOWN}.get(value, value) for value in values]
    return np.array(values, np.uint8)[codes], None


def _read_parts(path, name, column, ids):
    texts, codes = list(column.cat.categories), column.cat.codes.to_numpy()
    parts = [PART_WORDS.get(text.lower()) for text in texts]
    if None in parts:
        row = int(np.array([part is None for part in parts])[codes].argmax())
        what = f"{shown(texts[codes[row]])!r} in column {shown(name)}, expected train, val or test"
        raise InputError(f"row {row + 1:,} ({shown(ids[row])}) of {path} has {what}: correct it, or rename the column")
    return np.array(parts, np.int8)[codes]


def _read_names(path, name, column, sign):
    """{name: (N,) uint8} of a column whose cells hold several names; an empty cell, or one of NO_LABEL, has none."""
    texts, codes = list(column.cat.categories), column.cat.codes.to_numpy()
    if not any(sign in text for text in texts):
        other = next((other for other in "|;, " if other != sign and any(other in text for text in texts)), None)
        if other is not None:
            cure = f"pass --names_separator, perhaps {other!r}"
            raise InputError(f"no cell of column {shown(name)} of {path} has {sign!r}, but some have {other!r}: {cure}")
    lists = [{part.strip() for part in text.split(sign)} for text in texts]
    lists = [{part for part in parts if part.lower() not in NO_LABEL} for parts in lists]
    names = sorted(set().union(*lists))
    check_size(len(codes), len(names), path)
    places = {one: place for place, one in enumerate(names)}
    has = np.zeros((len(texts), len(names)), np.uint8)
    for row, group in enumerate(lists):
        has[row, [places[one] for one in group]] = 1
    return {one: has[codes, place] for one, place in places.items()}
