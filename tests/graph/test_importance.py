import random
import threading
import warnings

import pytest
import torch
from conftest import narrowed, stir_batch_norms
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models import build_model
from models.heads import AttributeHeads, get_heads
from utils.common.errors import InputError
from utils.graph.dataflow import trace_dataflow
from utils.graph.importance import channel_scores, connection_matrix, gradcam_maps, score_network


class OneConvolution(nn.Module):
    """1x1 convolution, mean over positions, heads."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.heads = AttributeHeads(4, ["a", "b"])
        self.attributes = self.heads.attributes

    def forward(self, x):
        return self.heads(self.conv(x).mean((2, 3)))


def batch(images, scored_for):
    """A batch whose images are all scored for the attributes marked in `scored_for`, such as [1, 0]."""
    return images, torch.tensor([scored_for] * len(images), dtype=torch.bool)


def test_channel_scores_match_the_closed_form():  # score = head weight / (H * W)
    model = OneConvolution()
    scores = channel_scores(model, ["conv"], torch.randn(3, 3, 5, 2), "b")["conv"]
    assert torch.allclose(scores, (model.heads.weight[1] / 10).expand(3, 4))


def test_a_confident_probability_has_no_gradient_where_the_logit_has():
    model = OneConvolution()
    with torch.no_grad():
        model.heads.bias.fill_(60.0)
    images = torch.randn(2, 3, 4, 4)
    of_logit = score_network(model, ["conv"], [], [batch(images, [1, 1])])
    of_probability = score_network(model, ["conv"], [], [batch(images, [1, 1])], of_probability=True)
    assert of_logit.channels["conv"].abs().min() > 0
    assert of_probability.channels["conv"].abs().max() < 1e-12


def test_gradient_times_activation_is_the_mean_of_the_product():
    model = OneConvolution()
    images = torch.randn(2, 3, 4, 4)
    scores = score_network(model, ["conv"], [], [batch(images, [1, 0])], measure="gradient_activation").channels["conv"]
    by_hand = (model.conv(images).mean((2, 3)) * model.heads.weight[0] / 16).mean(0)
    assert torch.allclose(scores[0], by_hand, atol=1e-6)
    assert torch.equal(scores[1], torch.zeros(4))


def test_streamed_scores_equal_the_mean_of_single_images():
    model = stir_batch_norms(build_model("resnet18", ["a", "b"]))
    images, layers = torch.randn(5, 3, 32, 32), ["layer3.1.conv2", "layer4.1.conv1"]
    streamed = score_network(model, layers, [], [batch(images[:3], [1, 1]), batch(images[3:], [0, 1])])
    for k, (name, seen) in enumerate({"a": images[:3], "b": images}.items()):
        single = channel_scores(model, layers, seen, name)
        for layer in layers:
            assert torch.allclose(streamed.channels[layer][k], single[layer].mean(0), rtol=1e-4, atol=1e-8)
    assert streamed.counts.tolist() == [3, 5]


def test_each_image_goes_forward_once_and_no_gradient_goes_below_the_first_scored_layer():
    model = stir_batch_norms(build_model("resnet18", ["a", "b"]))
    flow = trace_dataflow(model)
    layers = list(flow.last_layers())
    forwards, backwards, below = [], [], []
    model.conv1.register_forward_hook(lambda _m, inputs, _o: forwards.append(len(inputs[0])))
    model.layer4[1].register_full_backward_hook(lambda _m, _i, out: backwards.append(len(out[0])))
    for module in (model.layer1, model.layer2, model.layer3[0]):
        module.register_full_backward_hook(lambda _m, _i, _o: below.append(1))
    batches = [batch(torch.randn(3, 3, 32, 32), [1, 0]), batch(torch.randn(2, 3, 32, 32), [1, 1])]
    score_network(model, layers, flow.links_between(layers), batches)
    assert forwards == [3, 2]
    assert backwards == [3, 2, 2]  # one round for one attribute, two for two
    assert below == []


def test_scoring_leaves_no_trace_on_the_network():
    model = build_model("customresnet", ["a", "b"]).train()
    model.block1.conv1.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    score_network(model, ["block6_2.conv1"], [], [batch(torch.randn(2, 3, 32, 32), [1, 1])])
    assert model.training
    assert [p.requires_grad for p in model.block1.parameters()][0] is False
    assert model.block6.conv1.weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_another_attribute_costs_one_backward_pass_above_the_first_scored_layer():
    costs = []
    for heads in (["a"], ["a", "b"]):
        model = stir_batch_norms(build_model("resnet18", heads))
        layers = list(trace_dataflow(model).last_layers())
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            score_network(model, layers, [], [batch(torch.randn(2, 3, 64, 64), [1] * len(heads))])
        costs.append(counter.get_total_flops())
    block = 2 * 2 * 4 * 9 * 512**2  # 2 images, multiply and add; 4 positions of a 3x3 kernel; three such convolutions
    first = 2 * 2 * 4 * 9 * 256 * 512  # the 3x3 convolution of stride 2, from 4x4 to 2x2 positions
    shortcut = 2 * 2 * 4 * 256 * 512
    heads = 2 * 2 * 512 * (1 + 2 * 2 - 1)  # forward a column more; backward two in each of two rounds, not one
    adding = 2 * 2 * (256 + 4 * 512) * (2 * 2 - 1)  # weights of five layers to two attributes in two rounds, not one
    assert costs[1] - costs[0] == 3 * block + first + shortcut + heads + adding


def test_hooks_go_even_after_an_error():
    model = OneConvolution()
    with pytest.raises(RuntimeError):
        channel_scores(model, ["conv"], torch.randn(1, 5, 2, 2), "a")
    assert not model.conv._forward_hooks and model.conv.weight.requires_grad


def test_a_layer_that_is_no_convolution_and_an_unknown_measure_are_refused():
    model = OneConvolution()
    with pytest.raises(ValueError, match="'heads' is not a convolution"):
        channel_scores(model, ["heads"], torch.randn(1, 3, 2, 2), "a")
    with pytest.raises(ValueError, match="unknown measure 'gradcan'"):
        score_network(model, ["conv"], [], [], measure="gradcan")


@pytest.mark.parametrize("name", ["resnet18", "customresnet", "vgg16_bn", "mobilenet_v3_small", "densenet121"])
def test_edge_relevance_equals_the_finite_difference_of_scaling_the_connection(name):
    torch.manual_seed(0)
    chance = random.Random(0)
    model = stir_batch_norms(narrowed(build_model(name, ["a", "b"]))).double()
    flow, images = trace_dataflow(model), torch.randn(2, 3, 64, 64, dtype=torch.float64)
    layers = list(flow.last_layers())
    links = flow.links_between(layers)
    edges = score_network(model, layers, links, [batch(images, [1, 1])]).edges
    for link in links:  # resnet18's include both ends of a residual sum
        relevance = edges[link.producer, link.consumer][1]
        i, j = chance.choice(relevance.nonzero().tolist())
        weight = model.get_submodule(link.consumer).weight
        position = (link.offset + i) % weight.shape[1]
        kernel, step, logits = weight[j, position].detach().clone(), 1e-5, []
        with torch.no_grad():
            for scale in (1 + step, 1 - step):
                weight[j, position] = kernel * scale
                logits.append(model(images)[:, 1].mean().item())
            weight[j, position] = kernel
        derivative = (logits[0] - logits[1]) / (2 * step)
        assert relevance[i, j].item() == pytest.approx(derivative, rel=1e-3, abs=1e-10)


def test_connection_matrix_of_a_grouped_convolution_is_zero_between_groups():
    per_weight = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])  # two groups of two inputs and one output
    matrix = connection_matrix(per_weight, groups=2)[0]
    assert matrix.tolist() == [[1, 0], [2, 0], [0, 3], [0, 4]]


def test_heat_maps_lie_between_zero_and_one():
    model = stir_batch_norms(build_model("resnet18", ["a", "b"]))
    heat = gradcam_maps(model, ["layer4.1.conv1"], torch.randn(3, 3, 64, 64), "a")["layer4.1.conv1"]
    assert heat.shape == (3, 2, 2)
    assert heat.min() >= 0 and heat.max() <= 1


@pytest.mark.parametrize("damage", ["a weight", "the bias of a head", "an infinite weight", "behind the scored layers"])
def test_a_network_whose_outputs_are_not_finite_is_refused(damage):
    model = build_model("customresnet", ["a", "b"]).eval()
    with torch.no_grad():
        if damage == "a weight":
            model.block6_2.conv1.weight[0, 0, 0, 0] = torch.nan
        elif damage == "an infinite weight":
            model.block6_2.conv1.weight[0, 0, 0, 0] = torch.inf
        elif damage == "the bias of a head":
            get_heads(model).bias[1] = torch.nan
        else:
            model.block6_2.batchnorm3.bias[2] = torch.inf
    images, scored_for = torch.randn(2, 3, 32, 32), torch.ones(2, 2, dtype=torch.bool)
    layers = ["block6_2.conv1", "block6_2.conv2"]
    flow = trace_dataflow(model)
    with pytest.raises(InputError, match="outputs or scores are not finite"):
        score_network(model, layers, flow.links_between(layers), [(images, scored_for)], of_probability=True)
    assert not any(module._forward_hooks for module in model.modules())


def test_scoring_leaves_the_warnings_of_other_threads_alone():
    model, before, raised = OneConvolution(), list(warnings.filters), []

    def warn_elsewhere(*_):
        assert warnings.filters == before  # they are the whole process's
        thread = threading.Thread(target=lambda: raised.append(warnings.warn("of another thread", stacklevel=2)))
        thread.start()
        thread.join()

    model.conv.register_forward_hook(warn_elsewhere)
    with pytest.warns(UserWarning, match="of another thread"):
        before = list(warnings.filters)
        score_network(model, ["conv"], [], [batch(torch.randn(2, 3, 2, 2), [1, 1])])
    assert raised == [None]
