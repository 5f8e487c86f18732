"""The flags that the scripts share, the checks of their values, and errors of one line.

Nothing slow is imported here, so `--help` answers at once.
"""

import argparse
import math
from argparse import BooleanOptionalAction

from utils.common import processes
from utils.common.errors import InputError, did_you_mean

IMPORTANCE = ("gradcam", "gradient_activation", "random", "lowest", "magnitude")  # scores, then controls
# the rows of the paper: attributes, targets by place, proportion
SETTINGS = {
    "I": {"task_labels": ["Bald", "Mouth_Slightly_Open"], "target_class": [0], "proportion": 0.1},
    "II": {"task_labels": ["Bald", "Mouth_Slightly_Open"], "target_class": [1], "proportion": 0.1},
    "III": {"task_labels": ["Mouth_Slightly_Open", "No_Beard", "Eyeglasses"], "target_class": [2], "proportion": 0.08},
    "IV": {"task_labels": ["Smiling", "No_Beard", "Eyeglasses"], "target_class": [1, 2], "proportion": 0.1},
}
# where things lie and what computes them: files carry none of it, so they are equal wherever they are made
NOT_RECORDED = (
    "data_path save_path cache_path results run_name device num_workers weights pretrained oracle graph resume "
    "training evaluate_only released_txt show_cams importance_curve unlearned original out method_name"
).split()
SETTING = "attributes, targets and proportion of a row of the paper; given flags win over it"
LABELS = "attributes, one head each, in head order"
TARGET = "heads to forget, by name or by place in --task_labels, from 0"
RUN = "name of this run's files; without it the attributes joined by _"
RECORDED = "; without it the checkpoint's"


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

    def exit(self, status=0, message=None):
        """End the program with an exit code `status`; of several processes that fail one alone gives the message."""
        super().exit(status, processes.last_words(message, status) if status else message)

    def error(self, message):
        """Print the line, end with exit code 2."""
        self.exit(2, f"error: {one_line(message)}\n")


def one_line(message):
    """A message with its line breaks taken out."""
    return " ".join(str(message).split())


def run_script(main, parser):
    """Parse the command line, call `main` with it; a user's mistake prints one line and ends with exit code 2."""
    flags = parser.parse_args()
    try:
        main(flags)
    except InputError as error:
        parser.error(error)
    except OSError as error:
        if error.filename is None:
            raise
        parser.error(f"{error.strerror}: {error.filename}")  # no permission, no space: the reader's to mend
    except KeyboardInterrupt:
        parser.exit(130, "stopped\n")


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


def optional_path(text):
    """A path, or None for the word "none"."""
    return None if text.lower() == "none" else text


def head_or_place(text):
    """A head as the user names it: a whole number is its place in --task_labels, anything else its name."""
    return int(text) if text.isdecimal() else text


def add_task_arguments(parser):
    """The group "task" as tools have it; the three scripts write these lines out, for their defaults to be edited."""
    add = parser.add_argument_group("task").add_argument
    add("--setting", choices=SETTINGS, help="attributes, targets and proportion of a row of the paper")
    add("--task_labels", "--task", nargs="+", default=["Bald", "Mouth_Slightly_Open"], metavar="ATTR", help=LABELS)
    add("--target_class", "--target", nargs="+", type=head_or_place, default=[0], metavar="HEAD", help=TARGET)
    add("--run_name", metavar="NAME", help=RUN)


def add_network_arguments(parser):
    """The group "network": which one, if it is not simply the checkpoint of step 1."""
    add = parser.add_argument_group("network").add_argument
    add("--weights", metavar="FILE", help="a state dict of your own instead of the checkpoint of step 1")
    add("--model", metavar="NAME", help="its architecture; without it the checkpoint's, or resnet18 for --weights")


def add_data_arguments(parser, img_size=None):
    """The group "data"; `img_size` None: the checkpoint's unless the user says another. Returns: the group."""
    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--data_path", default="data/synthetic_celeba", metavar="DIR", help="folder in CelebA's layout")
    text = "released: first 75 percent of the table train; official: partition file; all: every row in both parts"
    default = "released" if img_size else None
    add("--split", default=default, choices=["released", "official", "all"], help=text + ("" if img_size else RECORDED))
    text = "side of the square images, pixels"
    add("--img_size", type=positive_int, default=img_size, metavar="PX", help=text + ("" if img_size else RECORDED))
    text = "folder of the cache of decoded images; none: decode each time"
    add("--cache_path", type=optional_path, default="cache", metavar="DIR", help=text)
    return group


def add_run_arguments(parser, batch_size=None):
    """The group "run", with --batch_size if there is a default for it. Returns: the group."""
    group = parser.add_argument_group("run")
    add = group.add_argument
    if batch_size:
        add("--batch_size", type=positive_int, default=batch_size, metavar="N", help="images a pass")
    add("--seed", type=seed, default=0, help="seed of everything that is drawn")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N; auto takes cuda where it is")
    text = "folder of the checkpoints"
    add("--save_path", "--saved_model_path", default="checkpoints", metavar="DIR", help=text)
    text = "file that gets a line of figures; pictures go beside it"
    add("--results", default="results/results.jsonl", metavar="FILE", help=text)
    return group


def recorded_flags(flags):
    """{flag: value} without paths, devices and worker counts: what files carry, equal wherever they are made."""
    return {name: flags[name] for name in sorted(flags) if name not in NOT_RECORDED}


def resolve_heads(attributes, heads, flag="--target_class"):
    """Names of some heads, in head order.

    Args:
        attributes: all K names, in head order
        heads: names, or places from 0
        flag: what the user wrote them behind, for error lines
    Raises: InputError if one is unknown, out of range or named twice
    """
    places = []
    for head in heads:
        if isinstance(head, int) and not 0 <= head < len(attributes):
            known = "; ".join(f"{place} {name}" for place, name in enumerate(attributes))
            raise InputError(f"{flag} {head} is out of range: 0 to {len(attributes) - 1} ({known})")
        if not isinstance(head, int) and head not in attributes:
            hint = did_you_mean(head, attributes) or f": the heads are {' '.join(attributes)}"
            raise InputError(f"{flag} {head}: no such head{hint}")
        places.append(head if isinstance(head, int) else attributes.index(head))
    if len(set(places)) < len(places):
        raise InputError(f"{flag} {' '.join(attributes[place] for place in places)} names a head twice")
    return [attributes[place] for place in sorted(places)]


def resolve_targets(attributes, heads):
    """Names of the heads to forget, as `resolve_heads`. Raises: InputError also if all heads would go, or none."""
    forgotten = resolve_heads(attributes, heads)
    if len(forgotten) in (0, len(attributes)):
        what = "every head" if forgotten else "no head"
        raise InputError(f"the targets name {what} of {' '.join(attributes)}: forget at least one, keep at least one")
    return forgotten


def leave_out_heads(attributes, left_out):
    """(names of the heads to train, names of those left out), both in head order.

    Args: attributes: all names; left_out: names or places, see `resolve_heads`
    Raises: InputError also if no head is left to train
    """
    left_out = resolve_heads(attributes, left_out, "--leave_out")
    if len(left_out) == len(attributes):
        raise InputError("--leave_out names every attribute: nothing is left to train")
    return [name for name in attributes if name not in left_out], left_out
