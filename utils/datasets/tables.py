"""Text tables with a name and small whole numbers a line, read by pandas; errors name the line."""

import csv
import io
import warnings
from codecs import BOM_UTF8

import numpy as np
import pandas as pd

from utils.common.errors import InputError

TO_BLANKS = bytes.maketrans(b',"\t\r', b"    ")  # one rule for the blank-separated and the comma-separated form


def read_lines(path, skip):
    """The first `skip` lines of a file as [str], empty where it has fewer, and the bytes after them.

    Raises: InputError if it cannot be read
    """
    try:
        text = path.read_bytes().removeprefix(BOM_UTF8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the file and its permissions") from None
    lines = text.split(b"\n", skip)
    lines += [b""] * (skip + 1 - len(lines))
    return [line.decode("utf-8", "replace") for line in lines[:skip]], lines[skip]


def parse_rows(path, body, skip, width, values):
    """Rows of a table: a name, then width - 1 numbers, parted by blanks or commas.

    Args:
        path: of the file, for errors; body: bytes of the rows, which begin after `skip` lines; empty lines are passed
        values: the numbers that may occur, written as `str` writes them
    Returns: names (N,) str array; numbers (N, width - 1) int8
    Raises: InputError with the line number if a line has another number of words or a number is none of `values`
    """
    # a text that is none of its column's categories gets the code -1: an absent word, too, and one in the column beyond
    kinds = dict.fromkeys(range(1, width), pd.CategoricalDtype([str(value) for value in values]))
    kinds |= {0: object, width: pd.CategoricalDtype([""])}
    form = {"sep": r"\s+", "header": None, "index_col": False, "na_filter": False, "quoting": csv.QUOTE_NONE}
    text = io.BytesIO(body.translate(TO_BLANKS))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas warns of what is an error below
            # file names are bytes to the system: surrogateescape gives them back unchanged when a file is opened
            table = pd.read_csv(text, names=range(width + 1), dtype=kinds, encoding_errors="surrogateescape", **form)
    except ValueError:
        raise _first_error(path, body, skip, width, values) from None
    codes = np.stack([table[column].cat.codes for column in range(1, width + 1)], 1)
    if (codes < 0).any():
        raise _first_error(path, body, skip, width, values)
    return np.array(table[0].tolist(), np.str_), np.array(values, np.int8)[codes[:, :-1]]


def _first_error(path, body, skip, width, values):
    """What is wrong in the first wrong line: pandas counts neither empty lines nor those before the rows."""
    known, cure = [str(value) for value in values], "correct the line or fetch the table again"
    for number, line in enumerate(body.translate(TO_BLANKS).split(b"\n"), skip + 1):
        words = [word.decode("utf-8", "replace") for word in line.split(b" ") if word]
        if words and len(words) != width:
            return InputError(f"line {number} of {path} has {len(words)} columns, expected {width}: {cure}")
        for column, word in enumerate(words[1:], 2):
            if word not in known:
                expected = f"expected one of {', '.join(known)}"
                return InputError(f"line {number} of {path} has {word!r} in column {column}, {expected}: {cure}")
    return InputError(f"{path} is no text table: fetch it again")
