"""Text tables with a name and small whole numbers a line, in the forms in which people have them; errors name the line.

Pandas reads regular rows, 200,000 in half a second. Others (names with blanks, 1.0 for 1, cells without a label …) are
read line by line: what has one meaning is taken, the first line that has none is named.
"""

import csv
import io
import re
import warnings
from contextlib import suppress

import numpy as np
import pandas as pd

from utils.common.errors import InputError
from utils.layouts.text import MAX_BYTES, NO_LABEL, is_number, numbers_by_text, read_text, shown, split_cells

TO_BLANKS = bytes.maketrans(b',;|"\t\r', b"      ")  # one rule for the blank-separated and the comma-separated form
MAX_COLUMNS = 4096
MAX_NAME = 255  # characters: no disk takes longer ones
BLANKS = " (names of attributes with blanks take a .csv)"
TOP = 20  # lines in which the head is looked for
IMAGE = re.compile("image|file|name|path|id", re.IGNORECASE)  # how people head the column of names
FILE = re.compile(r".*\.(jpe?g|png|bmp|gif|tiff?|webp)", re.IGNORECASE)


def read_table(path, values, columns=None):
    """A table with its head, whatever parts its cells and stands above it.

    The official form of the attributes, a .txt, has the number of rows above a head that names the columns of numbers
    only; without a number its head must name the first column, too.

    Args: values: the numbers that may occur; columns: how many there are, None: as the head says
    Returns: names of the columns; names of the rows (N,) str array; numbers (N, columns) int8
    Raises: InputError, with the line number where there is one
    """
    text = read_text(path)
    top = [line.decode("utf-8", "replace").strip("\r") for line in text.split(b"\n", TOP)[:TOP]]
    known = numbers_by_text(values)
    part, head, whole = _find_head(top, known, columns, path.suffix == ".txt")
    above, body = _cut(text, head + 1)
    names = _names_of(path, head, above.pop(), part, known)[whole:] if above and not columns else []
    count = next((line.strip() for line in reversed(above) if line.strip()), "")
    counted = path.suffix == ".txt" and not (columns or whole)
    if counted and not (count.isascii() and count.isdecimal()):
        raise InputError(
            f"line {max(head, 1)} of {path} is {count[:40]!r}, expected the number of images: "
            "write the number of rows there, or save the table as .csv"
        )
    width = 1 + (columns or len(names))
    if width == 1 or len(set(names)) < len(names) or "" in names:
        twice = next((f" ({shown(name)})" for name in names if names.count(name) > 1), "")
        raise InputError(f"{path} has no or doubled attribute names in line {head + 1}{twice}: give each column a name")
    if width > MAX_COLUMNS:
        raise InputError(f"line {head + 1} of {path} names {width:,} columns, at most {MAX_COLUMNS:,}: is it a table?")
    # a cell that is empty is not to be passed over, as blanks are
    empty = part and any(f"{part}{blank}{part}".encode() in body for blank in ("", " "))
    rows = [()]
    with suppress(InputError):
        rows = [()] if empty else parse_rows(path, body, head + 1, width, values)
    if not len(rows[0]):
        rows = _read_line_by_line(path, body, head + 1, width, values, part, names)
    if counted and count.lstrip("0") != str(len(rows[0])).lstrip("0"):
        raise InputError(
            f"line {head} of {path} promises {int(count[:15]):,} images, the table has {len(rows[0]):,} rows: "
            "correct the number or add the rows"
        )
    return tuple(names), *rows


