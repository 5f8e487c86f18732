"""Draw the importance curves of several networks side by side, a panel each.

Reads   importance_curve.csv files    (step 2 with --importance_curve, once for each network)
Writes  --out, a picture

    python -m tools.draw_curves --curves alexnet=A.csv vgg13=B.csv --target Bald --out curves.png
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments as a
from utils.common.errors import InputError, did_you_mean
from utils.common.paths import check_outputs, is_same_file
from utils.pruning.importance_curve import read_curve
from utils.report.figures import draw_networks_curves


def get_args_parser():
    """The flags of the picture."""
    parser = a.Parser(description=__doc__, prog="draw_curves")
    add = parser.add_argument
    text = "a panel each, in this order: its heading, =, and the file that step 2 wrote"
    add("--curves", nargs="+", required=True, metavar="NAME=FILE", help=text)
    add("--target", required=True, metavar="ATTR", help="attribute that gave the order in which channels were pruned")
    add("--measure", default="auc", choices=["auc", "tpr"], help="of the heads: AUC or true-positive rate")
    add("--title", default="", metavar="WORDS", help="heading of the picture")
    add("--out", default="results/importance_curves.png", metavar="FILE", help="picture to write")
    return parser


def main(args):
    """Read the curves, draw them."""
    pairs = [word.partition("=") for word in args.curves]
    names = [name for name, _, _ in pairs]
    for word, (name, _, file) in zip(args.curves, pairs, strict=True):
        if not (name and file):
            raise InputError(f"--curves {word}: write a heading before the file, resnet18={file or word.strip('=')}")
        if names.count(name) > 1:
            raise InputError(f"--curves {word}: two curves have the heading {name}: give each its own")
        if is_same_file(args.out, file):
            raise InputError(f"--out would overwrite {file}, which is read (--curves {word}): name another file")
    check_outputs(vars(args), out=args.out)
    curves = {name: read_curve(file) for name, _, file in pairs}
    for name, rows in curves.items():
        heads = list(dict.fromkeys(row["attribute"] for row in rows))
        if args.target not in heads:
            hint = did_you_mean(args.target, heads) or f": its heads are {' '.join(heads)}"
            raise InputError(f"--target {args.target}: the curve of {name} has no such head{hint}")
    draw_networks_curves(args.out, curves, args.target, args.measure, args.title)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
