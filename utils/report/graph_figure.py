"""The essential graph as a picture: a lane a layer, a dot an essential channel, a line a connection."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from utils.report.style import FORGOTTEN, INK, KEPT, PALE, SHARED, legend_below, picture, plain, readable

GROUPS = {"target": FORGOTTEN, "shared": SHARED, "kept": KEPT}  # from the top of the picture to its bottom
ROWS_A_COLUMN = 48  # a group with more dots than this gets further columns in its lane
ROW, COLUMN, LANE, BAND_GAP, ARC = 0.075, 0.085, 1.9, 0.32, 0.12  # inches


def draw_graph(path, nodes, edges, layers, attributes, forgotten, title="", *, most_edges=400):
    """Lanes of essential channels, grouped by whom they serve, and the strongest connections between them.

    Args:
        nodes: dicts with "layer", "channel", "essential_to" (attribute names) and "prune" (bool)
        edges: dicts with "source_layer", "source_channel", "target_layer", "target_channel", "attribute", "relevance"
        layers: [(name, number of channels)] from input to output
        attributes: names in head order
        forgotten: names of the forgotten ones
        most_edges: only so many edges are drawn, the largest |relevance| first; the title says of how many
    Raises: KeyError if an edge ends in a channel that is no node
    """
    lanes = {name: _group_channels(nodes, name, set(forgotten)) for name, _ in layers}
    places, height, spacing = _place_nodes(lanes)
    strongest = sorted(edges, key=lambda edge: -abs(edge["relevance"]))[:most_edges]
    heading = f"{title}\n" if title else ""
    heading += f"the {len(strongest)} strongest of {len(edges)} edges" if edges else "no edges"
    with picture(path, spacing * len(layers) + 0.6, height + 2.4, heading) as figure:
        panel = figure.subplots()
        _draw_edges(panel, strongest, places, set(forgotten), spacing)
        _draw_nodes(panel, nodes, lanes, places)
        for lane, (name, channels) in enumerate(layers):
            panel.text(lane * spacing, -0.25, name, ha="center", va="top", fontsize=9, fontweight="bold")
            caption = _lane_caption(nodes, name, lanes[name], channels)
            panel.text(lane * spacing, -0.45, caption, ha="center", va="top", fontsize=8)
        panel.set(
            xlim=(-0.55 * spacing, (len(layers) - 0.45) * spacing),
            ylim=(-1.0, height + ARC * len(layers)),
            aspect="equal",
        )
        panel.set_axis_off()
        legend_below(figure, *_legend(attributes, forgotten), columns=3)


def _group_channels(nodes, layer, forgotten):
    """{group: channels of one layer, ascending}."""
    groups = {group: [] for group in GROUPS}
    for node in nodes:
        if node["layer"] == layer and node["essential_to"]:
            serves_target = bool(forgotten & set(node["essential_to"]))
            serves_kept = bool(set(node["essential_to"]) - forgotten)
            group = "shared" if serves_target and serves_kept else "target" if serves_target else "kept"
            groups[group].append(node["channel"])
    return {group: sorted(channels) for group, channels in groups.items()}


def _place_nodes(lanes):
    """Where each (layer, channel) lies, in inches; a group's band is at one height in all lanes."""
    most = {group: max([len(lane[group]) for lane in lanes.values()], default=0) for group in GROUPS}
    columns = {group: max(1, -(-count // ROWS_A_COLUMN)) for group, count in most.items()}
    bands = {group: ROW * -(-count // columns[group]) for group, count in most.items()}
    height = max(2.0, sum(bands.values()) + BAND_GAP * (len(GROUPS) - 1))
    spacing = LANE + COLUMN * max(columns.values())
    places, top = {}, height
    for group in GROUPS:
        for lane, (layer, groups) in enumerate(lanes.items()):
            for i, channel in enumerate(groups[group]):
                column, row = i % columns[group], i // columns[group]
                x = lane * spacing + COLUMN * (column - (columns[group] - 1) / 2)
                places[layer, channel] = (x, top - ROW * (row + 0.5))
        top -= bands[group] + BAND_GAP
    return places, height, spacing


def _draw_edges(panel, edges, places, forgotten, spacing):
    """Lines from the weakest to the strongest, wider and darker with |relevance|."""
    largest = max([abs(edge["relevance"]) for edge in edges], default=0.0) or 1.0
    curves, colours, widths = [], [], []
    for edge in reversed(edges):
        strength = abs(edge["relevance"]) / largest
        start = places[edge["source_layer"], edge["source_channel"]]
        end = places[edge["target_layer"], edge["target_channel"]]
        curves.append(_curve(start, end, spacing))
        colours.append((*to_rgb(FORGOTTEN if edge["attribute"] in forgotten else KEPT), 0.12 + 0.6 * strength))
        widths.append(0.4 + 1.8 * strength)
    panel.add_collection(LineCollection(curves, colors=colours, linewidths=widths, zorder=1))


def _curve(start, end, spacing):
    """(P, 2) points: straight to the next lane, an arc over the lanes that a connection skips."""
    start, end = np.array(start), np.array(end)
    share = np.linspace(0, 1, 24)[:, None]
    skipped = max(0, round(abs(end[0] - start[0]) / spacing) - 1)
    arc = np.concatenate([np.zeros_like(share), 4 * share * (1 - share)], axis=1)
    return start + share * (end - start) + ARC * skipped * arc


def _draw_nodes(panel, nodes, lanes, places):
    groups = {(layer, channel): group for layer, lane in lanes.items() for group in lane for channel in lane[group]}
    for pruned, size, edge_colour in ((False, 13, "white"), (True, 19, INK)):
        shown = [(node["layer"], node["channel"]) for node in nodes if bool(node["prune"]) is pruned]
        shown = [place for place in shown if place in places]
        if shown:
            points = np.array([places[place] for place in shown])
            colours = [GROUPS[groups[place]] for place in shown]
            width = 0.9 if pruned else 0.3
            panel.scatter(*points.T, s=size, c=colours, edgecolors=edge_colour, linewidths=width, zorder=2 + pruned)


def _lane_caption(nodes, layer, groups, channels):
    to_prune = sum(1 for node in nodes if node["layer"] == layer and node["prune"])
    return (
        f"{channels} channels\n{to_prune} to prune\n"
        f"{len(groups['target'])} target · {len(groups['shared'])} shared · {len(groups['kept'])} kept"
    )


def _legend(attributes, forgotten):
    names = " + ".join(readable(attribute) for attribute in forgotten)
    names = plain(names, 60) if len(forgotten) <= 3 else f"one of the {len(forgotten)} targets"
    kept = [readable(attribute) for attribute in attributes if attribute not in forgotten]
    others = f"{plain(' + '.join(kept), 60)} only" if 0 < len(kept) <= 3 else "kept heads only"
    dots = {
        f"essential to {names} only": {"color": FORGOTTEN},
        f"essential to {names} and a kept head": {"color": SHARED},
        f"essential to {others}": {"color": KEPT},
        "ringed: to prune": {"color": PALE, "markeredgecolor": INK, "markeredgewidth": 0.9},
    }
    handles = [Line2D([], [], marker="o", linestyle="", markersize=5.5, **look) for look in dots.values()]
    handles += [Line2D([], [], color=colour, linewidth=1.6) for colour in (FORGOTTEN, KEPT)]
    return handles, [*dots, "connection for the target", "connection for a kept head"]
