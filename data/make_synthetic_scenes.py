"""Draw a second data set: scenes of up to five objects of ten kinds, in PASCAL VOC's layout, with boxes.

Writes  OUT/VOC2007/JPEGImages/000001.jpg …      160 x 120 pixels
        OUT/VOC2007/Annotations/000001.xml …     a box for each object: what is seen of it
        OUT/VOC2007/ImageSets/Main/              train, val, trainval, test, and these of each kind
        OUT/made_by.json                         the arguments; a set made with the same ones is used again

    python data/make_synthetic_scenes.py --out data/synthetic_scenes --num_images 4000 --workers 2
    python data/make_synthetic_scenes.py --out data/dog_walkers --rate person=0.4 --together person=dog:0.6
"""

import functools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.synthetic.flags import make_parser, parse_shares, prepare_process, run_generator  # noqa: E402
from data.synthetic.making import check_counts, draw_all, make_set  # noqa: E402
from data.synthetic.scenes import voc  # noqa: E402
from data.synthetic.scenes.kinds import KINDS, draw_labels, share_sets  # noqa: E402
from data.synthetic.scenes.scene import draw_scene  # noqa: E402
from utils.common.errors import InputError  # noqa: E402

DRAWING = 1  # raise it when equal arguments would draw other pictures
JPEG_QUALITY = 90


def make_dataset(
    out, num_images, seed=0, rates=None, together=None, workers=1, progress=True, *, force=False, note=None
):
    """Draw a set of scenes and write it in VOC's layout; the same arguments give the same bytes.

    Args:
        out: folder to make; its parents are made as well
        rates: {kind: share of the scenes that hold it}
        together: {(kind, other): share of the scenes with `kind` that hold `other`, too}; unnamed kinds are independent
        workers: processes; they do not change what is drawn
        force: replace another set of drawn scenes at `out`
        note: called with a line of text where there is something to say
    Returns: Path of the folder
    Raises: InputError for bad arguments, or where `out` holds something else or can't be written; nothing stays behind
    """
    check_counts(num_images, seed, workers)
    share_sets(rates, together)
    made_by = {"script": "make_synthetic_scenes.py", "drawing": DRAWING, "num_images": int(num_images)}
    made_by |= {"seed": int(seed), "rates": dict(sorted((rates or {}).items()))}
    made_by |= {"together": {f"{one}={other}": share for (one, other), share in sorted((together or {}).items())}}

    def write(folder):
        (folder / voc.ANNOTATIONS).mkdir()
        (folder / voc.LISTS).mkdir(parents=True)
        labels = draw_labels(num_images, seed, rates, together)
        draw = functools.partial(_write_scene, folder, seed)
        states = draw_all(draw, list(enumerate(labels)), workers, progress, "scenes")
        voc.write_lists(folder / voc.LISTS, np.array(states))

    return make_set(out, made_by, write, voc.IMAGES, force=force, note=note)


def _write_scene(folder, seed, item):
    """Draw and save scene `item` = (index, labels); its random stream hangs on seed and index only.

    Returns: (10,) what VOC's lists say of its kinds
    """
    index, labels = item
    image, boxes = draw_scene(labels, np.random.default_rng([seed, index, 1]))
    name = voc.name_image(index)
    image.save(folder / voc.IMAGES / f"{name}.jpg", quality=JPEG_QUALITY)
    voc.write_annotation(folder / voc.ANNOTATIONS / f"{name}.xml", name, boxes)
    return voc.state_kinds(boxes)


def get_args_parser():
    """Command-line flags."""
    description = f"Draw scenes of up to five objects in PASCAL VOC's layout: {', '.join(KINDS)}"
    parser = make_parser(description, "data/synthetic_scenes", 4000, "scenes")
    parser.add_argument("--rate", nargs="+", action="extend", default=[], metavar="KIND=SHARE",
                        help="share of the scenes that hold a kind, in (0, 1), as in person=0.4")  # fmt: skip
    parser.add_argument("--together", nargs="+", action="extend", default=[], metavar="KIND=KIND:SHARE",
                        help="share of the scenes with the first kind that hold the second, too")  # fmt: skip
    return parser


def parse_together(texts):
    """{("person", "dog"): 0.6} of ["person=dog:0.6"]. Raises: InputError where a text is not of that form"""
    pairs = {}
    for text, share in parse_shares("--together", texts, "person=dog:0.6", sign=":").items():
        leader, _, kind = text.partition("=")
        if not leader or not kind:
            raise InputError(f"--together {text}:{share}: expected KIND=KIND:SHARE, as in person=dog:0.6")
        pairs[leader, kind] = share
    return pairs


def _make(args):
    """Make the set that the flags ask for: (its folder, what it holds in words)."""
    rates, together = parse_shares("--rate", args.rate, "person=0.4"), parse_together(args.together)
    options = {"force": args.force, "note": print}
    folder = make_dataset(args.out, args.num_images, args.seed, rates, together, args.workers, **options)
    return folder, f"{args.num_images:,} scenes, {len(KINDS)} kinds"


def main(argv=None):
    """Make the set; on bad input one line on stderr. Returns the exit code."""
    return run_generator(get_args_parser(), _make, argv)


if __name__ == "__main__":
    prepare_process()
    sys.exit(main())
