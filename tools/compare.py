"""Set the methods of one run side by side: what each forgot and what it cost, in one table.

Reads   results/<run>/<targets>/*/audit_<target>.json    (step 3 with --audit, once for each method)
Writes  comparison_<target>.png in that folder; the table goes to the terminal

    python -m tools.compare results/Bald_Mouth_Slightly_Open/Bald
"""

import json
import math
import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments as a
from utils.common.errors import InputError, printable
from utils.common.parser import one_line
from utils.common.paths import check_outputs, targets_name
from utils.common.run import table
from utils.report.style import network_styles, number, picture, plain, readable
from utils.report.tables import format_figure, found_in, worst_change, worst_places

LARGEST = 64 << 20  # bytes of an audit; those of 40 heads have less than one MB
REFERENCES = {"oracle": "the oracle's", "random": "a random initialisation's", None: "nothing, there is no reference"}
MEASURES = ("rate", "head", "gap", "kept")  # a panel each
WIDEST_GAP = 0.3  # of AUC, that fits into its panel; larger ones widen it


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
        reference = REFERENCES[next(iter(methods.values()))["nets"]["unlearned"]["gaps"]["reference"]]
        attacks = f"worst attack: AUC above {reference}; the lower, the more is forgotten"
        print(printable(f"forget {target} ({attacks})"))
        methods = {method: methods[method] for method in sorted(methods, reverse=True)}
        print(comparison_table(methods))
        title = f"{target}: what is silenced, what is erased"
        draw_comparison(files[target], compared_networks(methods), target, reference, title)
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
        if "attacks" not in audit["nets"]["unlearned"]:
            raise ValueError("of an earlier version, without attacks")
        REFERENCES[audit["nets"]["unlearned"]["gaps"]["reference"]], comparison_table({"unlearned": audit})
        for figures in compared_networks({"unlearned": audit}).values():
            plain(figures["verdict"]), plain(figures["attack"]), [number(figures[measure]) for measure in MEASURES]
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
        head = format_figure(record["shipped"]["value"]) if record["shipped"]["has_head"] else "no head"
        gap, attack = _worst_attack(record)
        worst = "-" if gap is None else f"{gap:+.3f} {attack}".rstrip()
        verdict = record["verdict"]["word"] if name in audits else "-"
        rows.append([name, head, worst, *_kept_changes(record), verdict])
    columns = ["network", "head AUC", "worst attack", "kept: accuracy, points", "kept: AUC", "verdict"]
    return table(rows, columns)


def compared_networks(audits):
    """{network: figures} for `draw_comparison`; `audits` as for `comparison_table`."""
    audit = next(iter(audits.values()))
    found = {}
    for name, record in _records(audits).items():
        kept = [record["heads"][head]["accuracy"] for head in audit["kept"] if head in record["heads"]]
        gap, attack = _worst_attack(record)
        found[name] = {
            "rate": record["heads"].get(audit["target"], {}).get("tpr"),
            "head": record["shipped"]["value"] if record["shipped"]["has_head"] else None,
            "gap": gap,
            "attack": attack,
            "kept": min((value for value in kept if value is not None), default=None),
            "verdict": record["verdict"]["word"] if name in audits else "",
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


def _worst_attack(record):
    """(largest gap of an attack to the reference's, "attack at place"); None and "" where nothing is compared.

    Of the attacks that found the target beyond chance, if any did. The reference itself has no worst attack.
    """
    gaps, found = record["gaps"]["attacks"], set(found_in(record))
    worst = [(gaps[attack][place]["value"], attack, place) for attack, place in worst_places(record).items() if gaps]
    worst = [entry for entry in worst if entry[1:] in found] or worst
    gap, attack, place = max(worst, default=(None, "", ""))
    return gap, f"{attack} at {place}" if any(value for value, *_ in worst) else ""


def _kept_changes(record):
    """(worst change of a kept head's accuracy in points, of its AUC), signed; "-" for the network compared with."""
    worst = [worst_change(record["kept_changes"]["heads"], measure) for measure in ("accuracy", "auc")]
    accuracy, auc = [pair and pair[0] for pair in worst]
    return "-" if accuracy is None else f"{100 * accuracy:+.1f}", "-" if auc is None else f"{auc:+.3f}"


def draw_comparison(path, networks, target, reference, title=""):
    """Networks side by side on one target: does the head still answer, does it rank, do the features still tell?

    Args:
        networks: {network: {"rate": true-positive rate of the head, "head": its AUC, "gap": what the worst attack finds
            beyond the reference, in AUC, "attack": its name, "kept": accuracy of the worst kept head, "verdict": a
            word or ""}}, fractions, None where undefined
        target: name of the forgotten attribute; reference: whose AUC the gap is beyond, in words
    """
    captions = {
        "rate": f"{readable(target)} found\n(true-positive rate)",
        "head": "its head still ranks\n(AUC, chance = 0.5)",
        "gap": f"its features still tell\n(worst attack, above {reference})",
        "kept": "kept heads\n(worst accuracy)",
    }
    styles, names = network_styles(networks), list(networks)
    with picture(path, 11.4, 1.7 + 0.52 * len(names), title) as figure:
        panels = figure.subplots(1, len(MEASURES), sharey=True)
        for panel, measure in zip(panels, MEASURES, strict=True):
            values = [number(networks[name][measure]) for name in names]
            largest = max([WIDEST_GAP, *filter(math.isfinite, values)])
            reach = math.ceil(10 * largest) / 10 if measure == "gap" else 1
            for row, (name, value) in enumerate(zip(names, values, strict=True)):
                words = _words(measure, value, networks[name]["attack"])
                _draw_bar(panel, row, value / reach, words, styles[name])
            panel.set(title=captions[measure], xlim=(-0.08, 1.08), ylim=(len(names) - 0.5, -0.8))
            ticks = [0, 0.5, 1]
            panel.set_xticks(ticks, [f"{reach * tick:.3g}" for tick in ticks])
            panel.tick_params(axis="y", length=0)
            panel.grid(axis="y", visible=False)
        verdicts = [textwrap.fill(plain(networks[name]["verdict"], 60), 24) for name in names]
        words = [f"{plain(name)}\n{verdict}".strip() for name, verdict in zip(names, verdicts, strict=True)]
        panels[0].set_yticks(range(len(names)), words)


def _words(measure, value, attack):
    if math.isnan(value):
        return "no head" if measure != "gap" else "-"
    return f"{value:.2f}" if measure != "gap" else f"{value:+.3f}\n{plain(attack)}".rstrip()


def _draw_bar(panel, row, share, words, style):
    """A bar from 0 to a share of the panel's width, its marker, and words above it on the side with more room."""
    colour, _, marker = style
    panel.hlines(row, 0, share, color=colour, linewidth=5, alpha=0.35)
    panel.plot([share], [row], marker=marker, markersize=8, color=colour)
    place, side = (share - 0.05, "right") if share > 0.5 else (max(0, 0 if math.isnan(share) else share) + 0.05, "left")
    panel.text(place, row - 0.24, words, ha=side, va="bottom", fontsize=8.5, color=colour)


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
