"""What an audit leaves behind: audit_<target>.json, four pictures, a table and verdict on screen, a results line."""

import json
from pathlib import Path

from utils.audit.verdict import ALLOWED_LOSS, GAP_TOLERANCE, NEXT_STEPS, Verdict
from utils.common import distributed, run
from utils.common.paths import targets_name, write_atomically
from utils.report.audit_figures import draw_kept_changes, draw_probe_stages, draw_relearning, draw_roc
from utils.report.tables import format_figure

NAMES = {"random": "random initialisation", "drop_head": "drop the head"}
FIGURE = ("value", "interval", "n", "n_positive")  # of a figure, what a results line keeps


@distributed.by_first
def write_audit(folder, result):
    """Write audit_<target>.json and the pictures audit_<target>_….png to a folder.

    Args: result: as `utils.audit.audit.audit` returns it
    """
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    write_atomically(Path(folder) / f"audit_{targets_name([result['target']])}.json", text)
    _draw_audit(folder, result)


def _draw_audit(folder, result):
    """ROC, probes by stage, relearning curves and, if heads were kept, their changes, as audit_<target>_….png."""
    target, networks = result["target"], {NAMES.get(name, name): record for name, record in result["nets"].items()}
    stem = str(Path(folder) / f"audit_{targets_name([target])}")
    heads = {name: record["shipped"] for name, record in networks.items() if record["shipped"]["roc"]}
    curves = {name: (head["roc"]["fpr"], head["roc"]["tpr"], head["value"]) for name, head in heads.items()}
    draw_roc(f"{stem}_roc.png", curves, f"{target}: the shipped head")
    probes = {name: _triples(record["attacks"]["linear"]) for name, record in networks.items()}
    oracle = probes.get("oracle", {})
    limits = {stage: value + GAP_TOLERANCE for stage, (value, *_) in oracle.items() if value is not None}
    caption = "dashed: the oracle's probe + 0.02" if limits else "no oracle: no limit drawn"
    draw_probe_stages(f"{stem}_probes.png", probes, caption, f"{target}: linear probe by stage", limits=limits)
    head, tuned = ({name: _points(record, kind) for name, record in networks.items()} for kind in ("head", "whole_net"))
    tuned = {name: points for name, points in tuned.items() if points}
    draw_relearning(f"{stem}_relearning.png", head, tuned, f"{target}: relearning")
    kept = networks["unlearned"]["kept_changes"]["heads"]
    if kept:
        changes = {name: _triples(change) for name, change in kept.items()}
        draw_kept_changes(f"{stem}_kept.png", changes, ALLOWED_LOSS, "Kept heads: change")


def _triples(figures):
    return {name: _triple(figure) for name, figure in figures.items()}


def _triple(figure):
    return (figure["value"], *(figure["interval"] or (None, None)))


def _points(record, kind):
    return [(point["n"], *_triple(point)) for point in record["relearning"][kind]["curve"]]


def summary(result):
    """The audit as aligned text: a row a network, then the kept labels alone, the remarks and the verdict.

    Args: result: as `utils.audit.audit.audit` returns it
    """
    stages, counts = result["stages"], result["n"]
    columns = ["network", "head AUC", *(f"linear {stage}" for stage in stages), "membership"]
    lines = [
        f"audit of {result['target']}: {counts['test']:,} test images, {counts['test_positive']:,} with the attribute",
        run.table([_row(name, record, stages) for name, record in result["nets"].items()], columns),
        f"from the true kept labels alone: AUC {format_figure(result['kept_labels']['value'])}",
        *(f"note: {remark}" for remark in result["notes"]),
        f"verdict: {Verdict(**result['verdict'])}",
        f"next: {NEXT_STEPS[result['verdict']['word']]}",
    ]
    return "\n".join(lines)


def _row(name, record, stages):
    head = format_figure(record["shipped"]["value"]) if record["shipped"]["has_head"] else "no head"
    figures = [*(record["attacks"]["linear"].get(stage) for stage in stages), record["membership"]]
    return [NAMES.get(name, name), head, *(format_figure(figure and figure["value"]) for figure in figures)]


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
        "verdict": {target: result["verdict"] for target, result in results.items()},
        "audit": {target: main_figures(result) for target, result in results.items()},
    }


def _plain(figures):
    return {name: value for name, value in figures.items() if name != "intervals"}


def main_figures(result):
    """The main figures of an audit: per network the head's AUC, probes, attack and curves, with intervals.

    Args: result: as `utils.audit.audit.audit` returns it
    Returns: {"level", "n", "kept_labels", "nets": {name: figures}}, JSON-ready
    """
    networks = {
        name: {
            "head_auc": _figure(record["shipped"]),
            "attacks": {
                attack: {place: _figure(figure) for place, figure in places.items()}
                for attack, places in record["attacks"].items()
            },
            "membership": _figure(record["membership"]),
            "relearning": {kind: _curve(part) for kind, part in record["relearning"].items()},
            "kept_changes": record["kept_changes"]["heads"],
        }
        for name, record in result["nets"].items()
    }
    about = {"level": result["level"]["name"], "n": result["n"], "kept_labels": _figure(result["kept_labels"])}
    return {**about, "nets": networks}


def _figure(figure):
    return figure and {key: figure[key] for key in FIGURE}


def _curve(part):
    points = [[point["n"], point["value"]] for point in part["curve"]]
    return {"curve": points, "area": part["area"]["value"] if part.get("area") else None}
