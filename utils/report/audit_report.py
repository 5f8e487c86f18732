"""What an audit leaves behind: audit_<target>.json, four pictures, a table and verdict on screen, a results line."""

import json
from pathlib import Path

from utils.audit.tolerances import ALLOWED_LOSS
from utils.audit.verdict import Verdict
from utils.common import distributed, run
from utils.common.paths import targets_name, write_atomically
from utils.report.audit_figures import WHOLE, draw_attacks, draw_kept_changes, draw_relearning, draw_roc
from utils.report.style import readable
from utils.report.tables import format_figure, format_gap, found_in, worst_change, worst_places

NAMES = {"random": "random initialisation", "drop_head": "drop the head"}
FIGURE = ("value", "interval", "n", "n_positive")  # of a figure, what a results line keeps
IN_SHORT = ("value", "interval", "p", "information")  # the same of an attack's, five digits of each
RATES = {"tpr_at_1_percent": "1 %", "tpr_at_0.1_percent": "0.1 %"}  # of membership


@distributed.by_first
def write_audit(folder, result):
    """Write audit_<target>.json and the pictures audit_<target>_….png to a folder.

    Args: result: as `utils.audit.audit.audit` returns it
    """
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    write_atomically(Path(folder) / f"audit_{targets_name([result['target']])}.json", text)
    _draw_audit(folder, result)


def _draw_audit(folder, result):
    """ROC, gaps of the attacks, relearning curves and, if heads were kept, their changes, as audit_<target>_….png."""
    target, networks = result["target"], {NAMES.get(name, name): record for name, record in result["nets"].items()}
    stem = str(Path(folder) / f"audit_{targets_name([target])}")
    networks.pop(NAMES["drop_head"], None)  # its features are the original's, its head a constant: curves on curves
    asked = {name: record for name, record in networks.items() if name != NAMES["random"]}
    heads = {name: record["shipped"] for name, record in asked.items() if record["shipped"]["roc"]}
    curves = {name: (head["roc"]["fpr"], head["roc"]["tpr"], head["value"]) for name, head in heads.items()}
    draw_roc(f"{stem}_roc.png", curves, f"{target}: the shipped head")
    reference = networks["unlearned"]["gaps"]["reference"]
    if reference:
        panels = [name for name in ("original", "unlearned") if name in networks]
        cells = {name: _cells(networks[name], result["stages"]) for name in panels}
        title = f"{target}: AUC of each attack, less the same on the {NAMES.get(reference, reference)}"
        draw_attacks(f"{stem}_attacks.png", cells, title)
    head, tuned = ({name: _points(record, kind) for name, record in networks.items()} for kind in ("head", "whole_net"))
    tuned = {name: points for name, points in tuned.items() if points}
    draw_relearning(f"{stem}_relearning.png", head, tuned, f"{target}: relearning")
    kept = networks["unlearned"]["kept_changes"]["heads"]
    if kept:
        changes = {name: {key: _triple(figure) for key, figure in change.items()} for name, change in kept.items()}
        draw_kept_changes(f"{stem}_kept.png", changes, ALLOWED_LOSS, "Kept heads: change")


def _cells(record, stages):
    """{(row, column): (gap, whether it is clear)} for `draw_attacks`."""
    clear, cells, gaps = found_in(record), {}, record["gaps"]["attacks"]
    for attack, place in ((attack, place) for attack, places in gaps.items() for place in places):
        cells[table_place(attack, place, stages)] = gaps[attack][place]["value"], (attack, place) in clear
    return cells


def table_place(attack, place, stages):
    """(row, column) of an attack at a place in a table of attacks by stage.

    "kept_labels" at "linear layer4" is a cell of row "kept labels: linear" in column "layer4"; a place that names no
    stage is one of the whole network.

    Args: stages: names of the columns
    """
    kind, _, stage = place.rpartition(" ")
    kind, stage = (kind, stage) if stage in stages else (place, WHOLE)
    return f"{readable(attack)}: {readable(kind)}" if kind else readable(attack), stage


def _triple(figure):
    return (figure["value"], *(figure["interval"] or (None, None)))


def _points(record, kind):
    return [(point["n"], *_triple(point)) for point in record["relearning"][kind]["curve"]]


def summary(result):
    """The audit as aligned text: a row an attack, where it finds most; kept heads, membership, remarks, the verdict.

    Args: result: as `utils.audit.audit.audit` returns it
    """
    counts, networks = result["n"], result["nets"]
    reference = networks["unlearned"]["gaps"]["reference"]
    names = [name for name in dict.fromkeys(("original", "unlearned", reference)) if name in networks]
    shown = [NAMES.get(name, name) for name in names]
    against = f"unlearned - {NAMES.get(reference, reference)}" if reference else "gap"
    lines = [
        f"audit of {result['target']}: {counts['test']:,} test images, {counts['test_positive']:,} with the attribute; "
        "AUC of each attack where it finds most",
        run.table(
            [_head_row(networks, names), *_attack_rows(networks, names)],
            ["attack", "at", *shown, against, "p", "information", "finds more at"],
        ),
        *_kept_lines(networks["unlearned"]["kept_changes"]),
        *_membership_lines({name: networks[name]["membership"] for name in names}),
        f"from the true kept labels alone: AUC {format_figure(result['kept_labels']['value'])}",
        *(f"note: {remark}" for remark in result["notes"]),
        f"verdict: {Verdict(**result['verdict'])}",
    ]
    return "\n".join(lines)


