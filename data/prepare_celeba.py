"""Make a download of CelebA ready: unpack, check every file, write a smaller copy.

Reads   DATA/list_attr_celeba.txt or .csv, DATA/list_eval_partition.txt or .csv (if there), DATA/img_align_celeba(.zip);
        the same under DATA/celeba/, as torchvision lays it
Writes  DATA/img_align_celeba/ if only the .zip is there; with --subset the same layout in OUT

    python data/prepare_celeba.py --data_path data/celeba                  # check all of it, minutes
    python data/prepare_celeba.py --data_path data/celeba --download       # fetch it first
    python data/prepare_celeba.py --data_path data/celeba --subset 5000 --size 89x109 --out data/celeba_5k
    python data/prepare_celeba.py --clear_cache cache                      # delete the caches of decoded images
"""

import argparse
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision import datasets
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.unpacking import unpack_images  # noqa: E402 (the path above comes first)
from utils.common.arguments import Parser, run_script  # noqa: E402
from utils.common.errors import InputError, no_memory  # noqa: E402
from utils.datasets.cache import clear_caches  # noqa: E402
from utils.datasets.decoding import load_rgb, run_on_threads  # noqa: E402
from utils.layouts.attribute_table import AttributeTable  # noqa: E402
from utils.layouts.celeba import (  # noqa: E402 (the path above comes first)
    PARTITION_FILES,
    read_attribute_table,
    read_partition,
    write_tables,
)
from utils.layouts.folders import (  # noqa: E402
    IMAGES,
    check_folder,
    find_files,
    find_image_folder,
    find_images,
    missing_images_message,
)

BY_HAND = (
    "fetch img_align_celeba.zip, list_attr_celeba.txt and list_eval_partition.txt by hand from the links on "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, put them into {folder}, and run this again without --download"
)
MOST_SIDE = 8192  # pixels of a copied image


def parse_size(text):
    """'89x109' to (width, height) in pixels."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and len(side) < 6 and 1 <= int(side) <= MOST_SIDE for side in sides):
        expected = f"expected WIDTHxHEIGHT such as 89x109, each from 1 to {MOST_SIDE:,} pixels"
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no size, {expected}")
    return int(sides[0]), int(sides[1])


def get_args_parser():
    """Return the parser of the command line."""
    parser = Parser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data_path", default="data/celeba", metavar="DIR", help="folder of the download")
    parser.add_argument("--download", action="store_true", help="fetch CelebA by torchvision's downloader first")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads that decode")
    parser.add_argument("--subset", type=int, metavar="N", help="write a copy of N images instead of checking all")
    parser.add_argument("--start", type=int, default=0, help="first table row of the copy, from 0")
    parser.add_argument("--size", type=parse_size, default="89x109", metavar="WxH", help="pixels of the copy's images")
    parser.add_argument("--quality", type=int, default=75, help="JPEG quality of the copy, 1 to 95")
    parser.add_argument("--out", metavar="DIR", help="folder of the copy; must not exist")
    parser.add_argument("--clear_cache", metavar="DIR", help="delete the image caches in that folder, and do no more")
    return parser


def download(folder):
    """Fetch CelebA by torchvision. Raises: InputError that says what to do by hand, whatever went wrong."""
    folder = Path(folder)
    root = folder.parent if folder.name == "celeba" else folder  # torchvision makes a folder celeba/ in its root
    try:
        root.mkdir(parents=True, exist_ok=True)
        datasets.CelebA(str(root), split="all", download=True)
    except Exception as error:  # the downloader fails in many ways (quota pages, checksums, no network): one cure
        if no_memory(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if "gdown" in reason and find_spec("gdown") is None:
            raise InputError(f"--download needs gdown: pip install gdown, or {BY_HAND.format(folder=folder)}") from None
        raise InputError(f"the download failed ({reason}): {BY_HAND.format(folder=folder)}") from None


def unzip_images(folder):
    """Unpack img_align_celeba.zip where there is no image folder yet. Raises: InputError, see `unpack_images`."""
    folder = check_folder(folder)
    for base in (folder, folder / "celeba"):
        archive, target = base / f"{IMAGES}.zip", base / IMAGES
        if not archive.is_file() or target.exists():
            continue
        part = base / f".{IMAGES}.{os.getpid()}.part"
        try:
            part.mkdir()
            unpack_images(archive, part)
            part.rename(target)
        except OSError as error:
            raise InputError(f"cannot unpack {archive} ({error.strerror}): make room, or check permissions") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)


def verify(folder, workers=2):
    """Check tables and images, decoding each one.

    Returns: lines that say what is there
    Raises: InputError if images are missing or can't be read (a line on stderr for each of those)
    """
    table = read_attribute_table(folder)
    lines = [f"{table.source}: {len(table.image_ids):,} rows, {len(table.names)} attributes"]
    if find_files(folder, PARTITION_FILES):
        counts = np.bincount(read_partition(folder, table.image_ids), minlength=3)
        lines.append("partition: {:,} train, {:,} validation, {:,} test".format(*counts))
    else:
        lines.append("no partition file (only --split official needs it)")
    image_folder = find_image_folder(folder)
    files = find_images(image_folder, table.image_ids)
    present = files != ""
    damaged = find_unreadable(image_folder, files[present], workers)
    for message in damaged:
        print(message, file=sys.stderr)
    if damaged or not present.all():
        first = f" (first missing: {table.image_ids[present.argmin()]})" if not present.all() else ""
        raise InputError(
            f"{(~present).sum():,} of {len(present):,} images are missing{first} and {len(damaged):,} unreadable in "
            f"{image_folder}: fetch these again, or delete the unreadable ones and pass --allow_missing to the scripts"
        )
    return [*lines, f"{image_folder}: all {len(present):,} images can be read", *describe_sorting(table)]


def describe_sorting(table):
    """Lines on the parts of the split "released" in which attributes of a table have one value only, though it has two.

    The table is then sorted by them, and nothing could be learnt or measured.
    """
    cut, lines = int(0.75 * len(table.labels)), []
    mixed = (table.labels == 0).any(0) & (table.labels == 1).any(0)
    for part, labels in (("training", table.labels[:cut]), ("test", table.labels[cut:])):
        for value, words in ((1, "with"), (0, "without")):
            lacking = [table.names[column] for column in np.flatnonzero(mixed & ~(labels == value).any(0))]
            if lacking:
                names = f"{', '.join(lacking[:5])}{f' and {len(lacking) - 5} more' if len(lacking) > 5 else ''}"
                lines.append(
                    f"warning: the {part} part of --split released has no image {words} {names}: "
                    "shuffle the table's rows, or train with --split official"
                )
    return lines


def find_unreadable(image_folder, image_ids, workers):
    """Decode images, return the messages about those that can't be, in table order."""
    messages = {}

    def check(row):
        try:
            load_rgb(image_folder / str(image_ids[row]))
        except InputError as error:
            messages[row] = str(error)

    with tqdm(total=len(image_ids), desc="decode", unit="img", disable=None) as bar:
        run_on_threads(check, len(image_ids), workers, bar)
    return [messages[row] for row in sorted(messages)]


