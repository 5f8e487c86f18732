"""Scoring in rounds: the values of plain gradients of one attribute at a time, with the fewest passes."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import stir_batch_norms
from torch import nn

from data.synthetic.faces.attributes import ATTRIBUTES, draw_labels
from models import build_model
from models.heads import AttributeHeads
from utils.graph.dataflow import Link, trace_dataflow
from utils.graph.importance import score_network
from utils.graph.scoring_images import choose_scoring_images
from utils.network.modes import exact_float32

SCORED_FOR = torch.tensor([[1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 1], [1, 1, 0]], dtype=torch.bool)
PADDINGS = [
    {"padding": 1, "groups": 2},
    {"padding": 1, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "circular", "groups": 2},
    {"padding": "same", "dilation": 2},
    {"stride": 2},
]


class Padded(nn.Module):
    """Three convolutions, the middle one as asked; an in-place ReLU right behind it, a residual sum."""

    def __init__(self, **options):
        super().__init__()
        self.below, self.first = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)
        self.middle, self.last = nn.Conv2d(6, 8, 3, **options), nn.Conv2d(8, 8, 3, padding=1)
        self.heads = AttributeHeads(8, ["a", "b", "c"])

    def forward(self, images):
        x = F.relu(self.middle(F.relu(self.first(F.relu(self.below(images))))), inplace=True)
        return self.heads((x + self.last(x)).mean((2, 3)))


def naive_scores(model, layers, images, k, measure="gradcam", of_probability=False):
    """{layer: (C,)}, {layer: (C_out, C_in / groups)} of attribute k's images by a plain backward pass of a copy."""
    model, maps = copy.deepcopy(model).eval(), {}

    def keep(layer):
        def hook(_module, _inputs, output):
            maps[layer] = output
            output.retain_grad()
            return output.clone()

        return hook

    for layer in layers:
        model.get_submodule(layer).register_forward_hook(keep(layer))
    outputs = model(images)
    (outputs.sigmoid() if of_probability else outputs)[:, k].sum().backward()
    channels, edges = {}, {}
    for layer in layers:
        product = maps[layer].grad * (maps[layer] if measure == "gradient_activation" else 1)
        weight = model.get_submodule(layer).weight
        channels[layer] = product.mean((2, 3)).mean(0).detach()
        edges[layer] = (weight * weight.grad).sum((2, 3)).detach() / len(images)
    return channels, edges


def assert_close(found, expected):
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def assert_as_naive(model, layers, links, images, scored_for, **options):
    """Scores in batches of 4 are those of one attribute at a time, edges included."""
    batches = zip(images.split(4), scored_for.split(4), strict=True)
    scores = score_network(model, layers, links, batches, **options)
    for k, own in enumerate(scored_for.T):
        channels, weights = naive_scores(model, layers, images[own], k, **options)
        for layer in layers:
            assert_close(scores.channels[layer][k], channels[layer])
        for link in links:
            consumer = model.get_submodule(link.consumer)
            width = consumer.in_channels // consumer.groups
            matrix = torch.zeros(consumer.out_channels, consumer.in_channels)
            for j in range(consumer.out_channels):
                start = j // (consumer.out_channels // consumer.groups) * width
                matrix[j, start : start + width] = weights[link.consumer][j]
            assert_close(scores.edges[link.producer, link.consumer][k], matrix.T)
    assert scores.counts.tolist() == scored_for.sum(0).tolist()


@pytest.mark.parametrize("options", [{}, {"measure": "gradient_activation"}, {"of_probability": True}], ids=str)
@pytest.mark.parametrize("convolution", PADDINGS, ids=str)
def test_scores_are_those_of_one_attribute_at_a_time(convolution, options):
    torch.manual_seed(0)
    model = Padded(**convolution)
    model.middle.weight.requires_grad_(False)
    layers, links = ["first", "middle", "last"], [Link("first", "middle"), Link("middle", "last")]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    images = torch.randn(6, 3, 13, 12)
    score_network(model, layers, links, [(images, SCORED_FOR)], **options)
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    model.middle.weight.requires_grad_(True)  # the naive way needs it
    assert_as_naive(model, layers, links, images, SCORED_FOR, **options)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_scores_of_a_whole_network_are_those_of_one_attribute_at_a_time(name):
    torch.manual_seed(0)
    model = stir_batch_norms(build_model(name, ["a", "b", "c"]))
    flow = trace_dataflow(model)
    layers = list(flow.last_layers())
    images = torch.randn(6, 3, 64, 64)
    channels = score_network(model, layers, [], [(images, SCORED_FOR)]).channels
    for k, own in enumerate(SCORED_FOR.T):
        for layer, expected in naive_scores(model, layers, images[own], k)[0].items():
            assert_close(channels[layer][k], expected)


