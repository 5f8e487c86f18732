"""Text that people and other programs wrote: bytes to UTF-8, lines to cells, names that are fit to be shown."""

import csv
import re
import stat
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

import numpy as np

from utils.common.errors import InputError, printable

MAX_BYTES, MAX_LINE, MAX_ROWS = 1 << 28, 1 << 20, 10**7  # of a table: ten times CelebA's and more
FOREIGN = {
    b"PK\3\4": "an Excel or zip file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"\x1f\x8b": "a compressed file",
    b"<": "a web page",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "a database",
    b"{": "JSON or RTF",
    b"[{": "JSON",
    b"version https://git-lfs": "only a pointer of Git LFS (git lfs pull gets the file)",
}
NO_LABEL = ("", "nan", "na", "n/a", "null", "none", "?")
NUMBER = re.compile(r"[-+]?\d[\d.,]*")


def shown(name):
    """A name, or another text from a file, fit for a line: escaped what is not printable, cut what is long."""
    return printable(name, 200)


def encoding_hint(names):
    """A hint that a table is no UTF-8, if any of its names has bytes that are not; else an empty text."""
    strange = any(re.search("[\ud800-\udfff]", str(name)) for name in names)
    return "; the table is no UTF-8 perhaps, save it as UTF-8" if strange else ""


def file_size(path):
    """Bytes of a file. Raises: InputError if it is a pipe, which would wait for ever, or a device; OSError"""
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise InputError(f"cannot read {path}: it is a pipe or a device; put a file there, or take it away")
    return status.st_size


def read_text(path):
    """Bytes of a text file as UTF-8 with line ends of one kind; bytes that are no UTF-8 stay as they are.

    Raises: InputError if it cannot be read, is no text or is too large
    """
    try:
        size = file_size(path)
        text = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the file and its permissions") from None
    if size > MAX_BYTES:
        raise InputError(f"{path} has {size / 1e6:,.0f} MB, a table at most {MAX_BYTES / 1e6:.0f}: name the right file")
    if text.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        text = text.decode("utf-16", "replace").encode("utf-8", "replace")
    text = text.removeprefix(BOM_UTF8)
    start = text[:4096].lstrip()
    kind = next((kind for first, kind in FOREIGN.items() if start.startswith(first)), None)
    if kind or b"\0" in text:
        raise InputError(f"{path} is {kind or 'no text'}: save the table as text (CSV in UTF-8) under this name")
    text = text if b"\n" in text else text.replace(b"\r", b"\n")
    ends = np.flatnonzero(np.frombuffer(text + b"\n", np.uint8) == 10)
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > MAX_LINE:
        number, length = lengths.argmax() + 1, lengths.max() / 1e6
        raise InputError(f"line {number:,} of {path} has {length:,.0f} MB: no line of a table, name the right file")
    if len(ends) > MAX_ROWS:
        raise InputError(f"{path} has {len(ends):,} lines, a table at most {MAX_ROWS:,}: name the right file")
    return text


def split_cells(line, part=None):
    """Cells of a line without quotes and blanks around them, those at the end left out that are empty.

    Args: part: the sign that parts them; None: blanks or commas
    """
    if part is None:
        return line.replace('"', " ").replace(",", " ").split()
    try:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=part, skipinitialspace=True), [])]
    except csv.Error:
        return [line]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def numbers_by_text(values):
    """{text: number} of whole numbers as programs write them: 1, +1, a typeset -1; 1.0 or 1,0 with up to 6 zeros."""
    ends = ("", *(f"{sign}{'0' * count}" for sign in ".," for count in range(1, 7)))
    words = [
        (word, value) for value in values for word in {str(value), f"{value:+d}", f"{value}".replace("-", "\u2212")}
    ]
    return {f"{word}{end}": value for word, value in words for end in ends}


def is_number(cell):
    """Whether a cell looks like a number."""
    return NUMBER.fullmatch(cell) is not None
