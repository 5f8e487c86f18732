"""Pictures of an audit: numbers with their intervals go in, one PNG comes out, nothing is computed here."""

from matplotlib.ticker import MaxNLocator, NullLocator

from utils.report.style import FORGOTTEN, GREY, INK, KEPT, legend_below, network_styles, number, picture, readable

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


def draw_probe_stages(path, probes, caption="", title="", *, limits=None):
    """AUC of a probe for the forgotten attribute at each stage of each network, with intervals.

    Args:
        probes: {network: {stage: (auc, low, high)}}, any of them None where undefined
        caption: a line under the picture, e.g. what the limit is
        limits: {stage: AUC up to which the stage counts as erased}, drawn as a short line
    """
    styles, limits = network_styles(probes), limits or {}
    stages = list(dict.fromkeys(stage for by_stage in probes.values() for stage in by_stage))
    with picture(path, max(6.4, 2.0 + 1.3 * len(stages)), 4.8, title) as figure:
        panel = figure.subplots()
        for i, (name, by_stage) in enumerate(probes.items()):
            shift = (i - (len(probes) - 1) / 2) * min(0.14, 0.7 / max(1, len(probes)))  # side by side, not on top
            colour, _, marker = styles[name]
            xs = [x + shift for x in range(len(stages))]
            triples = [by_stage.get(stage, UNDEFINED) for stage in stages]
            values, lows, highs = ([number(triple[i]) for triple in triples] for i in range(3))
            panel.vlines(xs, lows, highs, color=colour, linewidth=1.6)
            panel.plot(xs, values, marker=marker, markersize=5.5, linestyle="", color=colour, label=name)
        for x in (x for x, stage in enumerate(stages) if limits.get(stage) is not None):
            panel.hlines(limits[stages[x]], x - 0.42, x + 0.42, color=KEPT, linewidth=1.2, linestyle=(0, (4, 2)))
        panel.axhline(0.5, color=GREY, linewidth=1.0, linestyle=":")
        panel.text(len(stages) - 0.42, 0.5, "chance", color=GREY, fontsize=8, ha="right", va="bottom")
        panel.set(xlim=(-0.5, len(stages) - 0.4), ylabel="probe AUC")
        panel.set_xticks(range(len(stages)), stages)
        panel.grid(axis="x", visible=False)
        if caption:
            panel.set_xlabel(caption, fontsize=8.5, labelpad=8)
        legend_below(figure, *panel.get_legend_handles_labels())


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