def test_a_batch_without_scoring_images_changes_nothing():
    torch.manual_seed(0)
    model, links = Padded(), [Link("first", "middle")]
    images = torch.randn(6, 3, 13, 12)
    batches = [(images, SCORED_FOR), (images, torch.zeros_like(SCORED_FOR))]
    first, second = (score_network(model, ["first"], links, batches[:count]) for count in (1, 2))
    assert torch.equal(first.channels["first"], second.channels["first"])
    assert torch.equal(first.edges["first", "middle"], second.edges["first", "middle"])


class DrawnTable:
    """The training part of 6,000 drawn faces: true labels, images of noise."""

    def __init__(self, attributes):
        self.attributes = attributes
        self.labels = draw_labels(6000, rates={"Bald": 0.1})[:4500, [ATTRIBUTES.index(name) for name in attributes]]

    def prepare(self, rows):
        return rows

    def positives(self, attribute, part):
        return np.flatnonzero(self.labels[:, self.attributes.index(attribute)])

    def batches(self, rows, batch_size, device):
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            yield torch.from_numpy(part).float()[:, None, None, None].expand(-1, 3, 4, 4) / 4500, None


class OneConvolution(nn.Module):
    """1x1 convolution, mean over positions, heads."""

    def __init__(self, attributes):
        super().__init__()
        self.conv, self.heads = nn.Conv2d(3, 4, 1), AttributeHeads(4, attributes)

    def forward(self, images):
        return self.heads(self.conv(images).mean((2, 3)))


@pytest.mark.parametrize("count, forwards, backwards", [(2, 2, 3), (10, 6, 13), (40, 13, 50)])
def test_the_batches_of_step_2_cost_one_pass_forward_and_one_back_for_each_attribute_of_an_image(
    count, forwards, backwards
):
    names = ["Bald", "Mouth_Slightly_Open"]
    names += [name for name in ATTRIBUTES if name not in names][: count - 2]
    data, model = DrawnTable(names), OneConvolution(names)
    images = choose_scoring_images(data, 64)
    passes = {"forward": 0, "backward": 0}

    def count_pass(way):
        def hook(*_):
            passes[way] += 1

        return hook

    model.heads.register_forward_hook(count_pass("forward"))
    model.heads.register_full_backward_hook(count_pass("backward"))
    scores = score_network(model, ["conv"], [], images.batches(64, "cpu"))
    assert scores.counts.tolist() == [64] * count
    most = [int(own.sum(1).max()) for _, own in images.batches(64, "cpu")]
    assert passes == {"forward": -(-len(images.rows) // 64), "backward": sum(most)}
    assert passes == {"forward": forwards, "backward": backwards}


def test_batches_are_full_and_begin_with_the_images_of_most_attributes():
    data = DrawnTable(["Bald", "Smiling", "Young"])
    chosen = choose_scoring_images(data, 20)
    rows, batches = chosen.rows, list(chosen.batches(8, "cpu"))
    assert [len(images) for images, _ in batches[:-1]] == [8] * (len(rows) // 8)
    seen = torch.cat([(4500 * images[:, 0, 0, 0]).round().long() for images, _ in batches]).numpy()
    own = torch.cat([part for _, part in batches])
    assert sorted(seen.tolist()) == rows.tolist()
    assert torch.equal(own, torch.from_numpy(chosen.scored_for[np.searchsorted(rows, seen)]))
    assert own.sum(1).diff().max() <= 0


def test_float32_is_exact_while_scoring_and_as_it_was_afterwards():
    def settings():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    torch.set_float32_matmul_precision("high")
    before, inside = settings(), []
    try:
        with pytest.raises(KeyError), exact_float32():
            inside.append(settings())
            raise KeyError
        assert settings() == before == (True, True)
        model = OneConvolution(["a"])
        model.conv.register_forward_hook(lambda *_: inside.append(settings()))
        score_network(model, ["conv"], [], [(torch.randn(1, 3, 2, 2), torch.ones(1, 1, dtype=torch.bool))])
        assert inside == [(False, False)] * 2 and settings() == before
    finally:
        torch.set_float32_matmul_precision("highest")
