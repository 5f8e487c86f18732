import pytest
import torch
from small_page import small_graph

from utils.graph.selection import essential_channels
from utils.page import graph_data as g

PROPORTIONS = (0.003, 0.1, 0.29, 0.5, 1.0)


@pytest.mark.parametrize("proportion", PROPORTIONS)
@pytest.mark.parametrize("rule", ["balance", "released"])  # the second lets equal scores fall into one
def test_the_start_of_an_order_is_the_essential_set_at_any_proportion(rule, proportion):
    graph = small_graph(rule=rule)
    for layer in g.graph_data(graph)["layers"]:
        count = max(1, int(layer["channels"] * proportion + 1e-9))
        for attribute, order in zip(graph.attributes, layer["orders"], strict=True):
            scores = torch.tensor(graph.scores[layer["name"]][attribute])
            assert sorted({*order[:count]}) == essential_channels(scores, proportion, rule == "released")


def test_at_its_own_proportion_the_graph_gives_what_its_file_prunes():
    for rule in ("balance", "no_balance", "released"):
        graph = small_graph(rule=rule)
        assert g.nodes_at(graph, g.proportion_of(graph), g.starting_rule(graph)) == graph.prune


def test_every_channel_with_connections_keeps_its_strongest(monkeypatch):
    monkeypatch.setattr(g, "STRONGEST", 1)
    graph = small_graph()
    kept, whole = g.graph_data(graph)["edges"], graph.flat_edges()
    assert len(kept) < len(whole) == g.graph_data(graph)["edges_in_file"]
    strongest = {}
    for edge in whole:
        key = graph.attributes.index(edge["attribute"]), edge["source_channel"]
        strongest[key] = max(strongest.get(key, 0), abs(edge["relevance"]))
    found = {}
    for _, source, _, _, attribute, value in kept:
        found[attribute, source] = max(found.get((attribute, source), 0), abs(value))
    assert {key: pytest.approx(value, rel=1e-3) for key, value in strongest.items()} == found


def test_of_a_large_graph_the_scores_are_left_out_then_the_graph(monkeypatch):
    graph = small_graph()  # 3 x 70 numbers
    monkeypatch.setattr(g, "MOST_SCORES", 209)
    assert {layer["scores"] for layer in g.graph_data(graph)["layers"]} == {None}
    monkeypatch.setattr(g, "MOST_NUMBERS", 209)
    assert g.graph_data(graph) is None
