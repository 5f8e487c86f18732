"""What a sweep of strengths leaves behind: frontier.json, frontier.png, the table and the sentences on the screen."""

import json

from utils.common import run
from utils.common.files import write_atomically
from utils.report.strength_figure import draw_frontier
from utils.report.tables import format_figure


def write_frontier(folder, result):
    """Write frontier.json and frontier.png to a folder."""
    write_atomically(folder / "frontier.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
    title = f"Forget {', '.join(result['targets'])}: what each strength takes and costs"
    draw_frontier(folder / "frontier.png", result, title)


def summary(result):
    """The sweep as aligned text: a row a strength, the original first; then the validation images and the choice."""
    rows = [_row("original", result["original"], None), *(_row(f"{p['strength']:g}", p) for p in result["points"])]
    columns = ["strength", "head AUC", "worst probe gap", "kept loss", "seconds", "verdict"]
    held = result["validation"]
    positives = ", ".join(f"{count} with {target}" for target, count in held["positives"].items())
    where = "the validation part" if held["part"] == "valid" else "the training part, held out of the erasures"
    lines = [
        f"frontier: {held['rows']:,} images of {where} ({positives}); gaps are to the {_names(result['reference'])}, "
        "kept loss is the worst of a kept head, of AUC or accuracy",
        run.table(rows, columns),
        choice_in_words(result),
    ]
    return "\n".join(lines)


def choice_in_words(result):
    """One or two sentences: the mildest strength that erased, or the nearest; and the knee."""
    (point,) = (one for one in result["points"] if one["strength"] == result["chosen"])
    if result["reached"]:
        words = f"strength {result['chosen']:g} is the mildest that reaches {_words(point)}"
    else:
        words = f"no strength reaches ERASED; {result['chosen']:g} comes nearest: {_words(point)}, "
        words += f"excess {point['excess']:.2f} of the allowances"
    knee = "no knee" if result["knee"] is None else f"knee at {result['knee']:g}"
    return f"{words} on the validation images ({knee})"


def compact(result):
    """The sweep for a results line."""
    names = ("strength", "worst_gap", "kept_loss", "head_distance", "excess", "seconds")
    points = [{**{name: one[name] for name in names}, "verdict": _words(one)} for one in result["points"]]
    keys = ("validation", "reference", "knee", "chosen", "reached")
    return {**{key: result[key] for key in keys}, "points": points}


def _row(name, point, seconds=True):
    heads = " ".join(format_figure(one["head_auc"]["value"]) for one in point["targets"].values())
    took = None if seconds is None else f"{point['seconds']:.1f}"
    loss = None if seconds is None else point["kept_loss"]
    return [name, heads, point["worst_gap"], loss, took, _words(point)]


def _words(point):
    verdicts = [one["verdict"] for one in point["targets"].values()]
    return ", ".join(f"{v['word']} ({v['qualifier']})" if v["qualifier"] else v["word"] for v in verdicts)


def _names(reference):
    return {"oracle": "oracle's", "random": "random network's (no oracle at hand)"}[reference]
