"""From scoring images to a graph: the steps of step 2 on a real network and drawn faces."""

import pytest
import torch
from conftest import stir_batch_norms

from models import build_model
from utils.common.errors import InputError
from utils.datasets.dataset import open_dataset
from utils.graph import selection
from utils.graph.dataflow import trace_dataflow
from utils.graph.essential_graph import build_graph
from utils.graph.importance import channel_scores, score_network
from utils.graph.scoring_images import choose_scoring_images

TASK = ["Bald", "Eyeglasses"]


@pytest.fixture(scope="module")
def scene(tiny_celeba, tmp_path_factory):
    """Network, layers, the 6 images of each attribute, and their scores."""
    torch.manual_seed(0)
    model = stir_batch_norms(build_model("resnet18", TASK))
    flow = trace_dataflow(model)
    layers = flow.choose_layers(["5"])
    data = open_dataset(tiny_celeba, TASK, img_size=32, cache_path=tmp_path_factory.mktemp("cache"))
    images = choose_scoring_images(data, 6)
    return model, layers, images, score(model, flow, layers, images)


def score(model, flow, layers, images):
    return score_network(model, layers, flow.links_between(layers), images.batches(4, "cpu"))


def graph_of(model, scores, *, proportion=0.1, importance="gradcam", balance=True):
    essential = selection.essential_sets(scores.channels, TASK, proportion)
    rule = selection.pruning_rule(importance, balance)
    nodes = selection.choose_nodes(rule, essential, scores.channels, ["Bald"], model)
    return build_graph(scores, essential, nodes, ["Bald"], rule, {"seed": 0})


def test_scoring_images_are_the_first_training_positives(scene):
    images = scene[2]
    for k, attribute in enumerate(TASK):
        own = images.rows[images.scored_for[:, k]]
        assert own.tolist() == images.data.positives(attribute, "train")[:6].tolist()
    assert len(set(images.rows.tolist())) == len(images.rows) and images.counts == {"Bald": 6, "Eyeglasses": 6}


def test_scores_are_means_over_each_attributes_own_images(scene):
    model, layers, images, scores = scene
    for k, attribute in enumerate(TASK):
        own = next(images.data.batches(images.rows[images.scored_for[:, k]], 6, "cpu"))[0]
        by_hand = channel_scores(model, layers[-1:], own, attribute)[layers[-1]].mean(0)
        assert torch.allclose(scores.channels[layers[-1]][k], by_hand, rtol=1e-3, atol=1e-7)


def test_the_graph_prunes_what_only_the_target_needs_and_joins_essential_ends(scene):
    model, layers, _, scores = scene
    graph = graph_of(model, scores)
    for layer in layers:
        target, kept = (set(graph.essential[layer][name]) for name in TASK)
        assert len(target) == len(kept) == max(1, graph.layers[layer] // 10)
        assert set(graph.prune[layer]) == target - kept
    assert {(edge["source"], edge["target"]) for edge in graph.edges} == set(scores.edges)
    assert len(graph.flat_edges()) > 0


def test_equal_scores_give_byte_equal_files(scene):
    model, layers, images, scores = scene
    again = score(model, trace_dataflow(model), layers, images)
    first, second = (graph_of(model, found) for found in (scores, again))
    assert first.to_json() == second.to_json()
    assert first.to_graphml() == second.to_graphml()


def test_controls_prune_as_many_channels_a_layer_as_the_graph(scene):
    model, *_, scores = scene
    graph = graph_of(model, scores)
    for kind in ("random", "lowest", "magnitude"):
        control = graph_of(model, scores, importance=kind)
        assert {k: len(v) for k, v in control.prune.items()} == {k: len(v) for k, v in graph.prune.items()}
        assert control.rule == kind and control.prune != graph.prune


def test_without_balance_the_whole_essential_set_goes(scene):
    model, *_, scores = scene
    graph = graph_of(model, scores, balance=False)
    assert all(graph.prune[layer] == graph.essential[layer]["Bald"] for layer in graph.layers)


def test_layers_are_chosen_by_number_or_by_name_in_the_networks_order(scene):
    flow = trace_dataflow(scene[0])
    assert flow.choose_layers(["1"]) == ["layer4.1.conv1"]
    assert flow.choose_layers(["layer4.1.conv1", "conv1"]) == ["conv1", "layer4.1.conv1"]
    with pytest.raises(InputError, match="'layer9' is no convolution of this network"):
        flow.choose_layers(["layer9"])


def test_an_attribute_without_training_positives_is_an_error():
    class Nothing:
        attributes = TASK

        def positives(self, attribute, part):
            raise InputError(f"none of the images has {attribute}")

    with pytest.raises(InputError, match="none of the images has Bald"):
        choose_scoring_images(Nothing(), 3)
