"""What an audit leaves behind: audit.json, four pictures, and the table and verdict on the screen."""

import json

from utils.audit.verdict import ALLOWED_LOSS, PROBE_TOLERANCE
from utils.common import run
from utils.common.files import write_atomically
from utils.evaluation.predict import shown
from utils.report.audit_figures import draw_kept_changes, draw_probe_stages, draw_relearning, draw_roc

NAMES = {"random": "random initialisation", "drop_head": "drop the head"}


def write_audit(folder, result):
    """Write audit.json (of a target of its own: audit_<target>.json stays beside it) and the pictures to a folder."""
    target = result["target"]
    write_atomically(folder / f"audit_{target}.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
    draw_audit(folder, result)


def draw_audit(folder, result):
    """ROC, probes by stage, relearning curves and changes of the kept heads, as audit_<target>_….png."""
    target, nets = result["target"], {NAMES.get(name, name): record for name, record in result["nets"].items()}
    stem = f"audit_{target}"
    curves = {
        name: (record["shipped"]["roc"]["fpr"], record["shipped"]["roc"]["tpr"], record["shipped"]["value"])
        for name, record in nets.items()
        if record["shipped"]["roc"]
    }
    draw_roc(folder / f"{stem}_roc.png", curves, f"{target}: the shipped head")
    probes = {
        name: {stage: _triple(figure) for stage, figure in record["probes"].items()} for name, record in nets.items()
    }
    limits = {}
    if "oracle" in nets:
        oracle = nets["oracle"]["probes"]
        limits = {s: f["value"] + PROBE_TOLERANCE for s, f in oracle.items() if f["value"] is not None}
    note = "dashed: the oracle's probe + 0.02" if limits else "no oracle: no limit drawn"
    draw_probe_stages(folder / f"{stem}_probes.png", probes, note, f"{target}: linear probe by stage", limits=limits)
    head, whole = ({name: _points(record, kind) for name, record in nets.items()} for kind in ("head", "whole_net"))
    whole = {name: points for name, points in whole.items() if points}
    draw_relearning(folder / f"{stem}_relearning.png", head, whole, f"{target}: relearning")
    changes = {
        kept: {measure: _triple(figure) for measure, figure in measures.items()}
        for kept, measures in result["nets"]["unlearned"]["kept_changes"]["heads"].items()
    }
    if changes:
        draw_kept_changes(folder / f"{stem}_kept.png", changes, ALLOWED_LOSS, "Kept heads: change")


def _triple(figure):
    return (figure["value"], *(figure["interval"] or (None, None)))


def _points(record, kind):
    return [(point["n"], *_triple(point)) for point in record["relearning"][kind]["curve"]]


def summary(result):
    """The audit as aligned text: a row a net, then the floor, the notes and the verdict."""
    stages = result["stages"]
    rows = []
    for name, record in result["nets"].items():
        probes = [shown(record["probes"][stage]["value"]) if stage in record["probes"] else "-" for stage in stages]
        membership = record["membership"]
        others = [record["mlp"]["value"], record["knn"]["value"], membership["value"] if membership else None]
        head = shown(record["shipped"]["value"]) if record["shipped"]["has_head"] else "no head"
        rows.append([NAMES.get(name, name), head, *probes, *map(shown, others)])
    columns = ["net", "head AUC", *(f"probe {stage}" for stage in stages), "MLP", "kNN", "membership"]
    floor = result["kept_labels"]
    counts = result["n"]
    lines = [
        f"audit of {result['target']}: {counts['test']:,} test images, {counts['test_positive']:,} with the attribute",
        run.table(rows, columns),
        f"from the true kept labels alone: AUC {shown(floor['value'])}",
        *(f"note: {note}" for note in result["notes"]),
        f"verdict: {verdict_line(result)}",
    ]
    return "\n".join(lines)


def verdict_line(result):
    """The verdict in one line: WORD (qualifier): reason."""
    verdict = result["verdict"]
    qualifier = f" ({verdict['qualifier']})" if verdict["qualifier"] else ""
    return f"{verdict['word']}{qualifier}: {verdict['reason']}"


def compact(result):
    """The main figures for a results line: per net the head's AUC, probes, attack and curves, with intervals."""
    keys = ("value", "interval", "n", "n_positive")

    def figure(found):
        return {key: found[key] for key in keys if key in found} if found else None

    nets = {
        name: {
            "head_auc": figure(record["shipped"]),
            "probes": {stage: figure(found) for stage, found in record["probes"].items()},
            **{kind: figure(record[kind]) for kind in ("mlp", "knn", "membership")},
            "relearning": {kind: _curve(part) for kind, part in record["relearning"].items()},
            "kept_changes": record["kept_changes"]["heads"],
        }
        for name, record in result["nets"].items()
    }
    return {
        "level": result["level"]["name"],
        "n": result["n"],
        "kept_labels": figure(result["kept_labels"]),
        "nets": nets,
    }


def _curve(part):
    points = [[point["n"], point["value"]] for point in part["curve"]]
    return {"curve": points, "area": part["area"]["value"] if part.get("area") else None}


def results_line(found):
    """What a results line says of {target: audit}: "heads" before and after, "verdict" and "audit" of each target."""
    nets = next(iter(found.values()))["nets"]
    after = nets["unlearned"]["heads"]
    before = nets.get("original", {"heads": {}})["heads"]
    heads = {name: {"before": _plain(before.get(name)), "after": _plain(figures)} for name, figures in after.items()}
    return {
        "heads": {name: sides for name, sides in heads.items() if sides["before"]},
        "verdict": {target: result["verdict"] for target, result in found.items()},
        "audit": {target: compact(result) for target, result in found.items()},
    }


def _plain(figures):
    return figures and {name: value for name, value in figures.items() if name != "intervals"}