def _head_row(networks, names):
    heads = [networks[name]["shipped"] for name in names]
    figures = [format_figure(head["value"]) if head["has_head"] else "no head" for head in heads]
    return ["its own head", "", *figures, "", "", "", ""]


def _attack_rows(networks, names):
    record, rows = networks["unlearned"], []
    found = [attack for attack, _ in found_in(record)]
    for attack, place in worst_places(record).items():
        gaps = record["gaps"]["attacks"].get(attack, {})
        gap = gaps.get(place) or {"value": None, "p": None, "information": None}
        figures = [networks[name]["attacks"].get(attack, {}).get(place) for name in names]
        row = [attack, place, *(format_figure(figure and figure["value"]) for figure in figures)]
        places = f"{found.count(attack)} of {len(gaps)} places" if gaps else "-"
        rows.append([*row, format_gap(gap), _p_value(gap["p"]), _signed(gap["information"]), places])
    return rows


def _p_value(p):
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _signed(value):
    return "-" if value is None else f"{value:+.2f}"


def _kept_lines(changes):
    """A line on the kept heads that lost most since the original, or since what stands in for it."""
    worst = [worst_change(changes["heads"], measure) for measure in ("accuracy", "auc")]
    if None in worst:
        return []
    (points, head), (auc, other) = worst
    text = f"{100 * points:+.1f} points of accuracy ({readable(head)}), {auc:+.3f} of AUC ({readable(other)})"
    return [f"kept heads, worst change since the {changes['since']}: {text}"]


def _membership_lines(attacks):
    """A line on membership, AUC of each network with the head; rates of the unlearned one, else of the last one."""
    known = {name: figure for name, figure in attacks.items() if figure and figure["value"] is not None}
    if not known:
        return []
    figures = ", ".join(f"{NAMES.get(name, name)} {format_figure(figure['value'])}" for name, figure in known.items())
    last = "unlearned" if "unlearned" in known else list(known)[-1]
    rates = [f"{known[last][key]:.1%} at {most}" for key, most in RATES.items() if known[last].get(key) is not None]
    text = f"; {NAMES.get(last, last)}: true-positive rate {', '.join(rates)} false positives" if rates else ""
    return [f"membership of its labels, AUC: {figures}{text}"]


def results_line(results):
    """What a results line keeps of some audits.

    Args: results: {target: as `utils.audit.audit.audit` returns it}
    Returns: {"heads": {name: {"before", "after"}} of those the original has too, "verdict": {target: verdict}, "audit":
        {target: `main_figures`}}
    """
    networks = next(iter(results.values()))["nets"]
    after = networks["unlearned"]["heads"]
    before = networks["original"]["heads"] if "original" in networks else {}
    sides = {name: {"before": before[name], "after": after[name]} for name in after if name in before}
    return {
        "heads": {name: {side: _plain(figures) for side, figures in pair.items()} for name, pair in sides.items()},
        "verdict": {target: _short_verdict(result["verdict"]) for target, result in results.items()},
        "audit": {target: main_figures(result) for target, result in results.items()},
    }


def _plain(figures):
    return {name: value for name, value in figures.items() if name != "intervals"}


def _short_verdict(verdict):
    """A verdict that names the attacks that found the target, whose figures stand among the gaps."""
    numbers = dict(verdict["numbers"])
    if "found" in numbers:
        numbers["found"] = [f"{pair['attack']} at {pair['place']}" for pair in numbers["found"]]
    return verdict | {"numbers": numbers}


def main_figures(result):
    """The main figures of an audit: per network the head's AUC, attacks, membership, curves and the verdict's word.

    Args: result: as `utils.audit.audit.audit` returns it
    Returns: {"level", "n", "kept_labels", "nets": {name: figures}}, JSON-ready; so that a line stays short, figures of
        attacks have five digits, and intervals and gaps are the unlearned network's
    """
    networks = {}
    for name, record in result["nets"].items():
        networks[name] = {
            "head_auc": _figure(record["shipped"]),
            "attacks": _in_short(record["attacks"], IN_SHORT if name == "unlearned" else IN_SHORT[:1]),
            "membership": _figure(record["membership"], *RATES),
            "relearning": {kind: _curve(part) for kind, part in record["relearning"].items()},
            "kept_changes": record["kept_changes"]["heads"],
            "verdict": record["verdict"]["word"],
        }
    gaps = result["nets"]["unlearned"]["gaps"]
    networks["unlearned"]["gaps"] = {"reference": gaps["reference"], "attacks": _in_short(gaps["attacks"])}
    about = {"level": result["level"]["name"], "n": result["n"], "kept_labels": _figure(result["kept_labels"])}
    return {**about, "nets": networks}


def _in_short(attacks, keys=IN_SHORT):
    """{attack: {place: figure}} with some keys of a figure: their numbers of images are those of the audit."""
    return {
        attack: {
            place: {key: _rounded(figure[key]) for key in keys if key in figure} for place, figure in places.items()
        }
        for attack, places in attacks.items()
    }


def _rounded(value):
    """A number or a list of numbers with five digits; None stays."""
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value if value is None else float(f"{value:.5g}")


def _figure(figure, *more):
    return figure and {key: figure[key] for key in (*FIGURE, *more) if key in figure}


def _curve(part):
    points = [[point["n"], point["value"]] for point in part["curve"]]
    return {"curve": points, "area": part["area"]["value"] if part.get("area") else None}
