"""The released code's own numbers, reproduced through the public functions and through the command line."""

import json
import shutil

import pytest
import torch
from conftest import STEP_2, STEP_3, run_step

from models import build_model, load_weights
from utils.datasets.dataset import open_dataset
from utils.graph.dataflow import trace_dataflow
from utils.graph.essential_graph import read_graph, read_released_text
from utils.graph.importance import channel_scores, score_network
from utils.graph.selection import essential_sets, released_nodes_to_prune, votes
from utils.network.checkpoint import load_checkpoint, read_state_dict
from utils.pruning.channels import zero_channels

TASK = ["Bald", "Mouth_Slightly_Open"]


@pytest.fixture
def folder(golden, tmp_path):
    """The two images in CelebA's layout: image k is the only one with attribute k; two copies make a test part."""
    images = tmp_path / "celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    lines = ["4", " ".join(TASK)]
    for number, (source, labels) in enumerate([(0, "1 -1"), (1, "-1 1"), (0, "-1 -1"), (1, "-1 -1")], 1):
        shutil.copy(golden / f"image_{source}.png", images / f"{number:06d}.png")
        lines.append(f"{number:06d}.png {labels}")
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "celeba"


@pytest.fixture
def numbers(golden):
    return json.loads((golden / "golden.json").read_text())


def load_network(golden):
    weights = golden / "customresnet_state_dict.pth"
    return load_weights(build_model("customresnet", TASK), read_state_dict(weights), weights).eval()


def read_images(folder):
    data = open_dataset(folder, TASK, img_size=64, exact_resize=True, note=lambda line: None)
    return torch.from_numpy(data.images([0, 1]))


def assert_close(found, expected, tolerance=1e-5):
    found, expected = torch.as_tensor(found), torch.as_tensor(expected)
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def test_public_functions_reproduce_scores_votes_pruning_and_probabilities(golden, folder, numbers):
    model, images = load_network(golden), read_images(folder)
    flow = trace_dataflow(model)
    layers = list(flow.last_layers())
    assert layers == numbers["layers"]
    scored_for = torch.eye(2, dtype=torch.bool)
    scores = score_network(model, layers, [], [(images, scored_for)], of_probability=True)
    for layer in layers:
        for k in range(2):
            assert_close(scores.channels[layer][k], numbers["channel_weights"][layer][k])
    essential = essential_sets(scores.channels, TASK, numbers["proportion"], collapse_ties=True)
    tallies = {layer: votes(essential[layer], scores.channels[layer].shape[1], TASK[:1]) for layer in layers}
    assert tallies == numbers["votes"]
    prune = {layer: released_nodes_to_prune(tally, 2) for layer, tally in tallies.items()}
    assert prune == numbers["pruned"]
    with torch.no_grad():
        assert_close(model(images).sigmoid(), numbers["probabilities_before"])
        zero_channels(model, prune, flow.batch_norm)
        assert_close(model(images).sigmoid(), numbers["probabilities_after"])


def test_the_logits_gradient_is_the_probabilitys_divided_by_p_times_one_minus_p(golden, folder, numbers):
    model, images = load_network(golden), read_images(folder)
    layer = numbers["layers"][-1]
    p = torch.tensor(numbers["probabilities_before"][0][0])
    of_logit = channel_scores(model, [layer], images[:1], "Bald")[layer][0]
    assert_close(of_logit * p * (1 - p), numbers["channel_weights"][layer][0])


def test_the_command_line_reproduces_scores_votes_pruning_and_probabilities(
    golden, folder, numbers, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    common = ["--weights", golden / "customresnet_state_dict.pth", "--model", "customresnet", "--img_size", 64]
    common += ["--data_path", folder, "--target_class", 0, "--device", "cpu"]
    run_step(STEP_2, *common, "--proportion", 0.1, "--as_released", "--released_txt")
    name = "Bald_Mouth_Slightly_Open"
    graph = read_graph(tmp_path / "graphs" / name / "Bald.json")
    for layer, weights in numbers["channel_weights"].items():
        for k, attribute in enumerate(TASK):
            assert_close(graph.scores[layer][attribute], weights[k])
    assert {layer: graph.votes(layer) for layer in graph.layers} == numbers["votes"]
    assert graph.prune == numbers["pruned"]
    text = tmp_path / "important" / f"{name}_celeba_0_target_important_dict.txt"
    assert read_released_text(text) == numbers["votes"]
    assert read_released_text(text) == read_released_text(next(golden.glob("*important_dict.txt")))
    run_step(STEP_3, *common)
    unlearned = load_checkpoint(tmp_path / "checkpoints" / name / "pruned_Bald.pth")
    model = load_weights(build_model("customresnet", TASK), unlearned.state_dict, "unlearned").eval()
    with torch.no_grad():
        assert_close(model(read_images(folder)).sigmoid(), numbers["probabilities_after"])
