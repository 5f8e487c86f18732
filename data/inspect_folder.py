"""Say what a folder of images and labels is read as, and how to go on with it.

Reads   DIR, in any layout of data/README.md: the labels and a listing of the images, no image
Writes  nothing

    python -m data.inspect_folder DIR
"""

import re
import shlex
import sys
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
MOST_HEADS = 20  # names that the commands take all together


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
    rowless = len(set(list_images(table.folder)) - set(table.files[there].tolist()))
    lines = [f"layout   {IN_WORDS[table.layout]} ({table.source})"]
    lines.append(f"images   {there.sum():,} of {len(there):,} rows have their image below {table.folder}")
    if not there.all():
        lines.append(f"         missing: {(~there).sum():,} (first: {shown(table.image_ids[there.argmin()])})")
    return lines + [f"         without a row: {rowless:,}"] * bool(rowless)


def describe_split(table, split, parts):
    """A line on the parts that --split of who passes none gives, {part: rows}."""
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


def describe_lost(table, parts):
    """A line on the names that could not be trained or measured, if there are some."""
    kept = set(choose_heads(table, parts))
    lost = [name for name in table.names if name not in kept]
    more = f" and {len(lost) - 5:,} more" * (len(lost) > 5)
    why = "all or none of the train or the test images have them; shuffle a sorted table"
    return [f"  of no use: {name_some(lost[:5])}{more} ({why})"] * bool(lost)


def commands(table, parts, data_path, reading):
    """The three commands that go on from here, or the line that says why there are none.

    Args: reading: {flag: value} that the folder was read with
    """
    heads = choose_heads(table, parts)
    if len(heads) < 2:
        return ["next     too few names have images with and without them in both parts: two are needed"]
    every = len(heads) == len(table.names) <= MOST_HEADS
    task = ["--task_labels", *(["all"] if every else heads[:4])]
    run = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(data_path).resolve().name).strip("_") or "mine"
    shared = [*task, "--data_path", data_path, "--run_name", run]
    words = []
    for flag, value in reading.items():
        words += [f"--{flag}" if value is not False else f"--no-{flag}", *([] if value in (True, False) else [value])]
    chosen = [table.names.index(name) for name in (table.names if every else heads[:4])]
    words += (
        ["--unknown_labels", "skip"]
        * bool((table.labels[:, chosen] == UNKNOWN).any())
        * ("unknown_labels" not in reading)
    )
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
        parts, notes = {"test": np.arange(len(table.image_ids))}, [str(error)]
    lines = [*describe_images(table), describe_split(table, split, parts), *(f"         {note}" for note in notes)]
    lines += [*describe_names(table, parts, args.most), *describe_lost(table, parts), *describe_pairs(table)]
    lines += commands(table, parts, args.data_path, reading)
    print("\n".join(map(printable, lines)))


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
