"""Large text tables with one name and small whole numbers a line, read as arrays without an object per row."""

import numpy as np

from utils.common.errors import InputError

BLOCK_BYTES = 1 << 22  # what is parsed at a time: bounds the memory, and the temporaries stay in the processor's cache
SEPARATES = np.zeros(256, bool)
SEPARATES[list(b' \t\r\n,"')] = True  # one rule for the blank-separated and the comma-separated form
MINUS, ZERO, NEWLINE = b"-0\n"


def read_rows(path, skip, width, values):
    """Read the lines after the first `skip`: a name, then width - 1 numbers, parted by blanks or commas.

    Args:
        path: text file; empty lines are passed over
        skip: number of head lines that are not rows
        width: words a line, the name included
        values: the numbers that may occur, each of one digit, with or without a minus
    Returns: names (N,) str array; numbers (N, width - 1) int8
    Raises: InputError with the line number if a line has another number of words or a number is none of `values`
    """
    names, numbers, line = [], [], skip
    try:
        with open(path, "rb") as file:
            for _ in range(skip):
                file.readline()
            while block := file.read(BLOCK_BYTES):
                text = b"\n" + block + file.readline() + b"\n"  # whole lines, a separator on either side of each word
                block_names, block_numbers, lines = _parse(text, path, line, width, values)
                names.append(block_names)
                numbers.append(block_numbers)
                line += lines
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the file and its permissions") from None
    if not names:
        return np.empty(0, "U1"), np.empty((0, width - 1), np.int8)
    # file names are bytes to the system: surrogateescape gives them back unchanged when a file is opened
    return np.char.decode(np.concatenate(names), "utf-8", "surrogateescape"), np.concatenate(numbers)


def _parse(block, path, line, width, values):
    text = np.frombuffer(block, np.uint8)
    separates = SEPARATES[text]
    starts = np.flatnonzero(separates[:-1] & ~separates[1:]) + 1
    stops = np.flatnonzero(~separates[:-1] & separates[1:]) + 1
    line_ends = np.flatnonzero(text[1:-1] == NEWLINE) + 1
    line_ends = np.append(line_ends, len(text) - 1)  # the last line may end without a newline
    words = np.diff(np.searchsorted(starts, line_ends), prepend=0)
    rows = np.flatnonzero(words)
    wrong = rows[words[rows] != width]
    if len(wrong):
        raise InputError(
            f"line {line + wrong[0] + 1} of {path} has {words[wrong[0]]} columns, expected {width}: "
            "correct the line or fetch the table again"
        )
    starts, stops = starts.reshape(-1, width), stops.reshape(-1, width)
    numbers, valid = _small_numbers(text, starts[:, 1:], stops[:, 1:], values)
    if not valid.all():
        row, column = np.argwhere(~valid)[0]
        word = block[starts[row, column + 1] : stops[row, column + 1]].decode("utf-8", "replace")
        raise InputError(
            f"line {line + rows[row] + 1} of {path} has {word!r} in column {column + 2}, "
            f"expected one of {', '.join(map(str, values))}: correct the line or fetch the table again"
        )
    return _first_words(text, starts[:, 0], stops[:, 0]), numbers, len(line_ends) - 1


def _small_numbers(text, starts, stops, values):
    """Numbers of one digit, and where the words are such numbers."""
    negative = text[starts] == MINUS
    digit = text[starts + negative] - ZERO  # uint8: what lies below "0" wraps to far above 9
    valid = (digit <= 9) & (stops - starts == 1 + negative)
    numbers = np.where(negative, -digit.view(np.int8), digit.view(np.int8))
    return numbers, valid & np.isin(numbers, values) & ~(negative & (digit == 0))


def _first_words(text, starts, stops):
    """The words as a bytes array, padded to the longest."""
    if not len(starts):
        return np.empty(0, "S1")
    offsets = np.arange((stops - starts).max())
    places = starts[:, None] + offsets
    inside = places < stops[:, None]
    letters = np.where(inside, text[np.minimum(places, len(text) - 1)], 0).astype(np.uint8)
    return letters.view(f"S{len(offsets)}")[:, 0]