def parse_rows(path, body, skip, width, values):
    """Rows of a regular table: a name, then width - 1 numbers, parted by blanks, commas, semicolons or upright strokes.

    Args:
        path: of the file, for errors; body: bytes of the rows, which begin after `skip` lines; empty lines are passed
        values: the numbers that may occur, written as `str` writes them
    Returns: names (N,) str array; numbers (N, width - 1) int8
    Raises: InputError with the line number if a line has another number of words or a number is none of `values`
    """
    # a text that is none of its column's categories gets the code -1: an absent word, too, and one in the column beyond
    known = [str(value) for value in values]
    kinds = dict.fromkeys(range(1, width), pd.CategoricalDtype(known)) | {0: object, width: pd.CategoricalDtype([""])}
    form = {"sep": r"\s+", "header": None, "index_col": False, "na_filter": False, "quoting": csv.QUOTE_NONE}
    text = io.BytesIO(body.translate(TO_BLANKS))
    with suppress(ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns of what is an error below
        # file names are bytes to the system: surrogateescape gives them back unchanged when a file is opened
        table = pd.read_csv(text, names=range(width + 1), dtype=kinds, encoding_errors="surrogateescape", **form)
        codes = np.stack([table[column].cat.codes for column in range(1, width + 1)], 1)
        if (codes >= 0).all():
            return _array_of(path, table[0].tolist()), np.array(values, np.int8)[codes[:, :-1]]
    for number, line in enumerate(io.BytesIO(body), skip + 1):  # pandas does not count empty lines
        words = [word.decode("utf-8", "replace") for word in line.translate(TO_BLANKS).split(b" ")]
        words = [word for word in (word.strip("\n") for word in words) if word]
        _check_width(path, number, words or [""] * width, width)
        for column, word in enumerate(words[1:], 2):
            if word not in known:
                raise _wrong_cell(path, number, column, word, values, ())
    raise _no_rows(path)


def _names_of(path, head, line, part, known):
    """The cells of the head. Raises: InputError if they are labels, or it can't be told what they are."""
    where, names = f"line {head + 1} of {path}", split_cells(line, part)
    if len(names) > 1 and all(name in known for name in names[1:]):
        raise InputError(f"{where} holds labels, expected the names of the columns: write them above it")
    if part and line.count('"') % 2:
        raise InputError(f"{where} has a quotation mark that is not closed: write each name in one line")
    if "\ufffd" in line:
        raise InputError(f"{where} is no UTF-8, as Latin-1 or Windows-1252 are not: save the table as UTF-8")
    return names


def _read_line_by_line(path, body, skip, width, values, part, columns):
    """What `parse_rows` returns, of a table with irregular rows; raises InputError at the first without a meaning."""
    known, names, rows = numbers_by_text(values), [], []
    for number, line in enumerate(io.BytesIO(body), skip + 1):
        cells = _cells(line.decode("utf-8", "surrogateescape").strip("\r\n "), part, width, known)
        if not any(cells):
            continue
        _check_width(path, number, cells, width, "" if part or len(cells) == width else BLANKS)
        numbers = [known.get(cell) for cell in cells[1:]]
        if None in numbers:
            place = numbers.index(None) + 1
            raise _wrong_cell(path, number, place + 1, cells[place], values, columns)
        if not cells[0]:
            raise InputError(f"line {number} of {path} has no name in column 1: write that of the image file")
        names.append(cells[0])
        rows.append(numbers)
    if not rows:
        raise _no_rows(path)
    return _array_of(path, names), np.array(rows, np.int8)


def _check_width(path, number, cells, width, hint=""):
    if len(cells) != width:
        raise InputError(f"line {number} of {path} has {len(cells)} columns, expected {width}: correct the line{hint}")


def _no_rows(path):
    return InputError(f"{path} has no rows: add a line for each image")


def _wrong_cell(path, number, column, cell, values, columns):
    expected = f"expected one of {', '.join(map(str, values))}{f' ({shown(columns[column - 2])})' if columns else ''}"
    if cell.lower() in NO_LABEL:
        what, cure = f"an empty cell{f' ({cell})' if cell else ''}", "fill it or leave the line out"
    elif columns and FILE.fullmatch(cell):
        what, cure = repr(cell[:60]), "the names of the images must be column 1 (in pandas: index=False)"
    else:
        what, cure = repr(cell[:60]), "correct the line"
    return InputError(f"line {number} of {path} has {what} in column {column}, {expected}: {cure}")


def _cells(line, part, width, known):
    """The cells of a row; in the blank-separated form a name may have blanks if labels follow it to the line's end."""
    if part is None:
        cells = line.rsplit(None, width - 1)
        labels = len(cells) == width and all(cell in known for cell in cells[1:])
        # a number before the labels is one too many, no part of a name
        return (
            [cells[0].strip('"'), *cells[1:]] if labels and not is_number(cells[0].split()[-1]) else split_cells(line)
        )
    cells = split_cells(line, part)
    return cells + [""] * (width - len(cells)) if line.count(part) >= width - 1 else cells


def _find_head(top, known, columns, official):
    """(what parts the cells: a sign or None for blanks, line of the head from 0 or -1, does it name the first column).

    The head is the first line with as many words as the one above the first row of labels. Where there is no such row
    it is where the form has it, so that the error is about the row.
    """
    filled = [line for line in top if line.strip()]
    likely = (sign for sign in ";,\t|" if 2 * sum(sign in line.strip("\t") for line in filled) > len(filled))
    likely = next(likely, None)
    if columns:
        lines = [(n, split_cells(line, likely)) for n, line in enumerate(top) if line.strip()]
        rows = [n for n, words in lines if not _names_columns(words) or "." in words[0]]  # image names have a dot
        return likely, max((n for n, _ in lines if n < min(rows, default=TOP)), default=-1), True
    for part in (";", ",", "\t", "|", None):
        lines = [(n, split_cells(line, part)) for n, line in enumerate(top) if part is None or part in line]
        lines = [(n, words) for n, words in lines if words]
        for (head, names), (_, words) in zip(lines, lines[1:], strict=False):
            if not _names_columns(names):
                continue
            counted = head > 0 and top[head - 1].strip().isdecimal()
            fewer = len(words) == len(names) + 1 or (part is None and len(words) > len(names))
            if fewer and all(word in known for word in words[-len(names) :]):
                return part, head, False
            whole = len(words) == len(names) > 1 and not counted and (not official or IMAGE.search(names[0]))
            if whole and all(word in known for word in words[1:]):
                return part, next(n for n, words in lines if len(words) == len(names) and _names_columns(words)), True
    if official:
        return likely, next((n + 1 for n, line in enumerate(top) if line.strip().isdecimal()), 1), False
    lines = ((n, split_cells(line, likely)) for n, line in enumerate(top))
    return likely, next((n for n, words in lines if len(words) > 1 and _names_columns(words)), 0), True


def _names_columns(words):
    """Whether a line can be a head: no number in it."""
    return bool(words) and not any(is_number(word) or word.lower() in NO_LABEL[1:] for word in words[1:] or words)


def _array_of(path, names):
    """Names as an array, in which each takes what the longest needs."""
    longest = max(map(len, names), default=0)
    if longest > MAX_NAME or 4 * longest * len(names) > 10 * MAX_BYTES:
        raise InputError(f"{path} has names of up to {longest:,} characters, at most {MAX_NAME}: is it a table?")
    return np.array(names, np.str_)


def _cut(text, skip):
    lines = text.split(b"\n", skip)
    lines += [b""] * (skip + 1 - len(lines))
    return [line.decode("utf-8", "replace") for line in lines[:skip]], lines[skip]
