import numpy as np
import pytest
import torch
from conftest import stir_batch_norms

from models import build_model
from utils.common.errors import InputError
from utils.datasets.dataset import open_dataset
from utils.graph.dataflow import trace_dataflow
from utils.graph.graph_making import GraphSettings, at_proportion, choose_layers, make_graph, score, scoring_rows
from utils.graph.importance import channel_scores

TASK = ["Bald", "Eyeglasses"]


@pytest.fixture(scope="module")
def scene(tiny_celeba, tmp_path_factory):
    """Network, data flow, layers, data and the scores of 6 images an attribute."""
    torch.manual_seed(0)
    model = stir_batch_norms(build_model("resnet18", TASK))
    flow = trace_dataflow(model)
    layers = choose_layers(flow, ["5"])
    data = open_dataset(tiny_celeba, TASK, img_size=32, cache_path=tmp_path_factory.mktemp("cache"))
    rows, scored_for = scoring_rows(data, TASK, 6)
    data.prepare(rows, progress=False)
    scores = score(model, flow, layers, data, rows, scored_for, GraphSettings(), 4, "cpu")
    return model, flow, layers, data, rows, scored_for, scores


def test_scoring_images_are_the_first_training_positives(scene):
    data, rows, scored_for = scene[3:6]
    for k, attribute in enumerate(TASK):
        assert rows[scored_for[:, k]].tolist() == data.positives(attribute, "train")[:6].tolist()
    assert len(set(rows.tolist())) == len(rows)


def test_scores_are_means_over_each_attributes_own_images(scene):
    model, _, layers, data, rows, scored_for, scores = scene
    for k, attribute in enumerate(TASK):
        images = next(data.batches(rows[scored_for[:, k]], 6, "cpu"))[0]
        by_hand = channel_scores(model, layers[-1:], images, attribute)[layers[-1]].mean(0)
        assert torch.allclose(scores.channels[layers[-1]][k], by_hand, rtol=1e-3, atol=1e-7)


def test_the_graph_prunes_what_only_the_target_needs_and_joins_essential_ends(scene):
    model, _, layers, *_, scores = scene
    graph = make_graph(scores, TASK, ["Bald"], GraphSettings(proportion=0.1), model, {})
    for layer in layers:
        target, kept = (set(graph.essential[layer][name]) for name in TASK)
        assert len(target) == len(kept) == max(1, graph.layers[layer] // 10)
        assert set(graph.prune[layer]) == target - kept
    assert {(edge["source"], edge["target"]) for edge in graph.edges} == set(scores.edges)
    assert len(graph.flat_edges()) > 0


def test_equal_scores_give_byte_equal_files(scene):
    model, flow, layers, data, rows, scored_for, scores = scene
    again = score(model, flow, layers, data, rows, scored_for, GraphSettings(), 4, "cpu")
    first, second = (make_graph(found, TASK, ["Bald"], GraphSettings(), model, {}) for found in (scores, again))
    assert first.to_json() == second.to_json()
    assert first.to_graphml() == second.to_graphml()


def test_controls_prune_as_many_channels_a_layer_as_the_graph(scene):
    model, *_, scores = scene
    graph = make_graph(scores, TASK, ["Bald"], GraphSettings(), model, {})
    for kind in ("random", "lowest", "magnitude"):
        control = make_graph(scores, TASK, ["Bald"], GraphSettings(importance=kind), model, {})
        assert {k: len(v) for k, v in control.prune.items()} == {k: len(v) for k, v in graph.prune.items()}
        assert control.rule == kind and control.prune != graph.prune


def test_without_balance_the_whole_essential_set_goes(scene):
    model, *_, scores = scene
    graph = make_graph(scores, TASK, ["Bald"], GraphSettings(balance=False), model, {})
    assert all(graph.prune[layer] == graph.essential[layer]["Bald"] for layer in graph.layers)


def test_another_proportion_needs_no_new_pass(scene):
    model, *_, scores = scene
    graph = make_graph(scores, TASK, ["Bald"], GraphSettings(proportion=0.1), model, {"seed": 0})
    wider = at_proportion(graph, scores, 0.2, GraphSettings(), model)
    assert (
        wider.to_json()
        == make_graph(scores, TASK, ["Bald"], GraphSettings(proportion=0.2), model, {"seed": 0}).to_json()
    )


def test_layers_are_chosen_by_number_or_by_name_in_the_networks_order(scene):
    flow = scene[1]
    assert choose_layers(flow, ["1"]) == ["layer4.1.conv1"]
    assert choose_layers(flow, ["layer4.1.conv1", "conv1"]) == ["conv1", "layer4.1.conv1"]
    with pytest.raises(InputError, match="'layer9' is no convolution of this network"):
        choose_layers(flow, ["layer9"])


def test_an_attribute_without_training_positives_is_an_error(scene):
    class Nothing:
        def positives(self, attribute, part):
            raise InputError(f"none of the images has {attribute}")

    with pytest.raises(InputError, match="none of the images has Bald"):
        scoring_rows(Nothing(), TASK, 3)
    assert isinstance(scene[4], np.ndarray)
