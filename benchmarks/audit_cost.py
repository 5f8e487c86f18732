"""What an audit costs: wall clock and memory at several numbers of images, each in a process of its own.

Reads   four networks: --unlearned, --original, --oracle, and one of random weights that the audit draws itself
Writes  a JSON line a measurement to --cost_results, and a table on the screen

    python -m benchmarks.audit_cost --unlearned A.pth --original B.pth --oracle C.pth --task Bald Smiling --target Bald
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from audit_unlearning import get_args_parser as audit_parser
from utils import arguments, run

SCRIPT = Path(__file__).resolve().parent.parent / "audit_unlearning.py"


def get_args_parser():
    """The flags: what is not known here is handed on to the audit."""
    parser = arguments.Parser(description=__doc__, prog="audit_cost", add_help=True)
    add = parser.add_argument
    text = "table rows used, training and test part together"
    add("--images", nargs="+", type=arguments.positive_int, default=[1500, 3000, 6000], metavar="N", help=text)
    add("--levels", nargs="+", choices=["quick", "full"], default=["quick", "full"], help="levels of the audit")
    add("--repeats", type=arguments.positive_int, default=1, metavar="N", help="times each is measured; medians count")
    add("--cost_results", default="results/audit_cost.jsonl", metavar="FILE", help="file that gets the lines")
    return parser


def main(args, handed_on):
    """Audit at each level and size, and note what it took."""
    rows = []
    for level in args.levels:
        for images in args.images:
            found = [measure(level, images, handed_on) for _ in range(args.repeats)]
            seconds = statistics.median(one["wall_seconds"] for one in found)
            memory = max(one["peak_rss_bytes"] for one in found)
            line = {"level": level, "images": images, "repeats": found, "wall_seconds": seconds}
            run.append_result(args.cost_results, line | {"peak_rss_bytes": memory, "nets": found[0]["nets"]})
            rows.append(
                [level, f"{images:,}", f"{seconds:.1f}", f"{1000 * seconds / images:.1f}", f"{memory / 1e9:.2f}"]
            )
    print(run.table(rows, ["level", "images", "wall clock, s", "ms an image", "peak memory, GB"]))


def measure(level, images, handed_on):
    """{"wall_seconds" of the whole process, "seconds" of its parts, "peak_rss_bytes", "nets"} of one audit."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(SCRIPT), *handed_on, "--level", level, "--limit", str(images), "--out", folder]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - start
        result = json.loads(next(Path(folder).glob("audit_*.json")).read_text(encoding="utf-8"))
    return {"wall_seconds": wall, **result["timing"], "nets": len(result["nets"])}


if __name__ == "__main__":
    parsed, others = get_args_parser().parse_known_args()
    audit_parser().parse_args(others)  # a mistake is told before any work
    main(parsed, others)
