"""Pictures of an audit: numbers with their intervals go in, one PNG comes out, nothing is computed here."""

import math

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator

from utils.report.style import (
    FORGOTTEN,
    GREY,
    INK,
    KEPT,
    legend_below,
    network_styles,
    number,
    picture,
    plain,
    readable,
)

WHOLE = "whole network"  # the column of attacks that are not about one stage
GAPS = LinearSegmentedColormap.from_list("gaps", [KEPT, "white", FORGOTTEN]).with_extremes(bad="#efefef")
LARGEST_GAP = 0.1  # of AUC, at which the colours end: the same in every picture

CHANGES = {  # read-out: (caption, factor from fractions to the unit shown)
    "auc": ("AUC, change", 1.0),
    "accuracy": ("accuracy, change in points", 100.0),
}
UNDEFINED = (None, None, None)  # (value, low, high)


def draw_roc(path, curves, title=""):
    """True- against false-positive rate of the forgotten head, a curve a network.

    Args:
        curves: {network: (fpr, tpr, auc)}, rates as sequences of fractions, auc a fraction or None
    """
    styles = network_styles(curves)
    with picture(path, 5.6, 5.6, title) as figure:
        panel = figure.subplots()
        panel.plot([0, 1], [0, 1], color=GREY, linewidth=1.0, linestyle=":")
        panel.text(0.76, 0.73, "chance", rotation=45, color=GREY, ha="center", va="top", fontsize=8)
        for name, (false_rate, true_rate, auc) in curves.items():
            colour, line, _ = styles[name]
            label = f"{name}: AUC {'undefined' if auc is None else format(auc, '.3f')}"
            panel.plot(false_rate, true_rate, color=colour, linestyle=line, linewidth=2.0, label=label)
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        panel.set(xlabel="false-positive rate", ylabel="true-positive rate")
        legend_below(figure, *panel.get_legend_handles_labels(), columns=2)


def draw_attacks(path, gaps, title=""):
    """What attacks find beyond the reference: a row an attack, a column a stage, a panel a network.

    Args:
        gaps: {network: {(row, column): (difference of AUCs or None where undefined, whether it is clear)}}; clear ones
            have a frame. The last network's rows are drawn, columns in the order in which they come first
    """
    *_, last = gaps.values()
    rows = list(dict.fromkeys(row for row, _ in last))
    columns = sorted(dict.fromkeys(column for _, column in last), key=lambda column: column == WHOLE)
    labels = [plain(column, 20).replace(WHOLE, "whole\nnetwork") for column in columns]
    tilt = {"rotation": 30, "ha": "right"} if any(len(column) > 9 for column in columns if column != WHOLE) else {}
    width = 2.4 + (0.2 + 0.62 * len(columns)) * len(gaps)
    with picture(path, width, 1.9 + 0.27 * len(rows), title) as figure:
        panels = figure.subplots(1, len(gaps), sharey=True, squeeze=False)[0]
        for panel, (name, cells) in zip(panels, gaps.items(), strict=True):
            image = _draw_cells(panel, cells, rows, columns)
            panel.set_title(plain(name), fontweight="bold")
            panel.set_xticks(range(len(columns)), labels, **tilt)
        panels[0].set_yticks(range(len(rows)), [plain(row) for row in rows])
        ticks = [-LARGEST_GAP, -LARGEST_GAP / 2, 0, LARGEST_GAP / 2, LARGEST_GAP]
        how = {"orientation": "horizontal", "shrink": 0.5, "aspect": 40, "extend": "both", "ticks": ticks}
        bar = figure.colorbar(image, ax=panels, format="{x:+.2f}", **how)
        bar.set_label("orange: finds more than in the reference; blue: less; framed: more, beyond chance")
        bar.outline.set_visible(False)


def _draw_cells(panel, cells, rows, columns):
    """One panel of `draw_attacks`; returns its image."""
    figures = {place: number(value) for place, (value, _) in cells.items()}
    values = [[figures.get((row, column), math.nan) for column in columns] for row in rows]
    image = panel.imshow(values, cmap=GAPS, vmin=-LARGEST_GAP, vmax=LARGEST_GAP, aspect="auto")
    for (row, column), value in figures.items():
        if row not in rows or column not in columns:
            continue
        x, y = columns.index(column), rows.index(row)
        words = "–" if math.isnan(value) else f"{value:+.3f}".replace("0.", ".", 1).replace("-", "−")
        colour = "white" if abs(value) > 0.8 * LARGEST_GAP else INK
        panel.text(x, y, words, ha="center", va="center", fontsize=8, color=colour)
        if cells[row, column][1]:
            panel.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fill=False, edgecolor=INK, linewidth=1.6))
    panel.grid(visible=False)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    return image


