"""A drawn data set on disk: arguments checked, images drawn in processes, the folder written whole or not at all."""

import json
import multiprocessing
import numbers
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tqdm import tqdm

from utils.common.errors import InputError

MOST_IMAGES = 1_000_000


def check_counts(num_images, seed, workers):
    """Raises: InputError where one of these numbers makes no sense."""
    bounds = (("num_images", num_images, 1, MOST_IMAGES), ("seed", seed, 0, 2**63 - 1), ("workers", workers, 1, 1024))
    for name, value, least, most in bounds:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise InputError(f"{name} {value}: expected a whole number, at least {least}")
        if value > most:
            raise InputError(f"{name} is {float(value):.3g}: expected at most {most:,}")


def make_set(out, made_by, write, images, *, force=False, note=None):
    """Make a data set in a folder beside its place, then give it its name; on any error nothing stays behind.

    Args:
        out: folder to make; its parents are made as well
        made_by: what made_by.json records: "script", "num_images" and whatever else the bytes hang on
        write: called with the new folder, which holds the empty folder `images`; it writes everything else
        images: name of the folder of the images
        force: replace another set of the same script at `out`
        note: called with a line of text where there is something to say
    Returns: `out` as a path
    Raises: InputError where `out` holds something else or can't be written
    """
    if not os.fspath(out):
        raise InputError("--out is empty: name a folder to make")
    target = Path(out).resolve()
    if _holds_same_set(target, made_by, images, force):
        if note:
            note(f"{out}: made before with the same arguments, used again ({made_by['num_images']:,} images)")
        return Path(out)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / images).mkdir(parents=True)
        write(partial)
        (partial / "made_by.json").write_text(json.dumps(made_by, indent=2) + "\n", encoding="utf-8")
        _move_into_place(partial, target)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}: choose another --out") from error
    except BrokenProcessPool:
        raise InputError("a process that drew was ended by the system: use fewer --workers") from None
    finally:  # on any error, an interrupt included, no half set stays behind
        shutil.rmtree(partial, ignore_errors=True)
    return Path(out)


def draw_all(draw, items, workers, progress, what):
    """What `draw` gives for each item, in order, from `workers` processes; a bar says "drawing `what`".

    Args: draw: picklable; items: a sized iterable; progress: whether a terminal shows a bar
    """
    bar = {"total": len(items), "desc": f"drawing {what}", "unit": "image", "disable": None if progress else True}
    if workers == 1:
        return list(tqdm(map(draw, items), **bar))
    # fresh processes: a forked one may inherit a lock that a thread of this one holds, and wait for it forever
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items)), mp_context=fresh) as pool:
        return list(tqdm(pool.map(draw, items, chunksize=16), **bar))


def write_lines(path, lines):
    """Write text lines with one kind of line end on every system."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8"))


def _holds_same_set(target, made_by, images, force):
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
    if found == made_by and sum(1 for _ in (target / images).glob("*.jpg")) == made_by["num_images"]:
        return True
    raise InputError(f"{target} holds another generated set: choose another --out, or --force to replace it")


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
