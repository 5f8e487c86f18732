"""The flags that the scripts share, the checks of their values, and errors of one line.

Nothing slow is imported here, so `--help` answers at once.
"""

import argparse
import math
import os
from argparse import BooleanOptionalAction

from utils.common.errors import InputError, did_you_mean

IMPORTANCE = ("gradcam", "gradient_activation", "random", "lowest", "magnitude")
# where things lie and what computes them: no part of the recipe, so files are equal wherever they are made
NOT_RECIPE = (
    "data_path save_path graph_path released_path cache_path results dataset_name run_name device num_workers "
    "weights pretrained oracle graph resume training evaluate_only released_txt show_cams importance_curve "
    "unlearned original out method_name"
).split()


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

    def parse_args(self, args=None, namespace=None):
        """Parse; a mistyped flag gets the nearest one as a hint."""
        parsed, unknown = self.parse_known_args(args, namespace)
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


def run_script(main, parser):
    """Parse the command line, call `main` with it; a user's mistake prints one line and ends with exit code 2."""
    args = parser.parse_args()
    try:
        main(args)
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


def add_task_arguments(parser):
    """--task_labels and --run_name: which network."""
    add = parser.add_argument
    default = ["Bald", "Mouth_Slightly_Open"]
    add("--task_labels", "--task", nargs="+", default=default, metavar="ATTR", help="attributes, in head order")
    add("--run_name", metavar="NAME", help="name of this run's files; without it the attributes joined by _")


def add_target_arguments(parser):
    """--target_class or --target: what is forgotten; and where graphs lie."""
    add = parser.add_argument
    text = "heads to forget, by their place in --task_labels, from 0"
    add("--target_class", nargs="+", type=non_negative_int, default=[0], metavar="N", help=text)
    add("--target", nargs="+", metavar="ATTR", help="heads to forget, by name; goes before --target_class")
    add("--graph_path", default="graphs", metavar="DIR", help="folder of the essential graphs")
    add("--released_path", default="important", metavar="DIR", help="folder of graphs in the released text format")


def add_network_arguments(parser):
    """--weights and --model: which network, if it is not simply the checkpoint of step 1."""
    add = parser.add_argument
    add("--weights", metavar="FILE", help="a plain state dict of your own instead of the checkpoint of step 1")
    add("--model", metavar="NAME", help="its architecture; without it the checkpoint's, or resnet18 for --weights")


def add_data_arguments(parser, img_size=None):
    """The data set's flags; `img_size` None: the checkpoint's unless the user says another."""
    add = parser.add_argument
    add("--data_path", default="data/synthetic_celeba", metavar="DIR", help="folder in CelebA's layout")
    add("--dataset_name", metavar="NAME", help="its name in results; without it the folder's")
    text = "released: first 75 percent of the table train; official: partition file; all: every row in both parts"
    add("--split", default="released", choices=["released", "official", "all"], help=text)
    size = "side of the square images, pixels" + ("" if img_size else "; without it the checkpoint's")
    add("--img_size", type=positive_int, default=img_size, metavar="PX", help=size)
    add("--limit", type=positive_int, metavar="N", help="use the first N rows of the table only")
    text = "use the images that are there, if some are absent"
    add("--allow_missing", action=BooleanOptionalAction, default=False, help=text)
    add("--num_workers", type=positive_int, default=2, metavar="N", help="threads that decode images")
    text = "folder of the cache of decoded images; none: decode each time"
    add("--cache_path", type=optional_path, default="cache", metavar="DIR", help=text)


def add_common_arguments(parser):
    """--seed, --device, --save_path and --results."""
    add = parser.add_argument
    add("--seed", type=seed, default=0, help="seed of everything that is drawn")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N; auto takes cuda where it is")
    text = "folder of the checkpoints"
    add("--save_path", "--saved_model_path", default="checkpoints", metavar="DIR", help=text)
    text = "file that gets a line of figures; pictures go beside it"
    add("--results", default="results/results.jsonl", metavar="FILE", help=text)


def data_options(args, img_size, attributes=None):
    """Arguments of `open_dataset` from the parsed data flags; `attributes` None: --task_labels."""
    return {
        "data_path": args.data_path,
        "attributes": list(attributes or args.task_labels),
        "img_size": img_size,
        "split": args.split,
        "allow_missing": args.allow_missing,
        "limit": args.limit,
        "cache_path": args.cache_path,
        "workers": args.num_workers,
    }


def network_options(args):
    """Arguments of `load_network` from the parsed network flags."""
    return {"weights": args.weights, "name": args.model, "img_size": args.img_size}


def dataset_name(args):
    """What the data set is called in results: --dataset_name, or the name of its folder."""
    return args.dataset_name or os.path.basename(os.path.abspath(args.data_path))


def recipe_arguments(args):
    """{flag: value} of a namespace or dictionary without paths, devices and worker counts, sorted by flag."""
    values = args if isinstance(args, dict) else vars(args)
    return {name: values[name] for name in sorted(values) if name not in NOT_RECIPE}


def resolve_targets(attributes, target_class, target=None):
    """Names of the attributes to forget, in head order.

    Args:
        attributes: all names, in head order
        target_class: their places, from 0
        target: their names; if given, `target_class` is not looked at
    Raises: InputError if one is unknown, out of range or named twice, or if no attribute would be kept
    """
    known = "; ".join(f"{index} {name}" for index, name in enumerate(attributes))
    for name in target or []:
        if name not in attributes:
            hint = did_you_mean(name, attributes) or f": the heads are {' '.join(attributes)}"
            raise InputError(f"--target {name}: no such head{hint}")
    for index in [] if target else target_class:
        if not 0 <= index < len(attributes):
            raise InputError(f"--target_class {index} is out of range: 0 to {len(attributes) - 1} ({known})")
    places = [attributes.index(name) for name in target] if target else list(target_class)
    if len(set(places)) < len(places):
        raise InputError(f"the targets {' '.join(attributes[place] for place in places)} name a head twice")
    if not places or len(places) == len(attributes):
        what = "every head" if places else "no head"
        raise InputError(
            f"the targets name {what} of {' '.join(attributes)}: forget at least one and keep at least one"
        )
    return [attributes[place] for place in sorted(places)]
