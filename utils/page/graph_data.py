"""The essential graph for the page: orders of channels, so that any proportion is chosen as `selection` chooses it."""

import torch

from utils.graph.selection import CONTROLS, choose_nodes, essential_sets

MOST_NUMBERS = 250_000  # orders of channels that a page holds: channels x attributes
MOST_SCORES = 60_000  # scores, for what a channel says of itself
MOST_EDGES, STRONGEST = 4_000, 1_200


def graph_data(graph):
    """What the page's script draws and recolours, JSON-ready; None where the graph has no scores, or too many.

    A set of `selection.essential_channels` is a start of its attribute's order, whatever the proportion.

    Args: graph: `EssentialGraph`
    Returns: {"attributes", "forgotten": places, "rule", "proportion", "balance", "layers": [{"name", "channels",
        "orders": [K orders of the channels], "scores": [K x C] or None}], "edges": [[source layer, channel, target
        layer, channel, attribute, relevance]], "edges_in_file"}, layers and attributes as places
    """
    numbers = len(graph.attributes) * sum(graph.layers.values())
    if not has_all_scores(graph) or numbers > MOST_NUMBERS:
        return None
    collapse = as_released(graph)
    layers = [
        {
            "name": layer,
            "channels": size,
            "orders": [_order(graph.scores[layer][name], collapse) for name in graph.attributes],
            "scores": [[_short(v) for v in graph.scores[layer][name]] for name in graph.attributes]
            if numbers <= MOST_SCORES
            else None,
        }
        for layer, size in graph.layers.items()
    ]
    return {
        "attributes": list(graph.attributes),
        "forgotten": [graph.attributes.index(name) for name in graph.forgotten],
        "rule": graph.rule,
        "balance": starting_rule(graph),
        "proportion": proportion_of(graph),
        "layers": layers,
        "edges": _strongest_edges(graph),
        "edges_in_file": sum(len(edge["connections"]) for edge in graph.edges),
    }


def has_all_scores(graph):
    """Whether an `EssentialGraph` has a score for each channel and attribute: one of the released text has none."""
    return all(set(graph.scores.get(layer, {})) == set(graph.attributes) for layer in graph.layers)


def as_released(graph):
    """Whether equal scores fall into one, as in the released code."""
    return bool(graph.made_by.get("arguments", {}).get("as_released"))


def proportion_of(graph):
    """The proportion that an `EssentialGraph` was made with; step 2's default where it does not say."""
    return graph.made_by.get("arguments", {}).get("proportion") or 0.1


def starting_rule(graph):
    """The rule of an `EssentialGraph`; of a control that by which it counted its channels."""
    if graph.rule not in CONTROLS:
        return graph.rule
    return "no_balance" if graph.made_by.get("arguments", {}).get("no_balance") else "balance"


def nodes_at(graph, proportion, rule):
    """{layer: channels to prune} that `utils.graph.selection` chooses from a graph's scores.

    Args: graph: `EssentialGraph` with scores; proportion: in (0, 1]; rule: "balance", "no_balance" or "released"
    """
    rows = {layer: torch.tensor([own[name] for name in graph.attributes]) for layer, own in graph.scores.items()}
    essential = essential_sets(rows, graph.attributes, proportion, as_released(graph))
    return choose_nodes(rule, essential, rows, graph.forgotten, None)


def _order(scores, collapse):
    """Channels from the largest score down; with `collapse` the first channel of the same score instead of each."""
    values = torch.tensor(scores)
    order = torch.sort(values, descending=True, stable=True).indices.tolist()
    if not collapse:
        return order
    first, values = {}, values.tolist()
    for channel, value in enumerate(values):
        first.setdefault(value, channel)
    return [first[values[channel]] for channel in order]


def _short(value):
    return float(f"{value:.4g}")


def _strongest_edges(graph):
    """The strongest connections of all, and of each channel the strongest that enters and leaves it."""
    places, heads = ({name: i for i, name in enumerate(names)} for names in (graph.layers, graph.attributes))
    edges = [
        (
            places[edge["source"]],
            source,
            places[edge["target"]],
            target,
            heads[edge["attribute"]],
            value,
        )
        for edge in graph.edges
        for source, target, value in edge["connections"]
    ]
    edges.sort(key=lambda edge: (-abs(edge[5]), edge[:5]))
    seen, kept = set(), []
    for rank, edge in enumerate(edges):
        ends = {("from", *edge[:2], edge[4]), ("to", *edge[2:5])}
        if rank < STRONGEST or not ends <= seen:
            kept.append([*edge[:5], _short(edge[5])])
        seen |= ends
    return kept[:MOST_EDGES]
