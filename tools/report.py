"""Write the page of one run again: what was forgotten, what it cost, where in the network, and whether to believe it.

Reads   results/<run>/<targets>/, results/results.jsonl, graphs/<run>/<targets>.json    (steps 2 and 3)
Writes  report.html in that folder, one file that loads nothing from anywhere

    python -m tools.report results/Bald_Mouth_Slightly_Open/Bald
"""

import sys
from argparse import BooleanOptionalAction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments as a
from utils.common.errors import printable
from utils.common.paths import PAGE, check_outputs
from utils.page.page import write_page


def get_args_parser():
    """The flags of the report."""
    parser = a.Parser(description=__doc__, prog="report")
    parser.add_argument("folder", metavar="DIR", help="results/<run>/<targets> of step 3")
    parser.add_argument("--results", metavar="FILE", help="lines of step 3; without it results.jsonl two folders above")
    parser.add_argument("--graph", metavar="FILE", help="graph of step 2; without it graphs/<run>/<targets>.json")
    parser.add_argument("--out", metavar="FILE", help="the page; without it report.html in the folder")
    text = "show the images that step 3 kept; --no-faces leaves them out"
    parser.add_argument("--faces", action=BooleanOptionalAction, default=True, help=text)
    return parser


def main(args):
    """Read the folder, write the page."""
    out = args.out or Path(args.folder) / PAGE
    check_outputs(vars(args) | {"checkpoint": args.results}, {"out": "the page"}, out=out)
    path = write_page(args.folder, args.results, args.graph, out, args.faces)
    print(printable(f"look at {path}"))


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
