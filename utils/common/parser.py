"""The parser of a script: errors of one line, the paper's settings, checks of values.

Nothing slow is imported here, so `--help` answers at once.
"""

import argparse
import difflib
import math
import os
from argparse import BooleanOptionalAction

from utils.common import processes
from utils.common.errors import did_you_mean, printable

# the rows of the paper: attributes, targets by place, proportion
SETTINGS = {
    "I": {"task_labels": ["Bald", "Mouth_Slightly_Open"], "target_class": [0], "proportion": 0.1},
    "II": {"task_labels": ["Bald", "Mouth_Slightly_Open"], "target_class": [1], "proportion": 0.1},
    "III": {"task_labels": ["Mouth_Slightly_Open", "No_Beard", "Eyeglasses"], "target_class": [2], "proportion": 0.08},
    "IV": {"task_labels": ["Smiling", "No_Beard", "Eyeglasses"], "target_class": [1, 2], "proportion": 0.1},
}
# flags that not every step has: what a user learns who passes one to another step
STEPS = {
    "step 1": "leave_out epoch optimizer lr weight_decay scheduler rotation hflip vflip pretrained limit "
    "num_workers amp compile resume force",
    "step 2": "proportion layers num_images importance no_balance released_txt show_cams importance_curve",
    "step 3": "method strength graph audit",
    "steps 2 and 3": "target_class target weights",
    "steps 1 and 2": "as_released",
    "steps 1 and 3": "evaluate_only",
}
FLAGS_OF_STEPS = {f"--{flag}": steps for steps, flags in STEPS.items() for flag in flags.split()}
FLAGS_OF_STEPS |= {f"--no-{switch}": "step 1" for switch in ("hflip", "vflip", "compile")}


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, defaults shown where there is one."""

    def _get_help_string(self, action):
        bare_switch = action.nargs == 0 and not isinstance(action, BooleanOptionalAction)
        silent = bare_switch or action.default is None or action.default == []
        return action.help if silent else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Argument parser whose errors are one line and exit code 2; flags are written out in full.

    A flag whose metavar is FILE or DIR takes a path: none that is empty, `~` is the home folder.
    """

    def __init__(self, **options):
        options = {"formatter_class": _Formatter, "allow_abbrev": False, **options}
        super().__init__(**options)
        self._conditions = []

    def only_with(self, flag, other, value):
        """Refuse `flag` (its name without dashes) unless `other` has that value, instead of passing it over."""
        self._conditions.append((flag, other, value))

    def parse_args(self, words=None, namespace=None):
        """The namespace of some `words` (the command line's); --setting changes defaults only, so given flags win."""
        for action in self._actions:
            if action.type is None and str(action.metavar).startswith(("FILE", "DIR")):
                action.type = path
            self._mend_default(action)
        parsed, unknown = self.parse_known_args(words, namespace)
        if getattr(parsed, "setting", None):
            known = {action.dest for action in self._actions}
            row = SETTINGS[parsed.setting]
            self.set_defaults(**{flag: value for flag, value in row.items() if flag in known})
            parsed, unknown = self.parse_known_args(words, namespace)
        if unknown:
            self.error(f"unknown argument {unknown[0]}{self._hint(unknown[0].split('=')[0])}")
        parsed.given = self._given(words)
        for flag, other, value in self._conditions:
            if flag in parsed.given and getattr(parsed, other) != value:
                against = f"is for --{other} {value}" if value else f"does nothing with --{other}"
                self.error(f"--{flag} {against}: leave one of the two out")
        return parsed

    def exit(self, status=0, message=None):
        """End the program with an exit code `status`; of several processes that fail one alone gives the message."""
        super().exit(status, processes.last_words(message, status) if status else message)

    def error(self, message):
        """Print the line, end with exit code 2."""
        self.exit(2, f"error: {one_line(message)}\n")

    def _mend_default(self, action):
        """A default that was edited in a script counts as if it were typed: bare values of a list are wrapped."""
        value, flag = action.default, "/".join(action.option_strings)
        if value is None or value is argparse.SUPPRESS or not flag:
            return
        if action.nargs == 0:
            is_switch = isinstance(action.const, bool) or isinstance(action, BooleanOptionalAction)
            if is_switch and not isinstance(value, bool):
                self.error(f"the default of {flag} is {value!r} in the script: expected True or False")
            return
        several = action.nargs in ("+", "*")
        values = value.split() if several and isinstance(value, str) else value
        values = list(values) if several and isinstance(values, (list, tuple)) else [values]
        convert = action.type or str
        try:
            values = [convert(str(one)) for one in values]
        except (argparse.ArgumentTypeError, ValueError) as error:
            self.error(f"the default of {flag} is {value!r} in the script: {error}")
        for one in values:
            if action.choices is not None and one not in action.choices:
                words = ", ".join(map(str, action.choices))
                self.error(f"the default of {flag} is {value!r} in the script: choose from {words}")
        if several or not isinstance(value, str):  # argparse itself converts a single text
            action.default = values if several else values[0]

    def _given(self, words):
        """Names of the flags that some words hold, whatever their values."""
        absent = []  # a list, which flags that add to one can copy
        blank = argparse.Namespace(**dict.fromkeys((action.dest for action in self._actions), absent))
        return {flag for flag, value in vars(self.parse_known_args(words, blank)[0]).items() if value is not absent}

    def _hint(self, flag):
        """What an unknown flag may have meant: one of another step, or one of these, mistyped."""
        own = [name for action in self._actions for name in action.option_strings]
        if flag in FLAGS_OF_STEPS:
            return f": it is a flag of {FLAGS_OF_STEPS[flag]}"
        if flag[:1] == "-" and not difflib.get_close_matches(flag, own, cutoff=0.9):
            for near in difflib.get_close_matches(flag, FLAGS_OF_STEPS, n=1, cutoff=0.9):
                return f": did you mean {near}? It is a flag of {FLAGS_OF_STEPS[near]}"
        return did_you_mean(flag, own) if flag[:1] == "-" else ""


def one_line(message):
    """A message with its line breaks taken out, fit for a terminal."""
    return printable(" ".join(str(message).split()))


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


def degrees(text):
    """Number in [0, 180]."""
    return _number(text, float, lambda value: 0 <= value <= 180, "degrees from 0 to 180")


def path(text):
    """A path; `~` and `~user` in front are home folders: the shell reads them so, but not behind `--out=`.

    Raises: argparse.ArgumentTypeError if it is empty
    """
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}, which is empty: name a folder or a file")
    return os.path.expanduser(text)


def optional_path(text):
    """A path, or None for the word "none"."""
    return None if text.lower() == "none" else path(text)


def head_or_place(text):
    """A head as the user names it: a number, as programs write it, may be its place in --task_labels, or its name."""
    return int(text) if text.isdecimal() and str(int(text)) == text else text  # 01 can be a name only
