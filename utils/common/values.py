"""The values of flags: each check takes the user's text and returns the value, or says what was expected."""

import argparse
import math
import os


def _number(text, kind, holds, expected):
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and holds(value)):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value


def positive_int(text):
    """Whole number of at least 1."""
    return _number(text, int, lambda value: value >= 1, "a whole number of at least 1")


def non_negative_int(text):
    """Whole number of at least 0."""
    return _number(text, int, lambda value: value >= 0, "a whole number of at least 0")


def seed(text):
    """Whole number in [0, 2^31)."""
    return _number(text, int, lambda value: 0 <= value < 2**31, "a whole number from 0 to 2147483647")


def positive_float(text):
    """Finite number above 0."""
    return _number(text, float, lambda value: value > 0, "a number above 0")


def number_or_auto(text):
    """Finite number above 0, or the word "auto"."""
    return text if text == "auto" else _number(text, float, lambda value: value > 0, "a number above 0, or auto")


def non_negative_float(text):
    """Finite number of at least 0."""
    return _number(text, float, lambda value: value >= 0, "a number of at least 0")


def share(text):
    """Number in (0, 1]."""
    return _number(text, float, lambda value: 0 < value <= 1, "a share above 0 and at most 1")


def path(text):
    """A path; `~` and `~user` in front are home folders: the shell reads them so, but not behind `--out=`.

    Raises: argparse.ArgumentTypeError if it is empty
    """
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}")
    return os.path.expanduser(text)


def optional_path(text):
    """A path, or None for the word "none"."""
    return None if text.lower() == "none" else path(text)


def head_or_place(text):
    """A head as the user names it: a whole number is its place in --task_labels, anything else its name."""
    return int(text) if text.isdecimal() else text
