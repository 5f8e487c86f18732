"""Flags that the scripts share, their checks, and one-line errors. Imports nothing heavy: --help answers at once."""

import argparse
import sys

from utils.errors import InputError, did_you_mean

IMPORTANCE = ("gradcam", "gradient_activation", "random", "lowest", "magnitude")
# what says where things lie or who computes, not what is computed: kept out of artefacts so that equal runs are byte-equal
_NOT_RECIPE = {
    *(
        "data_path",
        "save_path",
        "graph_path",
        "released_path",
        "results",
        "cache_path",
        "device",
        "num_workers",
        "weights",
    ),
    *("graph", "pretrained", "resume", "training", "evaluate_only", "dataset_name", "oracle", "weights_of"),
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr and exit code 2."""

    def __init__(self, description, **options):
        """`description`: the script's docstring, shown as it is written."""
        super().__init__(description=description, formatter_class=_Formatter, allow_abbrev=False, **options)

    def error(self, message):
        """Print `error: message` and exit with 2."""
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action):
        if action.default is None or action.default == [] or action.default is argparse.SUPPRESS:
            return action.help
        return super()._get_help_string(action)


def _number(text, kind, accepts, wanted):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not accepts(value):
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
    return value


def positive_int(text):
    """A whole number of at least 1."""
    return _number(text, int, lambda value: value >= 1, "a whole number of at least 1")


def non_negative_int(text):
    """A whole number of at least 0."""
    return _number(text, int, lambda value: value >= 0, "a whole number of at least 0")


def share(text):
    """A number in (0, 1]."""
    return _number(text, float, lambda value: 0 < value <= 1, "a share in (0, 1]")


def positive_float(text):
    """A finite number above 0."""
    return _number(text, float, lambda value: 0 < value < float("inf"), "a number above 0")


def non_negative_float(text):
    """A finite number of at least 0."""
    return _number(text, float, lambda value: 0 <= value < float("inf"), "a number of at least 0")


def add_task_arguments(parser):
    """--task_labels / --task and --run_name."""
    add = parser.add_argument
    names = ["Bald", "Mouth_Slightly_Open"]
    add("--task_labels", "--task", nargs="+", default=names, metavar="ATTR", help="CelebA attributes, in head order")
    add("--run_name", help="name of the run's folder (the attributes joined by _)")


def add_target_arguments(parser):
    """--target_class by number and --target by name."""
    add = parser.add_argument
    add("--target_class", nargs="+", type=int, default=[0], metavar="T", help="heads to forget, counted from 0")
    add("--target", nargs="+", metavar="ATTR", help="heads to forget, by name (instead of --target_class)")


def add_data_arguments(parser, img_size=None):
    """Where the images are, how they are split and how large they are made; img_size None means the checkpoint's."""
    add = parser.add_argument
    add("--data_path", default="data/synthetic_celeba", help="folder in CelebA's layout")
    add("--dataset_name", help="name of the data set in results (the folder's name)")
    add(
        "--split",
        default="released",
        choices=["released", "official", "all"],
        help="75 %% / 25 %%, partition file, or all in both",
    )
    own = "" if img_size else " (the checkpoint's; 224 with --weights)"
    add("--img_size", type=positive_int, default=img_size, help="side of the square images, pixels" + own)
    add("--limit", type=positive_int, metavar="N", help="use the first N rows of the table only")
    add("--allow_missing", action="store_true", help="leave out table rows that have no image, and count them")
    add("--num_workers", type=positive_int, default=2, help="threads that decode images")
    add("--cache_path", default="cache", help="folder for decoded, resized images; 'none' decodes each time")


def add_network_arguments(parser):
    """What steps 2 and 3 work on: step 1's checkpoint, or the user's own state dict."""
    add = parser.add_argument
    add("--weights", metavar="FILE", help="your own plain state dict instead of step 1's checkpoint")
    add("--model", help="architecture (the checkpoint's; resnet18 with --weights)")
    add("--graph_path", default="graphs", help="folder of the graphs")
    add("--released_path", default="important", help="folder of graphs in the released text format")


def add_common_arguments(parser):
    """Seed, device and where results go."""
    add = parser.add_argument
    add("--save_path", "--saved_model_path", default="checkpoints", help="folder of the checkpoints")
    add("--results", default="results/results.jsonl", help="file that gets one JSON line a run; pictures go beside it")
    add("--seed", type=non_negative_int, default=0)
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def data_options(args, img_size, attributes=None):
    """Keyword arguments of `celeba.open_celeba`."""
    return {
        "data_path": args.data_path,
        "attributes": list(attributes or args.task_labels),
        "img_size": img_size,
        "split": args.split,
        "allow_missing": args.allow_missing,
        "limit": args.limit,
        "cache_path": None if args.cache_path == "none" else args.cache_path,
        "workers": args.num_workers,
    }


def recipe_arguments(args):
    """The arguments that decide what is computed, without paths, device and worker counts: {flag: value}, sorted."""
    return {name: value for name, value in sorted(vars(args).items()) if name not in _NOT_RECIPE}


def resolve_targets(attributes, target_class, target=None):
    """Names of the heads to forget, in head order.

    Args:
        attributes: all heads in order; target_class: their numbers; target: their names, which win if given
    Raises: InputError if one does not exist or none would be kept
    """
    for name in target or []:
        if name not in attributes:
            heads = " ".join(attributes)
            raise InputError(f"--target {name}: not among --task_labels {heads}{did_you_mean(name, attributes)}")
    for index in [] if target else target_class:
        if not 0 <= index < len(attributes):
            heads = ", ".join(f"{i} {name}" for i, name in enumerate(attributes))
            raise InputError(f"--target_class {index}: out of range, the heads are {heads}")
    wanted = set(target or [attributes[index] for index in target_class])
    if len(wanted) == len(attributes):
        raise InputError("every head would be forgotten: --task_labels needs at least one more attribute, to keep")
    return [name for name in attributes if name in wanted]


def run_script(main, parser):
    """Parse the command line and run `main(args)`; a user's mistake is one line on stderr and exit code 2."""
    args = parser.parse_args()
    try:
        main(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped: what was finished is on disk, nothing is half written", file=sys.stderr)
        sys.exit(130)
