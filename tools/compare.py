"""Set the methods of one run side by side: what each forgot and what it cost, in one table.

Reads   results/<run>/<targets>/*/audit_<target>.json    (step 3 with --audit, once for each method)
Writes  comparison_<target>.png in that folder; the table goes to the terminal

    python -m tools.compare results/Bald_Mouth_Slightly_Open/Bald
"""

import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments as a
from utils.common.errors import InputError, printable
from utils.common.parser import one_line
from utils.common.paths import check_outputs, targets_name
from utils.common.run import table
from utils.report.style import network_styles, number, picture, plain, readable
from utils.report.tables import format_figure

LARGEST = 64 << 20  # bytes of an audit; those of 40 heads have less than one MB


def get_args_parser():
    """The flags of the comparison."""
    parser = a.Parser(description=__doc__, prog="compare")
    parser.add_argument("folder", metavar="DIR", help="results/<run>/<targets> of step 3")
    return parser


def main(args):
    """Read the audits, print a table for each target and what to look at."""
    audits = {}
    for path in sorted(Path(args.folder).glob("*/audit_*.json")):
        audit = _read(path)
        strength = str(audit.get("method")).partition("erase")[2]  # of "erase, strength 2"
        audits.setdefault(audit["target"], {})[path.parent.name + strength] = audit
    if not audits:
        raise InputError(f"no audit in {args.folder}: run step 3 with --audit quick first, once for each method")
    files = {target: Path(args.folder) / f"comparison_{targets_name([target])}.png" for target in audits}
    check_outputs(vars(args), {"folder": "DIR"}, folder=list(files.values()))
    for target, methods in audits.items():
        reference = next(iter(methods.values()))["nets"]["unlearned"]["gaps"]["reference"]
        attacks = f"attacks against the {reference}'s; the lower, the more is forgotten; 0: as that one's"
        print(printable(f"forget {target} ({attacks})"))
        methods = {method: methods[method] for method in sorted(methods, reverse=True)}
        print(comparison_table(methods))
        title = f"{target}: what is silenced, what is erased"
        draw_comparison(files[target], compared_networks(methods), target, title)
    print("what to look at:")
    print(*(printable(f"  {path}") for path in sorted(Path(args.folder).rglob("*.png"))), sep="\n")


def _read(path):
    """An audit, with all that is shown of it."""
    try:
        if not path.is_file():
            raise ValueError("a folder, a pipe or a device")
        if path.stat().st_size > LARGEST:
            raise ValueError(f"more than {LARGEST >> 20} MB")
        audit = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(audit["target"], str):
            raise ValueError("its target has no name")
        str(audit["nets"]["unlearned"]["gaps"]["reference"]), comparison_table({"unlearned": audit})
        [number(figure) for figures in compared_networks({"unlearned": audit}).values() for figure in figures.values()]
        return audit
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"[:120]
        raise InputError(f"{path} is no audit ({one_line(reason)}): run step 3 with --audit again") from None


def comparison_table(audits):
    """Aligned text on one target: the original, each audited method and the oracle side by side.

    Args: audits: {method: audit as `utils.audit.audit.audit` returns it}, all of one original
    """
    rows = []
    for name, record in _records(audits).items():
        verdict = record["verdict"]["word"] if name in audits else "-"
        rows.append([name, *_head_and_attack(record), *_kept_changes(record), verdict])
    columns = ["network", "head AUC", "worst attack", "kept: accuracy, points", "kept: AUC", "verdict"]
    return table(rows, columns)


def compared_networks(audits):
    """{network: figures} for `draw_comparison`; `audits` as for `comparison_table`."""
    audit = next(iter(audits.values()))
    found = {}
    for name, record in _records(audits).items():
        kept = [record["heads"][head]["accuracy"] for head in audit["kept"] if head in record["heads"]]
        found[name] = {
            "rate": record["heads"].get(audit["target"], {}).get("tpr"),
            "head": record["shipped"]["value"] if record["shipped"]["has_head"] else None,
            "probe": list(record["attacks"]["linear"].values())[-1]["value"],
            "kept": min((value for value in kept if value is not None), default=None),
        }
    return found


def _records(audits):
    """{"original", each method, "oracle": what an audit says of that network}; those that none has are left out."""
    first = next(iter(audits.values()))["nets"]
    networks = {
        "original": first.get("original"),
        **{name: audit["nets"]["unlearned"] for name, audit in audits.items()},
    }
    networks["oracle"] = first.get("oracle")
    return {name: record for name, record in networks.items() if record}


def _head_and_attack(record):
    """(AUC of the head, largest gap of an attack on the features to the reference's, signed)."""
    figures = [gap for places in record["gaps"]["attacks"].values() for gap in places.values()]
    worst = max((figure["value"] for figure in figures if figure["value"] is not None), default=None)
    head = format_figure(record["shipped"]["value"]) if record["shipped"]["has_head"] else "no head"
    return head, "-" if worst is None else f"{worst:+.3f}"


def _kept_changes(record):
    """(worst change of a kept head's accuracy in points, of its AUC), signed; "-" for the network compared with."""
    heads = record["kept_changes"]["heads"].values()
    worst = [
        min((head[measure]["value"] for head in heads if head[measure]["value"] is not None), default=None)
        for measure in ("accuracy", "auc")
    ]
    accuracy, auc = worst
    return "-" if accuracy is None else f"{100 * accuracy:+.1f}", "-" if auc is None else f"{auc:+.3f}"


def draw_comparison(path, networks, target, title=""):
    """Networks side by side on one target: does the head still answer, does it rank, do the features still tell?

    Args:
        networks: {network: {"rate": true-positive rate of the head, "head": its AUC, "probe": AUC of a linear probe of
            the last features, "kept": accuracy of the worst kept head}}, fractions, None where undefined
        target: name of the forgotten attribute
    """
    captions = {
        "rate": f"{readable(target)} found\n(true-positive rate)",
        "head": "its head still ranks\n(AUC, chance = 0.5)",
        "probe": "its features still tell\n(AUC of a linear probe)",
        "kept": "kept heads\n(worst accuracy)",
    }
    styles, names = network_styles(networks), list(networks)
    with picture(path, 10.4, 1.7 + 0.42 * len(names), title) as figure:
        panels = figure.subplots(1, len(captions), sharey=True)
        for panel, (measure, caption) in zip(panels, captions.items(), strict=True):
            for row, name in enumerate(names):
                value = number(networks[name][measure])
                colour, _, marker = styles[name]
                panel.hlines(row, 0, value, color=colour, linewidth=5, alpha=0.35)
                panel.plot([value], [row], marker=marker, markersize=8, color=colour)
                words = "no head" if math.isnan(value) else f"{value:.2f}"
                place = 0.04 if math.isnan(value) else value - 0.05 if value > 0.5 else value + 0.05
                side = "right" if value > 0.5 else "left"
                panel.text(place, row - 0.28, words, ha=side, va="bottom", fontsize=8.5, color=colour)
            panel.set(title=caption, xlim=(-0.04, 1.08), ylim=(len(names) - 0.5, -0.8))
            panel.set_xticks([0, 0.5, 1])
            panel.tick_params(axis="y", length=0)
            panel.grid(axis="y", visible=False)
        panels[0].set_yticks(range(len(names)), [plain(name) for name in names])


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
