"""Draw the default data set: faces that show all 40 CelebA attributes, in CelebA's own layout.

Writes  OUT/img_align_celeba/000001.jpg …   178 x 218 pixels
        OUT/list_attr_celeba.txt and .csv, OUT/list_eval_partition.txt and .csv
        OUT/made_by.json                    the arguments; a set made with the same ones is used again

    python data/make_synthetic_celeba.py --out data/synthetic_celeba --num_images 6000 --workers 2
    python data/make_synthetic_celeba.py --out data/many_bald --rate Bald=0.2 --correlation 0.5
"""

import functools
import numbers
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.synthetic.faces.attributes import ATTRIBUTES, check_rates, draw_labels  # noqa: E402
from data.synthetic.faces.face import draw_face  # noqa: E402
from data.synthetic.flags import make_parser, parse_shares, prepare_process, run_generator  # noqa: E402
from data.synthetic.making import check_counts, draw_all, make_set, write_lines  # noqa: E402
from utils.common.errors import InputError  # noqa: E402

DRAWING = 1  # raise it when equal arguments would draw other pictures
JPEG_QUALITY = 92
IMAGES = "img_align_celeba"
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

    def write(folder):
        labels = draw_labels(num_images, seed, correlation, made_by["rates"])
        draw_all(
            functools.partial(_write_image, folder / IMAGES, seed), list(enumerate(labels)), workers, progress, "faces"
        )
        _write_tables(folder, labels)

    return make_set(out, made_by, write, IMAGES, force=force, note=note)


def _checked_arguments(num_images, seed, correlation, rates, workers):
    """What made_by.json records; raises InputError where a value makes no sense."""
    check_counts(num_images, seed, workers)
    if not isinstance(correlation, numbers.Real) or not 0 <= correlation <= 1:
        raise InputError(f"correlation {correlation}: expected a number from 0 (independent) to 1 (as in CelebA)")
    check_rates(rates)
    rates = {name: float(rates[name]) for name in sorted(rates or {})}
    made_by = {"num_images": int(num_images), "seed": int(seed), "correlation": float(correlation), "rates": rates}
    return {"script": "make_synthetic_celeba.py", "drawing": DRAWING, **made_by}


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
    write_lines(folder / "list_attr_celeba.txt", official)
    write_lines(folder / "list_attr_celeba.csv", table)
    write_lines(folder / "list_eval_partition.txt", [f"{name} {part}" for name, part in rows])
    write_lines(folder / "list_eval_partition.csv", ["image_id,partition", *(f"{name},{part}" for name, part in rows)])


def get_args_parser():
    """Command-line flags."""
    description = "Draw faces that show all 40 CelebA attributes, in CelebA's layout"
    parser = make_parser(description, "data/synthetic_celeba", 6000, "faces")
    parser.add_argument("--correlation", type=float, default=1.0, help="0 (independent) to 1 (as in CelebA)")
    parser.add_argument("--rate", nargs="+", action="extend", default=[], metavar="ATTR=SHARE",
                        help="share of the faces that have an attribute, in (0, 1), as in Bald=0.2")  # fmt: skip
    return parser


def _make(args):
    """Make the set that the flags ask for: (its folder, what it holds in words)."""
    rates = parse_shares("--rate", args.rate, "Bald=0.2")
    options = {"force": args.force, "note": print}
    folder = make_dataset(args.out, args.num_images, args.seed, args.correlation, rates, args.workers, **options)
    return folder, f"{args.num_images:,} faces, {len(ATTRIBUTES)} attributes"


def main(argv=None):
    """Make the set; on bad input one line on stderr. Returns the exit code."""
    return run_generator(get_args_parser(), _make, argv)


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
