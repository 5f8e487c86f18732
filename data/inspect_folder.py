"""Say what a folder of images and labels is read as, and how to go on with it.

Reads   DIR, in any layout of data/README.md: the labels and a listing of the images, no image
Writes  nothing

    python -m data.inspect_folder DIR
"""

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments as a  # noqa: E402
from utils.common.errors import InputError, printable  # noqa: E402
from utils.common.paths import SCRIPT  # noqa: E402
from utils.layouts.attribute_table import UNKNOWN, name_some  # noqa: E402
from utils.layouts.folders import list_images  # noqa: E402
from utils.layouts.reading import IN_WORDS, read_folder, reading_options  # noqa: E402
from utils.layouts.text import shown  # noqa: E402

HIGH = 0.5  # correlation that is worth a line
MOST_PAIRS, MOST_PAIRED, CHUNK = 20, 1000, 4096  # pairs that are shown, names that are compared, rows at a time
MOST_HEADS, MOST_TYPED, MOST_TRIED = 20, 4, 100  # names in the commands: as "all", typed; those tried for that


def get_args_parser():
    """The flags: those that say how a folder is read."""
    parser = a.Parser(description=__doc__, prog="python -m data.inspect_folder")
    parser.add_argument("data_path", metavar="DIR", help="folder of the data set")
    a.add_reading_arguments(parser.add_argument_group("data").add_argument)
    parser.add_argument("--most", type=a.positive_int, default=50, metavar="N", help="names that are listed")
    return parser


def describe_images(table):
    """Lines on a located table: its layout, source, images with and without a row."""
    there = table.files != ""
    rowless = sorted(set(list_images(table.folder)) - set(table.files[there].tolist()))
    lines = [f"layout   {IN_WORDS[table.layout]} ({table.source})"]
    lines.append(f"images   {there.sum():,} of {len(there):,} rows have their image below {table.folder}")
    if not there.all():
        lines.append(f"         missing: {(~there).sum():,} (first: {shown(table.image_ids[there.argmin()])})")
    if rowless:
        folders = list(dict.fromkeys(file.partition("/")[0] for file in rowless if "/" in file))
        where = f" (in {name_some(folders[:5])}{', …' if len(folders) > 5 else ''})" if folders else ""
        beside = table.layout == "folders" and table.parts is not None and folders
        why = ": beside train/, val/ and test/ no other folder is a class" if beside else ""
        lines.append(f"         without a row: {len(rowless):,}{where}{why}")
    return lines


def describe_split(split, parts):
    """A line on the parts that --split of who passes none gives, {part: rows}; of none the notes say why."""
    if not parts:
        return "split    none"
    counts = ", ".join(f"{len(rows):,} {part}" for part, rows in parts.items() if len(rows))
    own = "its own" if split == "official" else "the first 75 % of the rows"
    return f"split    {split} ({own}): {counts}"


def describe_names(table, parts, most):
    """Lines of a table of names with their rates, in all rows and in each part, the most frequent first."""
    known, has = table.labels != UNKNOWN, table.labels == 1
    parts = {"all": slice(None)} | {part: rows for part, rows in parts.items() if len(rows)}
    rates = [has[rows].sum(0) / np.maximum(1, known[rows].sum(0)) for rows in parts.values()]
    order = np.argsort(-rates[0], kind="stable")[:most]
    width = max(len("name"), *(len(shown(table.names[column])) for column in order))
    lacking = (~known).sum(0)
    heads = [f"{part:>7}" for part in parts] + ["unknown"] * bool(lacking.any())
    lines = [f"names    {len(table.names):,}", "  ".join([f"  {'name':{width}}", *heads])]
    for column in order:
        cells = "  ".join(f"{100 * rate[column]:5.1f} %" for rate in rates)
        unknown = f"  {lacking[column]:7,}" if lacking.any() else ""
        lines.append(f"  {shown(table.names[column]):{width}}  {cells}{unknown}")
    more = len(table.names) - len(order)
    lines += [f"  … and {more:,} more, all rarer (--most {len(table.names)} lists them)"] * bool(more)
    if table.refused:
        lines.append(f"  no names are {name_some(list(table.refused))} (say {next(iter(table.refused.values()))})")
    return lines


def describe_pairs(table):
    """Lines on pairs of names that go together, by correlation, the strongest first, of the MOST_PAIRED first names."""
    labels = table.labels[:, :MOST_PAIRED]
    together = np.zeros((labels.shape[1],) * 2)
    for start in range(0, len(labels), CHUNK):
        has = (labels[start : start + CHUNK] == 1).astype(np.float32)
        together += has.T @ has
    rates = np.diag(together) / len(labels)
    spread = np.sqrt(np.maximum(rates * (1 - rates), 1e-12))
    strength = np.triu((together / len(labels) - np.outer(rates, rates)) / np.outer(spread, spread), 1)
    found = np.argwhere(np.abs(strength) > HIGH)
    found = found[np.argsort(-np.abs(strength[tuple(found.T)]), kind="stable")]
    lines = [f"pairs    {len(found):,} with a correlation above {HIGH:g}, or below -{HIGH:g}"]
    for one, other in found[:MOST_PAIRS]:
        lines.append(f"  {strength[one, other]:+.2f}  {shown(table.names[one])} and {shown(table.names[other])}")
    return lines + [f"  … and {len(found) - MOST_PAIRS:,} more"] * (len(found) > MOST_PAIRS)


