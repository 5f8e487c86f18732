"""The parser of a script: errors of one line, the paper's settings, flags that exclude each other.

Nothing slow is imported here, so `--help` answers at once.
"""

import argparse
from argparse import BooleanOptionalAction

from utils.common.errors import did_you_mean

# the rows of the paper: attributes, targets by place, proportion
SETTINGS = {
    "I": {"task_labels": ["Bald", "Mouth_Slightly_Open"], "target_class": [0], "proportion": 0.1},
    "II": {"task_labels": ["Bald", "Mouth_Slightly_Open"], "target_class": [1], "proportion": 0.1},
    "III": {"task_labels": ["Mouth_Slightly_Open", "No_Beard", "Eyeglasses"], "target_class": [2], "proportion": 0.08},
    "IV": {"task_labels": ["Smiling", "No_Beard", "Eyeglasses"], "target_class": [1, 2], "proportion": 0.1},
}


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, defaults shown where there is one."""

    def _get_help_string(self, action):
        bare_switch = action.nargs == 0 and not isinstance(action, BooleanOptionalAction)
        silent = bare_switch or action.default is None or action.default == []
        return action.help if silent else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Argument parser whose errors are one line and exit code 2; flags are written out in full."""

    def __init__(self, **options):
        options = {"formatter_class": _Formatter, "allow_abbrev": False, **options}
        super().__init__(**options)
        self._conditions = []

    def only_with(self, flag, other, value):
        """Refuse `flag` (its name without dashes) unless `other` has that value, instead of passing it over."""
        self._conditions.append((flag, other, value))

    def parse_args(self, words=None, namespace=None):
        """The namespace of some `words` (the command line's); --setting changes defaults only, so given flags win."""
        parsed, unknown = self.parse_known_args(words, namespace)
        if getattr(parsed, "setting", None):
            known = {action.dest for action in self._actions}
            row = SETTINGS[parsed.setting]
            self.set_defaults(**{flag: value for flag, value in row.items() if flag in known})
            parsed, unknown = self.parse_known_args(words, namespace)
        for flag, other, value in self._conditions:
            if getattr(parsed, flag) != self.get_default(flag) and getattr(parsed, other) != value:
                against = f"is for --{other} {value}" if value else f"does nothing with --{other}"
                self.error(f"--{flag} {against}: leave one of the two out")
        if unknown:
            flags = [name for action in self._actions for name in action.option_strings]
            flag = unknown[0].split("=")[0]
            self.error(f"unknown argument {unknown[0]}{did_you_mean(flag, flags) if flag.startswith('-') else ''}")
        return parsed

    def error(self, message):
        """Print the line, end with exit code 2."""
        self.exit(2, f"error: {one_line(message)}\n")


def one_line(message):
    """A message with its line breaks taken out."""
    return " ".join(str(message).split())
