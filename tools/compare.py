"""Set the methods of one run, or of several, side by side: what each forgot and what it cost, in one table.

Reads   results/<run>/<targets>/*/audit_<target>.json    (step 3 with --audit, once for each method)
Writes  comparison_<target>.png in that folder; of several folders also comparison.png and comparison.html above them,
        all in one picture and on one page; the tables go to the terminal

    python -m tools.compare results/Bald_Mouth_Slightly_Open/Bald
"""

import math
import os
import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.audit.tolerances import ALLOWED_LOSS, GAP_TOLERANCE
from utils.common import arguments as a
from utils.common.errors import InputError, printable
from utils.common.paths import PAGE, check_outputs, targets_name
from utils.common.run import table
from utils.page.audit_files import REFERENCES, read_audit
from utils.page.methods import AGAINST, compared_networks, network_records, references_of, worst_attack
from utils.report.style import GREEN, GREY, legend_below, network_styles, number, picture, plain, readable
from utils.report.tables import format_figure, worst_change

MEASURES = ("rate", "head", "gap", "kept")  # a panel each
OWN = "its own reference"  # where the audits were made against different ones
WIDEST_GAP = 0.3  # of AUC, that fits into its panel; larger ones widen it


def get_args_parser():
    """The flags of the comparison."""
    parser = a.Parser(description=__doc__, prog="compare")
    parser.add_argument("folders", nargs="+", metavar="DIR", help="results/<run>/<targets> of step 3, one or several")
    return parser


def main(args):
    """Read the audits, print a table for each target and what to look at."""
    from utils.page.page import RUNS_PAGE, write_runs_page  # here, so that --help answers at once

    found = {Path(folder): _read_audits(Path(folder)) for folder in dict.fromkeys(args.folders)}
    files = {
        (folder, target): folder / f"comparison_{targets_name([target])}.png"
        for folder, audits in found.items()
        for target in audits
    }
    above = Path(os.path.commonpath([folder.resolve() for folder in found])) / "comparison.png"
    several = [above, above.with_name(RUNS_PAGE)] if len(found) > 1 else []
    check_outputs(vars(args), {"folder": "DIR"}, folder=[*files.values(), *several])
    points = {}
    for (folder, target), file in files.items():
        methods, networks = found[folder][target], compared_networks(found[folder][target])
        references = references_of(methods)
        reference = REFERENCES[references[0]] if len(references) == 1 else OWN
        if len(references) > 1:
            against = {name: f", against the {AGAINST[networks[name]['reference']]}" for name in methods}
            networks |= {
                name: networks[name] | {"verdict": networks[name]["verdict"] + against[name]} for name in methods
            }
        attacks = f"worst attack: AUC above {reference}; the lower, the more is forgotten"
        where = f"{folder}: " if several else ""
        print(printable(f"{where}forget {target} ({attacks})"))
        print(comparison_table(methods))
        if len({audit.get("parent_sha256") for audit in methods.values()} - {None}) > 1:
            print(f"note: these audits are of different originals; the one shown is that of {next(iter(methods))}")
        draw_comparison(file, networks, target, reference, f"{target}: what is silenced, what is erased")
        points |= {(name, folder, target): own for name, own in networks.items()}
    if several:
        draw_runs(above, points, "Forgotten against kept: bottom right is best")
        write_runs_page(several[1], points)
    print("what to look at:")
    pictures = [*several, *(path for folder in found for path in sorted(folder.rglob("*.png")))]
    pages = [f"{folder / PAGE}   everything on one page" for folder in found if (folder / PAGE).is_file()]
    print(*(printable(f"  {path}") for path in [*pictures, *pages]), sep="\n")


def _read_audits(folder):
    """{target: {method: audit}} of a folder of results, methods in the order in which they are shown."""
    audits = {}
    for path in sorted(folder.glob("*/audit_*.json")):
        audit = read_audit(path)
        strength = str(audit.get("method")).partition("erase")[2]  # of "erase, strength 2"
        audits.setdefault(audit["target"], {})[path.parent.name + strength] = audit
    if not audits:
        raise InputError(f"no audit in {folder}: run step 3 with --audit quick first, once for each method")
    return {target: dict(sorted(methods.items(), reverse=True)) for target, methods in audits.items()}


def comparison_table(audits):
    """Aligned text on one target: the original, each audited method and the oracle side by side.

    Args: audits: {method: audit as `utils.audit.audit.audit` returns it}, all of one original
    """
    rows, several = [], len(references_of(audits)) > 1
    for name, record in network_records(audits, by_reference=True).items():
        head = format_figure(record["shipped"]["value"]) if record["shipped"]["has_head"] else "no head"
        gap, attack = worst_attack(record)
        worst = "-" if gap is None else f"{gap:+.3f} {attack}".rstrip()
        verdict = record["verdict"]["word"] if name in audits else "-"
        worst += f", above {REFERENCES[record['gaps']['reference']]}" if several and gap is not None else ""
        rows.append([name, head, worst, *_kept_changes(record), verdict])
    columns = ["network", "head AUC", "worst attack", "kept: accuracy, points", "kept: AUC", "verdict"]
    return table(rows, columns)


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


def draw_runs(path, networks, title=""):
    """Networks of several runs in one panel: what the worst attack finds over what the worst kept head lost.

    Args: path: the PNG; networks: {(method, folder, target): figures as of `compared_networks`}. The oracle finds
        nothing more than itself, the original lost nothing; what has no figure is left out
    """
    styles = network_styles({name for name, *_ in networks})
    mixed = len({own["reference"] for own in networks.values()} - {None}) > 1
    with picture(path, 7.2, 5.4, title) as figure:
        panel, shown = figure.subplots(), {}
        for (name, folder, target), own in networks.items():
            kind, change = name.partition(", ")[0], own["changes"]["accuracy"]
            loss = 0.0 if kind == "original" else 100 * number(change and change[0])
            gap = 0.0 if kind == "oracle" else number(own["gap"])
            colour, _, marker = styles[name]
            look = {"marker": marker, "markersize": 7, "color": colour, "linestyle": "", "alpha": 0.8}
            (shown[kind],) = panel.plot([loss], [gap], **look)
            if kind not in ("original", "oracle") and not math.isnan(loss + gap):
                how = {"xytext": (6, 5), "textcoords": "offset points", "fontsize": 7.5, "color": GREY}
                where = plain(f"{folder.resolve().parent.name}, {target}", 28)
                where += f", against the {AGAINST[own['reference']]}" if mixed else ""
                panel.annotate(where, (loss, gap), **how)
        panel.margins(0.12)
        panel.axhline(GAP_TOLERANCE, color=GREEN, linewidth=1.0, linestyle="--")
        panel.axvline(-100 * ALLOWED_LOSS["accuracy"], color=GREEN, linewidth=1.0, linestyle="--")
        panel.set(xlabel="kept: worst change of a kept head, points of accuracy (allowed right of the line)")
        panel.set(ylabel=f"forgotten: worst attack, AUC beyond {OWN if mixed else 'the reference'} (allowed below)")
        legend_below(figure, list(shown.values()), list(shown), columns=5)


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
