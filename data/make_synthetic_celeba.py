"""Draw the default data set: faces that show all 40 CelebA attributes, in CelebA's own layout.

Writes  OUT/img_align_celeba/000001.jpg …   178 x 218 pixels
        OUT/list_attr_celeba.txt and .csv, OUT/list_eval_partition.txt and .csv
        OUT/made_by.json                    the arguments; a set made with the same ones is used again

    python data/make_synthetic_celeba.py --out data/synthetic_celeba --num_images 6000 --workers 2
    python data/make_synthetic_celeba.py --out data/many_bald --rate Bald=0.2 --correlation 0.5
"""

import argparse
import functools
import json
import multiprocessing
import numbers
import os
import shutil
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.contact_sheet import check_name, draw_contact_sheet  # noqa: E402
from data.synthetic_attributes import ATTRIBUTES, check_rates, draw_labels  # noqa: E402
from data.synthetic_faces import draw_face  # noqa: E402
from utils.common.arguments import Parser  # noqa: E402
from utils.common.errors import InputError, explain  # noqa: E402

DRAWING = 1  # raise it when equal arguments would draw other pictures
JPEG_QUALITY = 92
MOST_IMAGES = 1_000_000
CELEBA_PARTITION = np.array([162_770, 19_867, 19_962]) / 202_599  # shares of train, valid, test


def make_dataset(
    out, num_images, seed=0, correlation=1.0, rates=None, workers=1, progress=True, *, force=False, note=None
):
    """Draw a set of faces and write it in CelebA's layout; the same arguments give the same bytes.

    Args:
        out: folder to make; its parents are made as well
        correlation: 0 (attributes independent, save for what excludes what) … 1 (as in CelebA)
        rates: {attribute: share of the faces} that replace CelebA's base rates
        workers: processes; they do not change what is drawn
        force: replace another generated set at `out`
        note: called with a line of text where there is something to say
    Returns: Path of the folder
    Raises: InputError for bad arguments, or where `out` holds something else or can't be written; nothing stays behind
    """
    made_by = _checked_arguments(num_images, seed, correlation, rates, workers)
    if not os.fspath(out):
        raise InputError("--out is empty: name a folder to make")
    target = Path(out).resolve()
    if _holds_same_set(target, made_by, force):
        if note:
            note(f"{out}: made before with the same arguments, used again ({num_images:,} images)")
        return Path(out)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "img_align_celeba").mkdir(parents=True)
        labels = draw_labels(num_images, seed, correlation, made_by["rates"])
        _write_images(partial / "img_align_celeba", labels, seed, workers, progress)
        _write_tables(partial, labels)
        (partial / "made_by.json").write_text(json.dumps(made_by, indent=2) + "\n", encoding="utf-8")
        _move_into_place(partial, target)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}: choose another --out") from error
    except BrokenProcessPool:
        raise InputError(f"a process that drew was ended by the system, of {workers}: use fewer --workers") from None
    finally:  # on any error, an interrupt included, no half set stays behind
        shutil.rmtree(partial, ignore_errors=True)
    return Path(out)


def _checked_arguments(num_images, seed, correlation, rates, workers):
    """What made_by.json records; raises InputError where a value makes no sense."""
    bounds = (("num_images", num_images, 1, MOST_IMAGES), ("seed", seed, 0, 2**63 - 1), ("workers", workers, 1, 1024))
    for name, value, least, most in bounds:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise InputError(f"{name} {value}: expected a whole number, at least {least}")
        if value > most:
            raise InputError(f"{name} is {float(value):.3g}: expected at most {most:,}")
    if not isinstance(correlation, numbers.Real) or not 0 <= correlation <= 1:
        raise InputError(f"correlation {correlation}: expected a number from 0 (independent) to 1 (as in CelebA)")
    check_rates(rates)
    rates = {name: float(rates[name]) for name in sorted(rates or {})}
    made_by = {"num_images": int(num_images), "seed": int(seed), "correlation": float(correlation), "rates": rates}
    return {"script": "make_synthetic_celeba.py", "drawing": DRAWING, **made_by}


