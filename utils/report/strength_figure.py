"""The picture of a sweep: what is forgotten against what is kept, and the probe of each stage along the dial."""

from matplotlib.ticker import NullLocator

from utils.audit.verdict import ALLOWED_LOSS, PROBE_TOLERANCE
from utils.report.style import FORGOTTEN, GREY, INK, KEPT, KEPT_COLOURS, legend_below, number, picture, readable

LOSS = 100 * max(ALLOWED_LOSS.values())  # hundredths: points of accuracy, or of AUC times 100
GREEN = "#009e73"


def draw_frontier(path, result, title=""):
    """Left: worst gap of a probe over the worst kept loss, a mark a strength. Right: the gap of each stage's probe.

    Args:
        result: of `utils.audit.frontier.sweep`, with "reference" ("oracle" or "random")
    """
    points = result["points"]
    whose = "the oracle's" if result["reference"] == "oracle" else "a random network's (no oracle)"
    with picture(path, 10.4, 4.9, title) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        _draw_curve(left, points, result)
        left.set(xlabel="kept: worst loss of a kept head, points (100 × AUC, or accuracy)")
        left.set(ylabel=f"forgotten: worst probe AUC − {whose}", title="forgotten against kept")
        _draw_stages(right, points)
        right.set(xlabel="strength", ylabel=f"probe AUC − {whose}", title="linear probe, stage by stage")
        legend_below(figure, *_merged(left, right), columns=5)


def _draw_curve(panel, points, result):
    xs, ys = [100 * number(p["kept_loss"]) for p in points], [number(p["worst_gap"]) for p in points]
    start = (0.0, number(result["original"]["worst_gap"]))
    _limits(panel, [*xs, start[0]], [*ys, start[1]])
    low, bottom = panel.get_xlim()[0], panel.get_ylim()[0]
    panel.fill([low, LOSS, LOSS, low], [bottom, bottom, *[PROBE_TOLERANCE] * 2], color=GREEN, alpha=0.12, linewidth=0)
    panel.plot(
        [low, LOSS, LOSS], [PROBE_TOLERANCE, PROBE_TOLERANCE, bottom], color=GREEN, linewidth=1.0, linestyle="--"
    )
    corner = {"xycoords": "data", "textcoords": "offset points", "color": GREEN, "fontsize": 8}
    panel.annotate("allowed", (low, PROBE_TOLERANCE), xytext=(4, -4), va="top", **corner)
    panel.plot([start[0], *xs[:1]], [start[1], *ys[:1]], color=GREY, linewidth=1.0, linestyle=":")
    panel.plot(*start, marker="o", color=INK, linestyle="", label="original")
    panel.plot(xs, ys, color=FORGOTTEN, marker="s", label="erased, by strength")
    for point, x, y in zip(points, xs, ys, strict=True):
        where = {"xytext": (9, 7), "textcoords": "offset points", "fontsize": 8.5}
        panel.annotate(f"{point['strength']:g}", (x, y), **where)
        if point["strength"] == result["chosen"]:
            panel.plot(x, y, marker="*", markersize=13, color=KEPT, linestyle="", zorder=3, label=_chosen(result))
        if point["strength"] == result["knee"]:
            ring = {"marker": "o", "markersize": 14, "markerfacecolor": "none", "markeredgewidth": 1.4}
            panel.plot(x, y, **ring, color=INK, linestyle="", label="knee")


def _chosen(result):
    return "mildest erased" if result["reached"] else "nearest to erased"


def _limits(panel, xs, ys):
    """Room around all marks and the allowances."""
    for values, allowed, set_limits in ((xs, LOSS, panel.set_xlim), (ys, PROBE_TOLERANCE, panel.set_ylim)):
        known = [value for value in values if value == value] + [allowed, 0.0]
        room = 0.09 * (max(known) - min(known))
        set_limits(min(known) - room, max(known) + 1.4 * room)


def _draw_stages(panel, points):
    strengths = [point["strength"] for point in points]
    several = len(points[0]["targets"]) > 1
    colours = [INK, *KEPT_COLOURS]
    for place, target in enumerate(points[0]["targets"]):
        line = ("-", "--", ":", "-.")[place % 4]
        for i, (stages, gaps) in enumerate(_curves(points, target).items()):
            label = f"{stages}, {readable(target)}" if several else stages
            panel.plot(strengths, gaps, color=colours[i % len(colours)], linestyle=line, marker="o", label=label)
    panel.axhline(PROBE_TOLERANCE, color=GREEN, linewidth=1.0, linestyle="--")
    side = {"xycoords": ("axes fraction", "data"), "xytext": (-4, -3), "textcoords": "offset points"}
    panel.annotate("allowed below", (1, PROBE_TOLERANCE), **side, va="top", ha="right", color=GREEN, fontsize=8)
    panel.axhline(0, color=GREY, linewidth=1.0, linestyle=":")
    panel.set_xscale("log", base=2)
    panel.set_xticks(strengths, [f"{strength:g}" for strength in strengths])
    panel.xaxis.set_minor_locator(NullLocator())


def _curves(points, target):
    """{stages: gaps along the dial}; stages of one and the same curve share it, so that none hides another."""
    by_curve = {}
    for stage in points[0]["targets"][target]["gaps"]:
        gaps = tuple(number(point["targets"][target]["gaps"][stage]["value"]) for point in points)
        by_curve.setdefault(gaps, []).append(stage)
    return {" = ".join(stages): gaps for gaps, stages in by_curve.items()}


def _merged(*panels):
    pairs = [panel.get_legend_handles_labels() for panel in panels]
    return [handle for handles, _ in pairs for handle in handles], [label for _, labels in pairs for label in labels]