def write_subset(folder, out, count, start=0, size=(89, 109), quality=75, workers=2):
    """Write images start … start + count - 1 of the table, resized (PIL bicubic) to `size`, with their rows.

    `size` is (width, height). Names keep their stem and end in .jpg. The folder gets its name when it is complete.
    Raises: InputError if `out` exists, the table is shorter, or an image is missing or damaged
    """
    out = Path(out)
    if os.path.lexists(out):
        raise InputError(f"{out} exists already: delete it or choose another --out")
    table = read_attribute_table(folder)
    if start + count > len(table.image_ids):
        raise InputError(f"rows {start} to {start + count - 1} asked for, {table.source} has {len(table.image_ids):,}")
    chosen = table.rows(slice(start, start + count))
    partition = read_partition(folder, chosen.image_ids) if find_files(folder, PARTITION_FILES) else None
    image_folder = find_image_folder(folder)
    files = find_images(image_folder, chosen.image_ids)
    if "" in files:
        raise InputError(missing_images_message(image_folder, chosen.image_ids, files != ""))
    names = np.array([f"{os.path.splitext(name)[0]}.jpg" for name in chosen.image_ids.tolist()])
    if len(set(names.tolist())) < len(names):
        raise InputError(f"{table.source} names images that differ in their extension only: rename them first")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        (part / IMAGES).mkdir(parents=True)

        def shrink(row):
            image = load_rgb(image_folder / str(files[row])).resize(size, Image.BICUBIC)
            image.save(part / IMAGES / str(names[row]), "JPEG", quality=quality)

        with tqdm(total=count, desc=f"write {out}", unit="img", disable=None) as bar:
            run_on_threads(shrink, count, workers, bar)
        write_tables(part, AttributeTable(names, chosen.names, chosen.labels), partition)
        part.rename(out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; choose another --out") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def main(args):
    """Run what the command line asks for."""
    if (
        args.workers < 1
        or args.start < 0
        or not 1 <= args.quality <= 95
        or (args.subset is not None and args.subset < 1)
    ):
        raise InputError("--workers and --subset must be at least 1, --start at least 0, --quality in 1 to 95")
    if args.clear_cache is not None:
        print(clear_caches(args.clear_cache))
        return
    if (args.subset is None) != (args.out is None):
        raise InputError("--subset and --out belong together: pass both, or neither to check the download")
    if args.download:
        download(args.data_path)
    unzip_images(args.data_path)
    if args.subset is None:
        print("\n".join(verify(args.data_path, args.workers)))
        return
    write_subset(args.data_path, args.out, args.subset, args.start, args.size, args.quality, args.workers)
    print(f"{args.out}: {args.subset:,} images of {args.size[0]} x {args.size[1]} pixels")


if __name__ == "__main__":
    run_script(main, get_args_parser())