def choose_heads(table, parts):
    """Names that could be trained and measured: at least one image of each part has them, and one has not.

    Returns: names [str], the most frequent first
    """
    labels = [table.labels[rows] for part, rows in parts.items() if part != "valid"]
    usable = np.logical_and.reduce([(rows == 1).any(0) & (rows == 0).any(0) for rows in labels])
    rates = (table.labels == 1).mean(0)
    order = np.argsort(np.abs(rates - 0.5), kind="stable")
    return [table.names[column] for column in order if usable[column]]


def why_unfit(name):
    """Why the scripts do not take a name from their command line; an empty text if they do."""
    try:
        a.check_names([name])
    except InputError as error:
        return str(error).rpartition(": ")[2]
    return "it begins with -: rename it" if name.startswith("-") else ""


def describe_unfit(table):
    """A line on the names that the scripts do not take, if there are some."""
    unfit = [name for name in table.names if why_unfit(name)]
    more = f" and {len(unfit) - 5:,} more" * (len(unfit) > 5)
    return [f"  not taken: {name_some(unfit[:5])}{more} ({shown(unfit[0])}: {why_unfit(unfit[0])})"] if unfit else []


def describe_lost(table, parts):
    """A line on the names that could not be trained or measured, if there are some."""
    if not parts:
        return []
    kept = set(choose_heads(table, parts))
    lost = [name for name in table.names if name not in kept]
    more = f" and {len(lost) - 5:,} more" * (len(lost) > 5)
    why = "all or none of the train or the test images have them; shuffle a sorted table"
    return [f"  of no use: {name_some(lost[:5])}{more} ({why})"] * bool(lost)


def can_train(table, split, names):
    """Whether names can be trained and measured together, once rows that lack an image or one of their labels go."""
    labels = table.labels[:, [table.names.index(name) for name in names]]
    known = (labels != UNKNOWN).all(1) & (table.files != "")
    rest = replace(table, names=tuple(names), labels=labels).rows(known)
    try:
        parts = rest.split_rows(split, lambda note: None)
    except InputError:  # a part is empty
        return False
    return len(choose_heads(rest, parts)) == len(names)


def propose_heads(table, split, complete=False):
    """Names for the commands, the most even first: all of few, or else up to MOST_TYPED that go together, [str].

    Args: complete: of names without an unknown label only
    """
    rates, lacking = (table.labels == 1).mean(0), (table.labels == UNKNOWN).any(0)
    order = [table.names[column] for column in np.argsort(np.abs(rates - 0.5), kind="stable")]
    order = [name for name in order if not (why_unfit(name) or complete and lacking[table.names.index(name)])]
    if len(order) == len(table.names) <= MOST_HEADS and can_train(table, split, order):
        return order
    heads = []
    for name in order[:MOST_TRIED]:
        if len(heads) < MOST_TYPED and can_train(table, split, [*heads, name]):
            heads.append(name)
    return heads


def commands(table, split, data_path, reading):
    """The three commands that go on from here, or the line that says why there are none.

    Args: split: of step 1, or None if the folder has none; reading: {flag: value} that the folder was read with
    """
    if split is None:
        return [
            "next     step 1 ends with the line at split: lay out a train and a test part, or pass --split released"
        ]
    heads = propose_heads(table, split, reading.get("unknown_labels") == "error")
    if len(heads) < 2:
        why = "once rows that lack a label or an image are left out: two are needed"
        return [f"next     too few names have images with and without them in both parts, {why}"]
    every = len(heads) == len(table.names)
    task = ["--task_labels", *(["all"] if every else heads)]
    run = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(data_path).resolve().name).strip("_") or "mine"
    shared = [*task, "--data_path", data_path, "--run_name", run]
    words = []
    for flag, value in reading.items():
        words += [f"--{flag}" if value is not False else f"--no-{flag}", *([] if value in (True, False) else [value])]
    chosen = [table.names.index(name) for name in heads]
    skip = "unknown_labels" not in reading and (table.labels[:, chosen] == UNKNOWN).any()
    words += ["--unknown_labels", "skip"] * bool(skip)
    words += ["--allow_missing"] * bool((table.files == "").any())
    target = ["--target_class", heads[0]]
    lines = [["original", *shared, *words], ["generate_graph", *shared, *target], ["unlearning", *shared, *target]]
    return [f"next     forget {shown(heads[0])}, for instance:"] + [
        f"python {SCRIPT}_{step}.py {shlex.join(map(str, given))}" for step, *given in lines
    ]


def main(args):
    """Read the folder and print what is in it."""
    reading = reading_options(**vars(args))
    table = read_folder(args.data_path, **reading)
    table, split, notes = table.located(), table.own_split, []
    try:
        parts = table.split_rows(split, notes.append)
    except InputError as error:  # that there are no parts is a part of the answer
        parts, split, notes = {}, None, [str(error)]
    lines = [*describe_images(table), describe_split(split, parts), *(f"         {note}" for note in notes)]
    lines += [*describe_names(table, parts, args.most), *describe_unfit(table), *describe_lost(table, parts)]
    lines += describe_pairs(table)
    lines += commands(table, split, args.data_path, reading)
    print("\n".join(map(printable, lines)))


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
