"""Set the methods of one run side by side: what each forgot and what it cost, in one table.

Reads   results/<run>/<targets>/*/audit_<target>.json    (step 3 with --audit, once for each method)
Writes  comparison_<target>.png in that folder; the table goes to the terminal

    python -m tools.compare results/Bald_Mouth_Slightly_Open/Bald
"""

from utils.common import arguments as a


def get_args_parser():
    """The flags of the comparison."""
    parser = a.Parser(description=__doc__, prog="compare")
    parser.add_argument("folder", metavar="DIR", help="results/<run>/<targets> of step 3")
    return parser


def main(args):
    """Read the audits, print a table for each target and what to look at."""
    import json  # one block, here, so that --help answers at once
    from pathlib import Path

    from utils.common.errors import InputError
    from utils.report.figures import draw_comparison
    from utils.report.tables import compared_networks, comparison_table

    audits = {}
    for path in sorted(Path(args.folder).glob("*/audit_*.json")):
        audits.setdefault(path.stem.removeprefix("audit_"), {})[path.parent.name] = json.loads(path.read_text())
    if not audits:
        raise InputError(f"no audit in {args.folder}: run step 3 with --audit quick first, once for each method")
    for target, methods in audits.items():
        reference = next(iter(methods.values()))["nets"]["unlearned"]["probe_gaps"]["reference"]
        print(
            f"forget {target} (attacks against the {reference}'s; the lower, the more is forgotten; 0: as the oracle)"
        )
        methods = {method: methods[method] for method in sorted(methods, reverse=True)}
        print(comparison_table(methods))
        title = f"{target}: what is silenced, what is erased"
        draw_comparison(Path(args.folder) / f"comparison_{target}.png", compared_networks(methods), target, title)
    print("what to look at:")
    print(*(f"  {path}" for path in sorted(Path(args.folder).rglob("*.png"))), sep="\n")


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
