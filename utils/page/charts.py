"""Curves as numbers to draw: each chart is a dictionary that the page's template turns into SVG."""

import math

from utils.audit.tolerances import ALLOWED_LOSS, GAP_TOLERANCE
from utils.page.methods import compared_networks, network_of_any, network_records, references_of
from utils.report.audit_report import NAMES

WIDTH, HEIGHT = 360, 270
LEFT, RIGHT, TOP, BOTTOM = 60, 14, 12, 46
MOST_POINTS = 240  # of a curve
MOST_MARKS = 12  # on one: more would cover it
TICKS = (1, 2, 2.5, 5, 10)
TRADE_AXES = ("worst change of a kept head, points", "worst attack, AUC beyond the reference")


def roc_chart(methods):
    """ROC of the target's own head in each network of {method: audit}; None if no network has the head."""
    lines = []
    for network, record in network_records(methods).items():
        roc = record["shipped"].get("roc")
        if roc:
            points = _thinned(list(zip(roc["fpr"], roc["tpr"], strict=True)))
            value = record["shipped"]["value"]
            lines.append({"network": network, "points": points, "note": "" if value is None else f"AUC {value:.3f}"})
    chance = {"network": "chance", "points": [(0, 0), (1, 1)], "note": "0.5", "quiet": True}
    if not lines:
        return None
    said = ", ".join(f"{line['network']} {line['note']}" for line in lines if line["note"])
    axes = ("false-positive rate", "true-positive rate")
    return _chart([chance, *lines], (0, 1), (0, 1), *axes) | {"finding": f"{said}; 0.5 is chance."}


def relearning_charts(methods):
    """[(caption, chart)]: AUC against labelled images, of the head alone and of the whole network, where it was run."""
    records = network_records(methods)
    untrained = network_of_any(methods, "random")
    records |= {NAMES["random"]: untrained} if untrained else {}
    charts = []
    for kind, caption in (("head", "the head alone refitted"), ("whole_net", "the whole network fine-tuned")):
        lines = []
        for network, record in records.items():
            points = [point for point in record["relearning"].get(kind, {"curve": []})["curve"]]
            points = [point for point in points if point["value"] is not None]
            if points:
                band = [(p["n"], *p["interval"]) for p in points if p.get("interval") and None not in p["interval"]]
                lines.append({"network": network, "points": [(p["n"], p["value"]) for p in points], "band": band})
        if lines:
            counts = sorted({n for line in lines for n, _ in line["points"]})
            lowest = min(value for line in lines for _, value in line["points"])
            span = (max(0.0, min(0.45, math.floor(10 * lowest) / 10)), 1)
            axes = ("labelled images", "AUC of the target")
            finding = _relearning_finding(lines)
            plot = _chart(lines, (counts[0], counts[-1]), span, *axes, ticks=counts)
            charts.append((caption, plot | {"finding": finding}))
    return charts


def _relearning_finding(lines):
    """A sentence on the most images that all networks were refitted on; on the most of each where they share none."""
    curves = {line["network"]: dict(line["points"]) for line in lines}
    shared = set.intersection(*map(set, curves.values()))
    if shared:
        said = ", ".join(f"{network} {curve[max(shared)]:.3f}" for network, curve in curves.items())
        return f"AUC after {max(shared):,} labelled images: {said}."
    said = ", ".join(f"{network} {curve[max(curve)]:.3f} after {max(curve):,}" for network, curve in curves.items())
    return f"AUC after labelled images: {said}."


def strength_chart(sweep):
    """What each strength of an erasure takes and costs; None if nothing of it could be measured."""
    points = [p for p in sweep["points"] if p["worst_gap"] is not None and p["kept_loss"] is not None]
    if not points:
        return None
    line = {"network": "erased", "points": [(100 * p["kept_loss"], p["worst_gap"]) for p in points]}
    line["labels"] = [f"{p['strength']:g}" + (" ★" if p["strength"] == sweep["chosen"] else "") for p in points]
    lines = [line]
    if sweep["original"]["worst_gap"] is not None:
        lines.insert(0, {"network": "original", "points": [(0, sweep["original"]["worst_gap"])], "labels": [""]})
    xs, ys = ([point[i] for one in lines for point in one["points"]] for i in range(2))
    limits = (100 * max(ALLOWED_LOSS.values()), GAP_TOLERANCE)
    axes = ("worst loss of a kept head, points", "worst attack, AUC beyond the reference")
    afforded = "is what the kept heads can afford; none reaches ERASED"
    chosen = "is the mildest that reaches ERASED" if sweep["reached"] else afforded
    plot = _chart(lines, _span([*xs, 0, limits[0]]), _span([*ys, 0, limits[1]]), *axes, allowed=limits)
    return plot | {"finding": f"Strength {sweep['chosen']:g} {chosen}."}


def trade_chart(methods):
    """Forgotten against kept, a mark a network, of {method: audit}; None without a kept head or one reference."""
    if len(references_of(methods)) > 1:
        return None
    lines = []
    for network, figures in compared_networks(methods).items():
        change = 0.0 if network == "original" else figures["changes"]["accuracy"] and figures["changes"]["accuracy"][0]
        gap = 0.0 if network == "oracle" else figures["gap"]
        if change is not None and gap is not None:
            lines.append({"network": network, "points": [(100 * change, gap)], "labels": [network]})
    if len(lines) < 2:
        return None
    xs, ys = ([line["points"][0][i] for line in lines] for i in range(2))
    limits = (-100 * ALLOWED_LOSS["accuracy"], GAP_TOLERANCE)
    return _chart(lines, _span([*xs, limits[0], 0]), _span([*ys, 0, limits[1]]), *TRADE_AXES, allowed=limits)


