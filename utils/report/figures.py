"""Pictures of what the three scripts find: numbers go in, one PNG comes out, nothing is computed here."""

import math

import matplotlib
import numpy as np
from matplotlib.lines import Line2D
from PIL import Image

from utils.report.style import (
    FORGOTTEN,
    GREY,
    INK,
    KEPT,
    KEPT_COLOURS,
    attribute_colours,
    legend_below,
    mark_tick_labels,
    marked,
    number,
    picture,
    plain,
    readable,
)

MEASURES = {
    "tpr_all_positive": "true-positive rate\n(all-positive images)",
    "accuracy": "accuracy\n(whole test split)",
    "balanced_accuracy": "balanced accuracy\n(chance = 0.5)",
    "auc": "AUC: does it still rank?\n(chance = 0.5)",
}
ORDERS = {"top": "most important first", "lowest": "least important first", "random": "random channels"}
ORDER_COLOURS = {"top": FORGOTTEN, "lowest": KEPT, "random": GREY}


def draw_before_after(path, heads, forgotten, title=""):
    """One panel a measure, one row a head: a hollow dot before, a filled one after.

    Args:
        heads: {attribute: {"before": {measure: fraction or None}, "after": the same}}, measures as in MEASURES
        forgotten: names of the forgotten attributes
    """
    attributes = list(heads)
    colours = {attribute: FORGOTTEN if attribute in forgotten else KEPT for attribute in attributes}
    with picture(path, 12.0, 1.9 + 0.46 * len(attributes), title) as figure:
        panels = figure.subplots(1, len(MEASURES), sharey=True)
        for panel, (measure, caption) in zip(panels, MEASURES.items(), strict=True):
            for row, attribute in enumerate(attributes):
                if attribute in forgotten:
                    panel.axhspan(row - 0.5, row + 0.5, color=FORGOTTEN, alpha=0.08, linewidth=0)
                before = number(heads[attribute]["before"].get(measure))
                after = number(heads[attribute]["after"].get(measure))
                _draw_change(panel, row, before, after, colours[attribute])
            if measure in ("balanced_accuracy", "auc"):
                panel.axvline(0.5, color=GREY, linewidth=1.0, linestyle=":")
            panel.set(title=caption, xlim=(-0.06, 1.06), ylim=(len(attributes) - 0.4, -0.6))
            panel.set_xticks(np.arange(0, 1.1, 0.25))
            panel.tick_params(axis="y", length=0)
            panel.grid(axis="y", visible=False)
        panels[0].set_yticks(range(len(attributes)), [marked(attribute, forgotten) for attribute in attributes])
        mark_tick_labels(panels[0].get_yticklabels(), attributes, forgotten)
        hollow = Line2D([], [], marker="o", linestyle="", markersize=7, markerfacecolor="white", markeredgecolor=INK)
        filled = Line2D([], [], marker="o", linestyle="", markersize=6, color=INK)
        legend_below(figure, [hollow, filled], ["before", "after"])


def _draw_change(panel, row, before, after, colour):
    panel.plot([before, after], [row, row], color=colour, linewidth=2.0, alpha=0.55)
    panel.plot([before], [row], marker="o", markersize=7.5, markerfacecolor="white", markeredgecolor=colour)
    panel.plot([after], [row], marker="o", markersize=5.0, color=colour)
    words = " → ".join("undefined" if math.isnan(value) else f"{value:.3f}" for value in (before, after))
    words = "undefined" if math.isnan(before) and math.isnan(after) else words
    panel.text(0.25, row - 0.2, words, ha="center", va="bottom", fontsize=8, color=colour)


