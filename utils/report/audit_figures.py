"""Pictures of an audit: numbers with their intervals go in, one PNG comes out, nothing is computed here."""

from matplotlib.ticker import MaxNLocator, NullLocator

from utils.report.style import FORGOTTEN, GREY, INK, KEPT, legend_below, net_styles, number, picture, readable

CHANGES = {  # read-out: (caption, factor from fractions to the unit shown)
    "auc": ("AUC, change", 1.0),
    "accuracy": ("accuracy, change in points", 100.0),
}


def draw_roc(path, curves, title=""):
    """True- against false-positive rate of the forgotten head, a curve a net.

    Args:
        curves: {net: (fpr, tpr, auc)}, rates as sequences of fractions, auc a fraction or None
    """
    styles = net_styles(curves)
    with picture(path, 5.6, 5.6, title) as figure:
        panel = figure.subplots()
        panel.plot([0, 1], [0, 1], color=GREY, linewidth=1.0, linestyle=":")
        panel.text(0.76, 0.73, "chance", rotation=45, color=GREY, ha="center", va="top", fontsize=8)
        for net, (false_rate, true_rate, auc) in curves.items():
            colour, line, _ = styles[net]
            label = f"{net}: AUC {'undefined' if auc is None else format(auc, '.3f')}"
            panel.plot(false_rate, true_rate, color=colour, linestyle=line, linewidth=2.0, label=label)
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        panel.set(xlabel="false-positive rate", ylabel="true-positive rate")
        legend_below(figure, *panel.get_legend_handles_labels(), columns=2)


def draw_probe_stages(path, probes, note="", title="", *, limits=None):
    """AUC of a probe for the forgotten attribute at each stage of each net, with intervals.

    Args:
        probes: {net: {stage: (auc, low, high)}}, any of them None where undefined
        note: a line under the picture, e.g. what the limit is
        limits: {stage: AUC up to which the stage counts as erased}, drawn as a short line
    """
    styles = net_styles(probes)
    stages = list(dict.fromkeys(stage for by_stage in probes.values() for stage in by_stage))
    with picture(path, max(6.4, 2.0 + 1.3 * len(stages)), 4.8, title) as figure:
        panel = figure.subplots()
        for i, (net, by_stage) in enumerate(probes.items()):
            shift = (i - (len(probes) - 1) / 2) * min(0.14, 0.7 / max(1, len(probes)))  # side by side, not on top
            colour, _, marker = styles[net]
            points = [by_stage.get(stage, (None, None, None)) for stage in stages]
            _draw_intervals(panel, [x + shift for x in range(len(stages))], points, colour, marker, net)
        for x, stage in enumerate(stages):
            if number((limits or {}).get(stage)) == number((limits or {}).get(stage)):  # not NaN
                panel.hlines(limits[stage], x - 0.42, x + 0.42, color=KEPT, linewidth=1.2, linestyle=(0, (4, 2)))
        panel.axhline(0.5, color=GREY, linewidth=1.0, linestyle=":")
        panel.text(len(stages) - 0.42, 0.5, "chance", color=GREY, fontsize=8, ha="right", va="bottom")
        panel.set(xlim=(-0.5, len(stages) - 0.4), ylabel="probe AUC")
        panel.set_xticks(range(len(stages)), stages)
        panel.grid(axis="x", visible=False)
        if note:
            panel.set_xlabel(note, fontsize=8.5, labelpad=8)
        legend_below(figure, *panel.get_legend_handles_labels())


def _draw_intervals(panel, xs, points, colour, marker, label):
    values = [number(value) for value, _, _ in points]
    panel.vlines(
        xs, [number(low) for _, low, _ in points], [number(high) for _, _, high in points], color=colour, linewidth=1.6
    )
    panel.plot(xs, values, marker=marker, markersize=5.5, linestyle="", color=colour, label=label)


def draw_relearning(path, head_only, whole_net, title=""):
    """How fast the forgotten attribute comes back: AUC against the number of labelled images, a curve a net.

    Args:
        head_only: {net: [(n, auc, low, high), ...]}, the head alone refitted
        whole_net: the same, everything fine-tuned; either may be empty
    """
    panels = {"head alone refitted": head_only, "whole net fine-tuned": whole_net}
    panels = {caption: curves for caption, curves in panels.items() if curves} or panels
    styles = net_styles(list(dict.fromkeys([*head_only, *whole_net])))
    with picture(path, 1.2 + 4.4 * len(panels), 4.4, title) as figure:
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        legend = {}
        for panel, (caption, curves) in zip(axes, panels.items(), strict=True):
            for net, points in curves.items():
                colour, line, marker = styles[net]
                counts = [n for n, *_ in points]
                lows, highs = ([number(point[side]) for point in points] for side in (2, 3))
                panel.fill_between(counts, lows, highs, color=colour, alpha=0.13, linewidth=0)
                values = [number(point[1]) for point in points]
                (legend[net],) = panel.plot(counts, values, color=colour, linestyle=line, marker=marker)
            counts = sorted({n for points in curves.values() for n, *_ in points})
            panel.axhline(0.5, color=GREY, linewidth=1.0, linestyle=":")
            panel.set(title=caption, xlabel="labelled images seen")
            if counts:
                panel.set_xscale("log", base=2)
                panel.set_xticks(counts, [str(n) for n in counts])
                panel.xaxis.set_minor_locator(NullLocator())
        axes[0].set_ylabel("AUC of the forgotten attribute")
        legend_below(figure, list(legend.values()), list(legend))


def draw_kept_changes(path, changes, limits=None, title=""):
    """What each kept head lost or won, with intervals; a loss beyond the limit lies in the shaded part.

    Args:
        changes: {attribute: {"auc": (change, low, high), "accuracy": the same}}, fractions, or None where undefined
        limits: {"auc": largest loss allowed, "accuracy": the same}, fractions above 0
    """
    attributes = list(changes)
    with picture(path, 9.0, 1.9 + 0.34 * len(attributes), title) as figure:
        panels = figure.subplots(1, len(CHANGES), sharey=True)
        for panel, (measure, (caption, factor)) in zip(panels, CHANGES.items(), strict=True):
            extent = 0.0
            limit = factor * (limits or {}).get(measure, 0.0)
            for row, attribute in enumerate(attributes):
                triple = changes[attribute].get(measure) or (None, None, None)
                change, low, high = (factor * number(value) for value in triple)
                colour = FORGOTTEN if limit and change < -limit else INK
                panel.hlines(row, low, high, color=colour, linewidth=1.8)
                panel.plot([change], [row], marker="o", markersize=6, color=colour)
                if change != change:  # NaN
                    panel.text(
                        0, row, "undefined", color=GREY, fontsize=8, ha="center", va="center", backgroundcolor="white"
                    )
                extent = max([extent, *(abs(value) for value in (change, low, high) if value == value)])
            reach = 1.15 * max(extent, 1.6 * limit) or factor * 0.01
            if limit:
                panel.axvspan(-reach, -limit, color=FORGOTTEN, alpha=0.1, linewidth=0)
                panel.axvline(-limit, color=FORGOTTEN, linewidth=1.0, linestyle="--")
                caption = f"{caption}\n(shaded: lost more than {limit:g})"
            panel.axvline(0, color=GREY, linewidth=1.0)
            panel.set(title=caption, xlim=(-reach, reach), ylim=(len(attributes) - 0.5, -0.5))
            panel.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
            panel.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(attributes)), [readable(attribute) for attribute in attributes])