def draw_relearning(path, head_only, fine_tuned, title=""):
    """How fast the forgotten attribute comes back: AUC against the number of labelled images, a curve a network.

    Args:
        head_only: {network: [(n, auc, low, high), ...]}, the head alone refitted
        fine_tuned: the same, everything fine-tuned; either may be empty
    """
    panels = {"head alone refitted": head_only, "whole network fine-tuned": fine_tuned}
    panels = {caption: curves for caption, curves in panels.items() if curves} or panels
    styles = network_styles(list(dict.fromkeys([*head_only, *fine_tuned])))
    with picture(path, 1.2 + 4.4 * len(panels), 4.4, title) as figure:
        axes, legend = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], {}
        for panel, (caption, curves) in zip(axes, panels.items(), strict=True):
            legend |= _draw_curves(panel, curves, styles)
            panel.axhline(0.5, color=GREY, linewidth=1.0, linestyle=":")
            panel.set(title=caption, xlabel="labelled images seen")
        axes[0].set_ylabel("AUC of the forgotten attribute")
        legend_below(figure, list(legend.values()), list(legend))


def _draw_curves(panel, curves, styles):
    """Curves with their bands over log2 of the counts; returns {network: its line}."""
    lines = {}
    for name, points in curves.items():
        colour, line, marker = styles[name]
        counts, values, lows, highs = ([number(point[i]) for point in points] for i in range(4))
        panel.fill_between(counts, lows, highs, color=colour, alpha=0.13, linewidth=0)
        (lines[name],) = panel.plot(counts, values, color=colour, linestyle=line, marker=marker)
    counts = sorted({n for points in curves.values() for n, *_ in points})
    if counts:
        panel.set_xscale("log", base=2)
        panel.set_xticks(counts, [str(n) for n in counts])
        panel.xaxis.set_minor_locator(NullLocator())
    return lines


def draw_kept_changes(path, changes, limits=None, title=""):
    """What each kept head lost or won, with intervals; a loss beyond the limit lies in the shaded part.

    Args:
        changes: {attribute: {"auc": (change, low, high), "accuracy": the same}}, fractions, or None where undefined
        limits: {"auc": largest loss allowed, "accuracy": the same}, fractions above 0
    """
    with picture(path, 9.0, 1.9 + 0.34 * len(changes), title) as figure:
        panels = figure.subplots(1, len(CHANGES), sharey=True)
        for panel, (measure, (caption, factor)) in zip(panels, CHANGES.items(), strict=True):
            triples = [by_measure.get(measure) or UNDEFINED for by_measure in changes.values()]
            limit = factor * (limits or {}).get(measure, 0.0)
            _draw_changes(panel, [[factor * number(value) for value in triple] for triple in triples], limit, factor)
            shaded = f"\n(shaded: lost more than {limit:g})" if limit else ""
            panel.set(title=caption + shaded, ylim=(len(changes) - 0.5, -0.5))
        panels[0].set_yticks(range(len(changes)), [readable(attribute) for attribute in changes])


def _draw_changes(panel, triples, limit, factor):
    """A dot and its interval a row, around 0; what lies under -limit is shaded and has another colour."""
    extent = max((abs(value) for triple in triples for value in triple if value == value), default=0.0)  # not NaN
    reach = 1.15 * max(extent, 1.6 * limit) or factor * 0.01
    for row, (change, low, high) in enumerate(triples):
        colour = FORGOTTEN if limit and change < -limit else INK
        panel.hlines(row, low, high, color=colour, linewidth=1.8)
        panel.plot([change], [row], marker="o", markersize=6, color=colour)
        if change != change:  # NaN
            place = {"ha": "center", "va": "center", "backgroundcolor": "white"}
            panel.text(0, row, "undefined", color=GREY, fontsize=8, **place)
    if limit:
        panel.axvspan(-reach, -limit, color=FORGOTTEN, alpha=0.1, linewidth=0)
        panel.axvline(-limit, color=FORGOTTEN, linewidth=1.0, linestyle="--")
    panel.axvline(0, color=GREY, linewidth=1.0)
    panel.set(xlim=(-reach, reach))
    panel.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
    panel.tick_params(axis="y", length=0)
