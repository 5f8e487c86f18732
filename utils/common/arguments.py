"""The flags that the scripts share, and the heads that they name.

Nothing slow is imported here, so `--help` answers at once.
"""

from argparse import SUPPRESS, BooleanOptionalAction

from utils.common.errors import InputError, did_you_mean
from utils.common.interrupts import run_script  # noqa: F401 - a script takes all that its flags need from here
from utils.common.normalisation import add_normalisation_arguments
from utils.common.parser import (  # noqa: F401
    SETTINGS,
    Parser,
    degrees,
    head_or_place,
    non_negative_float,
    non_negative_int,
    number_or_auto,
    optional_path,
    positive_float,
    positive_int,
    seed,
    share,
)

IMPORTANCE = ("gradcam", "gradient_activation", "random", "lowest", "magnitude")  # scores, then controls
# where things lie and what computes them: files carry none of it, so they are equal wherever they are made
NOT_RECORDED = (
    "data_path save_path cache_path results run_name device num_workers weights pretrained oracle graph resume "
    "force given training evaluate_only released_txt show_cams importance_curve unlearned original out method_name "
    "report faces log"
).split()
READING = "layout table image_column names_column names_separator difficult unknown_labels".split()  # of a folder
LAYOUTS = ("celeba", "csv", "voc", "coco", "folders")
ALL = "all"  # --task_labels: every name of the data set, or of the checkpoint
SETTING = "attributes, targets and proportion of a row of the paper; given flags win over it"
LABELS = "attributes, one head each, in head order; all: every one of the data set"
TARGET = "heads to forget, by name, or by place in --task_labels, from 0 (a number that is a name is the name)"
RUN = "name of this run's files; without it the attributes joined by _"
RECORDED = "; without it the checkpoint's"


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
    text = "heads in the file of --weights, in its order, of which --task_labels picks; without it they are the same"
    add("--weights_labels", nargs="+", metavar="ATTR", help=text)
    add("--model", metavar="NAME", help="its architecture; without it the checkpoint's, or resnet18 for --weights")


def add_data_arguments(parser, img_size=None):
    """The group "data"; `img_size` None: the checkpoint's unless the user says another. Returns: the group."""
    text = "how the folder is read stands in the checkpoint; with --weights step 1's flags (--table, …) go here, too"
    group = parser.add_argument_group("data", None if img_size else text)
    add = group.add_argument
    add("--data_path", default="data/synthetic_celeba", metavar="DIR", help="folder of the data set (data/README.md)")
    text = (
        "official: the data set's own parts; released: first 75 percent of the rows train; all: each row in both parts"
    )
    own = "; without it official where there are parts, released for CelebA" if img_size else RECORDED
    add("--split", choices=["released", "official", "all"], help=text + own)
    text = "side of the square images, pixels"
    add("--img_size", type=positive_int, default=img_size, metavar="PX", help=text + ("" if img_size else RECORDED))
    add_normalisation_arguments(add, recorded=not img_size)
    text, default = "use the images that are there, if some are absent", False if img_size else None
    help_text = text + ("" if img_size else RECORDED)
    add("--allow_missing", action=BooleanOptionalAction, default=default, help=help_text)
    add_reading_arguments(add, shown=bool(img_size))
    text = "folder of the cache of decoded images; none: decode each time"
    add("--cache_path", type=optional_path, default="cache", metavar="DIR", help=text)
    return group


def add_reading_arguments(add, shown=True):
    """The flags of READING, of which most data sets need none, to a group by its `add`; `shown` by --help or not."""
    words = {
        "layout": "what the folder is read as; without it what lies in it says so",
        "table": "a CSV table with a row an image, by its path below --data_path",
        "image_column": "its column of image files; without it the only one there is",
        "names_column": "its column that holds the names of an image: dog|person",
        "names_separator": "what parts these names; without it |",
        "difficult": "PASCAL VOC: count objects that are marked as difficult (without it they count)",
        "unknown_labels": "skip: leave out rows that lack a label of --task_labels; without it they are an error",
    }
    kinds = dict.fromkeys(words, {"metavar": "NAME"}) | {"layout": {"choices": LAYOUTS}}
    kinds |= {"difficult": {"action": BooleanOptionalAction}, "unknown_labels": {"choices": ["error", "skip"]}}
    for flag, text in words.items():
        add(f"--{flag}", default=None, help=text if shown else SUPPRESS, **kinds[flag])


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
    silent = {*NOT_RECORDED, *(name for name in READING if flags.get(name) is None)}
    return {name: flags[name] for name in sorted(flags) if name not in silent}


def check_names(attributes):
    """Refuse names of attributes that would leave a folder, or do something where a report or a table shows them.

    Raises: InputError
    """
    for name in attributes:
        if not isinstance(name, str) or not name.isprintable() or ".." in name or set(name) & set("<>"):
            cure = "a name holds printable signs only, plain blanks, and no '<', '>' or '..': rename the column"
            raise InputError(f"attribute {str(name)[:60]!r}: {cure}")


def resolve_heads(attributes, heads, flag="--target_class"):
    """Names of some heads, in head order.

    Args:
        attributes: all K names, in head order
        heads: names, or places from 0; a number that is the name of a head is that name
        flag: what the user wrote them behind, for error lines
    Raises: InputError if one is unknown, out of range or named twice, or a name of all is none
    """
    check_names(attributes)
    places = []
    for head in (str(head) if str(head) in attributes else head for head in heads):
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