def _holds_same_set(target, made_by, force):
    """Whether `target` is the set asked for; raises InputError where it holds anything that must not be replaced."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    record = target / "made_by.json"
    try:
        found = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None
    except (OSError, ValueError, RecursionError):
        found = None
    generated = isinstance(found, dict) and found.get("script") == made_by["script"]
    if not generated:
        raise InputError(f"{target} exists and is no generated set, so it is left alone: choose another --out")
    if force:
        return False
    if found == made_by and sum(1 for _ in (target / "img_align_celeba").glob("*.jpg")) == made_by["num_images"]:
        return True
    raise InputError(f"{target} holds another generated set: choose another --out, or --force to replace it")


def _write_images(folder, labels, seed, workers, progress):
    """Draw and save one JPEG for each row of `labels`, in `workers` processes."""
    write = functools.partial(_write_image, folder, seed)
    bar = tqdm(total=len(labels), desc="drawing faces", unit="image", disable=None if progress else True)
    with bar:
        if workers == 1:
            for item in enumerate(labels):
                write(item)
                bar.update()
            return
        # fresh processes: a forked one may inherit a lock that a thread of this one holds, and wait for it forever
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(labels)), mp_context=fresh) as pool:
            for _ in pool.map(write, enumerate(labels), chunksize=16):
                bar.update()


def _write_image(folder, seed, item):
    """Draw and save face `item` = (index, labels); its random stream hangs on seed and index only."""
    index, labels = item
    picture = draw_face(labels, np.random.default_rng([seed, index, 1]))
    picture.save(folder / f"{index + 1:06d}.jpg", quality=JPEG_QUALITY)


def _write_tables(folder, labels):
    """Attribute table and partition, each in the official form and as CSV."""
    names = [f"{number:06d}.jpg" for number in range(1, len(labels) + 1)]
    signed = labels.astype(int) * 2 - 1
    official, table = [f"{len(names)}", " ".join(ATTRIBUTES) + " "], [",".join(("image_id", *ATTRIBUTES))]
    for name, row in zip(names, signed.tolist(), strict=True):
        official.append(f"{name} " + " ".join(f"{value:2d}" for value in row))
        table.append(",".join([name, *map(str, row)]))
    ends = np.round(np.cumsum(CELEBA_PARTITION) * len(names)).astype(int)
    parts = np.searchsorted(ends, np.arange(len(names)), side="right").tolist()
    rows = list(zip(names, parts, strict=True))
    _write_lines(folder / "list_attr_celeba.txt", official)
    _write_lines(folder / "list_attr_celeba.csv", table)
    _write_lines(folder / "list_eval_partition.txt", [f"{name} {part}" for name, part in rows])
    _write_lines(folder / "list_eval_partition.csv", ["image_id,partition", *(f"{name},{part}" for name, part in rows)])


def _write_lines(path, lines):
    """Write text lines with one kind of line end on every system."""
    path.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))


def _move_into_place(partial, target):
    """Give the finished set its name; an older set steps aside first and is removed last."""
    if not target.exists():
        partial.rename(target)
        return
    aside = partial.with_name(partial.name + "-old")
    target.rename(aside)
    try:
        partial.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside)


class _Parser(Parser):
    """Raises what is wrong, for `main` to say."""

    def error(self, message):
        raise InputError(" ".join(str(message).split()))


class _Collect(argparse.Action):
    """Values of a flag that may come more than once, all in one list, whatever stood there before."""

    def __call__(self, parser, namespace, values, option_string=None):
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, [*(before if isinstance(before, list) else []), *values])


def get_args_parser():
    """Command-line flags."""
    parser = _Parser(description="Draw faces that show all 40 CelebA attributes, in CelebA's layout")
    parser.add_argument("--out", default="data/synthetic_celeba", metavar="DIR", help="folder to make")
    parser.add_argument("--num_images", type=int, default=6000, help="number of faces, at least 1")
    parser.add_argument("--seed", type=int, default=0, help="whole number, at least 0")
    parser.add_argument("--correlation", type=float, default=1.0, help="0 (independent) to 1 (as in CelebA)")
    parser.add_argument("--rate", nargs="+", action=_Collect, default=[], metavar="ATTR=SHARE",
                        help="share of the faces that have an attribute, in (0, 1), as in Bald=0.2")  # fmt: skip
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw")
    parser.add_argument("--force", action="store_true", help="replace another generated set at --out")
    parser.add_argument("--contact_sheet", metavar="FILE", help="also draw faces of every attribute, .png or .jpg")
    return parser


def parse_rates(texts):
    """{"Bald": 0.2} of ["Bald=0.2"]; raises InputError where a text is no ATTR=SHARE or a name comes twice."""
    rates = {}
    for text in texts:
        name, _, share = text.partition("=")
        try:
            value = float(share)
        except ValueError:
            raise InputError(f"--rate {text}: expected ATTR=SHARE, as in Bald=0.2") from None
        if name in rates:
            raise InputError(f"--rate {name} is given twice: keep one of {rates[name]} and {value}")
        rates[name] = value
    return rates


def main(argv=None):
    """Make the set; on bad input one line on stderr. Returns the exit code."""
    try:
        args = get_args_parser().parse_args(argv)
        rates = parse_rates(args.rate)
        if args.contact_sheet is not None:
            check_name(args.contact_sheet, args.out)  # before an hour of drawing
        options = {"force": args.force, "note": print}
        folder = make_dataset(args.out, args.num_images, args.seed, args.correlation, rates, args.workers, **options)
        print(f"{folder}: {args.num_images:,} faces, 40 attributes")
        if args.contact_sheet is not None:
            print(draw_contact_sheet(folder, args.contact_sheet))
    except (InputError, OSError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped: no half set is left", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a stopped run also clears its partial set
    sys.stdout.reconfigure(errors="backslashreplace")  # the name of a folder may hold what an encoding lacks
    sys.exit(main())