def draw_cam_sheet(path, images, cams, title="", *, forgotten=(), captions=None):
    """A contact sheet: the images, and under them one row of heat-map overlays an attribute.

    Args:
        images: (N, H, W, 3) uint8 array
        cams: {attribute: (N, h, w) array in [0, 1]}; enlarged to the image's size
        captions: N short texts over the columns
    Raises: ValueError if a map does not belong to N images
    """
    images = np.asarray(images, dtype=np.uint8)
    count, height, width = images.shape[:3]
    rows = [images]
    for attribute, maps in cams.items():
        if len(maps) != count:
            raise ValueError(f"{len(maps)} maps of {attribute} for {count} images")
        rows.append(np.stack([overlay_heat(image, cam) for image, cam in zip(images, maps, strict=True)]))
    gap = max(1, width // 32)
    sheet = np.full((len(rows) * (height + gap) - gap, count * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            top, left = r * (height + gap), c * (width + gap)
            sheet[top : top + height, left : left + width] = tile
    labels = ["image", *[marked(attribute, forgotten) for attribute in cams]]
    tile_height = 1.15 * height / width
    with picture(path, 2.6 + 1.15 * count, 0.9 + tile_height * len(rows), title) as figure:
        panel = figure.subplots()
        panel.imshow(sheet, interpolation="antialiased")
        panel.set_yticks([r * (height + gap) + height / 2 for r in range(len(rows))], labels)
        mark_tick_labels(panel.get_yticklabels()[1:], list(cams), forgotten)
        panel.set_xticks([c * (width + gap) + width / 2 for c in range(count)], captions or [""] * count)
        panel.tick_params(length=0, labeltop=True, labelbottom=False)
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
        scale = matplotlib.cm.ScalarMappable(cmap="inferno")
        bar = figure.colorbar(scale, ax=panel, shrink=0.8, ticks=[0, 1], pad=0.01, aspect=25)
        bar.set_ticklabels(["none", "most"])
        bar.set_label("evidence for the attribute", labelpad=-8)


def overlay_heat(image, cam):
    """(H, W, 3) uint8: the picture in grey under the heat map, so that colour always means the map.

    Args: image: (H, W, 3) uint8; cam: (h, w) in [0, 1], enlarged to the image's size
    """
    height, width = image.shape[:2]
    cam = np.nan_to_num(np.asarray(cam, dtype=np.float32))
    cam = np.asarray(Image.fromarray(cam).resize((width, height), Image.Resampling.BILINEAR)).clip(0, 1)
    heat = matplotlib.colormaps["inferno"](cam)[..., :3]  # (H, W, 3)
    grey = (image @ np.array([0.299, 0.587, 0.114]) / 255)[..., None]
    return (255 * (0.45 * grey + 0.55 * heat)).round().astype(np.uint8)


def draw_importance_curve(path, rows, target, title=""):
    """What each head still does as channels are pruned: a column an order, rate above and AUC below.

    Args:
        rows: dicts with "order" ("top", "lowest" or "random"), "share_pruned", "attribute", "tpr", "auc", all fractions
        target: name, or names, of the attribute whose importance gives the order
    """
    targets = (target,) if isinstance(target, str) else tuple(target)
    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    attributes.sort(key=lambda attribute: attribute in targets)  # the target is drawn last, on top
    orders = [order for order in ORDERS if any(row["order"] == order for row in rows)] or list(ORDERS)
    colours = attribute_colours(attributes, targets)
    with picture(path, 1.2 + 3.6 * len(orders), 5.6, title) as figure:
        panels = figure.subplots(2, len(orders), sharex=True, sharey=True, squeeze=False)
        for column, order in enumerate(orders):
            for panel, measure in zip(panels[:, column], ("tpr", "auc"), strict=True):
                for attribute in attributes:
                    points = [row for row in rows if row["order"] == order and row["attribute"] == attribute]
                    points.sort(key=lambda row: row["share_pruned"])
                    shares = [row["share_pruned"] for row in points]
                    values = [number(row[measure]) for row in points]
                    width = 2.4 if attribute in targets else 1.4
                    panel.plot(shares, values, marker="o", markersize=3, linewidth=width, color=colours[attribute])
                panel.set_ylim(-0.04, 1.04)
            panels[0, column].set_title(ORDERS[order])
            panels[1, column].set_xlabel("share of channels pruned")
            panels[1, column].axhline(0.5, color=GREY, linewidth=1.0, linestyle=":")
        panels[0, 0].set_ylabel("true-positive rate")
        panels[1, 0].set_ylabel("AUC (dotted: chance)")
        shown = attributes[::-1]
        legend_below(figure, *_attribute_legend(shown, targets, colours))


def draw_networks_curves(path, curves, target, measure="auc", title=""):
    """The importance curves of several networks, a panel each: the target's head thick, the mean of the others thin.

    Args:
        curves: {network: rows as for `draw_importance_curve`}; target: name of the attribute that gave the order
        measure: "auc" or "tpr"
    """
    with picture(path, 1.0 + 2.9 * len(curves), 3.6, title) as figure:
        panels = figure.subplots(1, len(curves), sharex=True, sharey=True, squeeze=False)[0]
        for panel, (network, rows) in zip(panels, curves.items(), strict=True):
            for order, colour in ORDER_COLOURS.items():
                for own, width, line in ((True, 2.2, "-"), (False, 1.2, "--")):
                    found = {}
                    for row in rows:
                        if row["order"] == order and (row["attribute"] == target) == own and row[measure] is not None:
                            found.setdefault(row["share_pruned"], []).append(row[measure])
                    shares = sorted(found)
                    means = [math.fsum(found[share]) / len(found[share]) for share in shares]
                    panel.plot(shares, means, color=colour, linewidth=width, linestyle=line)
            if measure == "auc":
                panel.axhline(0.5, color=GREY, linewidth=1.0, linestyle=":")
            panel.set(title=plain(network), xlabel="share of channels pruned", ylim=(-0.04, 1.04))
        panels[0].set_ylabel("AUC (dotted: chance)" if measure == "auc" else "true-positive rate")
        kinds = [(ORDERS[order], colour, 2.2, "-") for order, colour in ORDER_COLOURS.items()]
        kinds += [(f"thick: {readable(target)}, dashed: mean of the kept heads", INK, 1.2, "--")]
        handles = [Line2D([], [], color=colour, linewidth=width, linestyle=line) for _, colour, width, line in kinds]
        legend_below(figure, handles, [words for words, *_ in kinds])


def _attribute_legend(attributes, forgotten, colours):
    kept = [attribute for attribute in attributes if attribute not in forgotten]
    named = [attribute for attribute in attributes if attribute in forgotten or len(kept) <= len(KEPT_COLOURS)]
    handles = [Line2D([], [], color=colours[a], linewidth=2.4 if a in forgotten else 1.6) for a in named]
    labels = [f"{readable(a)} (target)" if a in forgotten else readable(a) for a in named]
    if len(named) < len(attributes):  # too many heads for a name each
        handles.append(Line2D([], [], color=colours[kept[0]], linewidth=1.6))
        labels.append(f"the {len(kept)} other heads")
    return handles, labels