def runs_chart(runs):
    """Forgotten against kept, a mark a network, of what `runs_of` gives; None without two of them or one reference."""
    known = [row for run in runs for row in run["networks"] if None not in (row["change"], row["gap"])]
    if len(known) < 2 or len({row["reference"] for row in known} - {None}) > 1:
        return None
    lines = {}
    for row in known:
        line = lines.setdefault(row["network"], {"network": row["network"], "points": [], "labels": [], "apart": True})
        line["points"].append((100 * row["change"], row["gap"]))
        line["labels"].append("" if row["network"] in ("original", "oracle") else str(row["number"]))
    xs, ys = ([point[i] for line in lines.values() for point in line["points"]] for i in range(2))
    limits = (-100 * ALLOWED_LOSS["accuracy"], GAP_TOLERANCE)
    return _chart(
        list(lines.values()), _span([*xs, limits[0], 0]), _span([*ys, 0, limits[1]]), *TRADE_AXES, allowed=limits
    )


def _span(values):
    """An interval with some room around all values."""
    low, high = min(values), max(values)
    room = 0.12 * (high - low) or 0.05
    return low - room, high + room


def _thinned(points):
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    return points[::step] + ([points[-1]] if (len(points) - 1) % step else [])


def _chart(lines, xs, ys, x_label, y_label, ticks=None, allowed=None):
    """Lines in pixels of a picture of WIDTH x HEIGHT.

    Args:
        lines: [{"network", "points": [(x, y)], and "band": [(x, low, high)], "labels", "note", "quiet", "apart": marks
            without a line between them}]
        xs, ys: (lowest, highest) of the axes; ticks: of x, on a logarithmic axis; allowed: (loss, gap), limits of what
            a verdict lets pass: x on the side of 0, y below
    """
    logarithmic = ticks is not None and xs[0] < xs[1]

    def place_x(x):
        share = math.log(x / xs[0]) / math.log(xs[1] / xs[0]) if logarithmic else (x - xs[0]) / ((xs[1] - xs[0]) or 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def place_y(y):
        return round(HEIGHT - BOTTOM - (y - ys[0]) / ((ys[1] - ys[0]) or 1) * (HEIGHT - TOP - BOTTOM), 1)

    drawn = [_draw_line(line, place_x, place_y, number) for number, line in enumerate(lines)]
    ticks = _thin_ticks([(place_x(tick), f"{tick:g}") for tick in ticks or nice_ticks(*xs)])
    shaded = None
    if allowed:
        zero = sorted((place_x(0), place_x(allowed[0])))
        left, right = (LEFT, zero[1]) if allowed[0] > 0 else (zero[0], WIDTH - RIGHT)
        top = place_y(allowed[1])
        shaded = {"x": left, "y": top, "width": round(right - left, 1), "height": round(HEIGHT - BOTTOM - top, 1)}
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "box": {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM},
        "lines": drawn,
        "x_ticks": ticks,
        "y_ticks": [(place_y(tick), f"{tick:g}") for tick in nice_ticks(*ys)],
        "x_label": x_label,
        "y_label": y_label,
        "shaded": shaded,
    }


def _draw_line(line, place_x, place_y, number=0):
    """The `number`-th line of `_chart` with its path, the area of its band, and its marks with labels, in pixels."""
    points = [(place_x(x), place_y(y)) for x, y in line["points"]]
    edge = [(place_x(x), place_y(high)) for x, _, high in line.get("band", [])]
    edge += [(place_x(x), place_y(low)) for x, low, _ in line.get("band", [])[::-1]]
    labels, marks = line.get("labels") or [""] * len(points), []
    for i, ((x, y), label, (value, height)) in enumerate(zip(points, labels, line["points"], strict=True)):
        tip = f"{line['network']}: {value:.4g}, {height:.3f}"
        label_y = y - 8 if (i + number) % 2 == 0 else y + 17  # neighbours often lie on one another
        marks.append({"x": x, "y": y, "label": label, "label_y": label_y, "tip": tip})
    path, area = (" ".join(f"{x},{y}" for x, y in one) for one in (points, edge))
    if line.get("apart"):
        path = ""
    elif len(marks) > MOST_MARKS:
        marks = []
    return {"quiet": False, "note": "", **line, "path": path, "area": area, "marks": marks}


def _thin_ticks(ticks):
    """Those of [(x, text)] that have room: at least 34 pixels apart."""
    kept = []
    for tick in ticks:
        if not kept or tick[0] - kept[-1][0] >= 34:
            kept.append(tick)
    return kept


def nice_ticks(low, high, most=6):
    """Round numbers from low to high, at most so many."""
    if not low < high:
        return [low]
    power = 10 ** math.floor(math.log10((high - low) / most))
    step = next((factor * power for factor in TICKS if (high - low) / (factor * power) <= most), 10 * power)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) + 0.0 for number in range(first, math.floor(high / step + 1e-9) + 1)]
