import pytest
import torch
from torch import nn

from models import build_model
from utils.common.errors import InputError
from utils.erasure.sites import find_sites
from utils.graph.dataflow import Link, is_idle, trace, trace_dataflow
from utils.pruning.channels import zero_channels


def test_resnet18_layers_batch_norms_and_links_are_those_of_the_paper():
    flow = trace_dataflow(build_model("resnet18", ["a", "b"]))
    names = ["layer3.1.conv2", "layer4.0.conv1", "layer4.0.conv2", "layer4.0.downsample.0", "layer4.1.conv1"]
    assert list(flow.last_layers()) == names
    assert [flow.batch_norm[name] for name in names] == [
        *("layer3.1.bn2", "layer4.0.bn1", "layer4.0.bn2", "layer4.0.downsample.1", "layer4.1.bn1"),
    ]
    assert set(flow.links_between(names)) == {
        Link("layer3.1.conv2", "layer4.0.conv1"),
        Link("layer3.1.conv2", "layer4.0.downsample.0"),
        Link("layer4.0.conv1", "layer4.0.conv2"),
        Link("layer4.0.conv2", "layer4.1.conv1"),  # both ends of the residual sum feed the next block
        Link("layer4.0.downsample.0", "layer4.1.conv1"),
    }


def test_customresnet_scores_the_layers_of_the_released_code():
    flow = trace_dataflow(build_model("customresnet", ["a", "b"]))
    assert list(flow.last_layers()) == [f"block6.conv{i}" for i in (2, 3)] + [f"block6_2.conv{i}" for i in (1, 2, 3)]
    assert flow.batch_norm["block6_2.projection"] is None
    assert len(flow.convolutions) == 37


def test_squeeze_excitation_convolutions_are_no_layers_and_carry_no_channels():
    flow = trace_dataflow(build_model("mobilenet_v3_small", ["a", "b"]))
    assert not [name for name in flow.convolutions if ".fc" in name]
    assert flow.last_layers(1) == ("features.11.block.3.0",)
    assert Link("features.11.block.1.0", "features.11.block.3.0") in flow.links  # through the gate's product


class Concatenating(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1), nn.Conv2d(10, 2, 1)
        self.last = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return self.last(self.c(torch.cat([self.a(x), torch.relu(self.b(x))], 1)))


def test_concatenation_shifts_channels_by_what_stands_before():
    flow = trace_dataflow(Concatenating())
    assert set(flow.links) == {Link("a", "c", 0), Link("b", "c", 4), Link("c", "last", 0)}


def test_a_permutation_of_axes_ends_the_path():
    class Permuting(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.b(self.a(x).permute(0, 2, 3, 1))

    assert trace_dataflow(Permuting()).links == ()


def test_a_network_that_cannot_be_traced_says_so():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(InputError, match="torch.fx cannot trace this Branching"):
        trace_dataflow(Branching())


@pytest.mark.parametrize("alpha", [1, 0.5])
def test_a_constant_that_is_added_bars_a_convolution_however_it_is_scaled(alpha):
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.shift = nn.Conv2d(3, 4, 1), nn.Parameter(torch.ones(4, 1, 1))

        def forward(self, images):
            return torch.add(self.conv(images), self.shift, alpha=alpha).relu()

    assert trace_dataflow(Shifted()).barred == {"conv": "is followed by a shift of its own"}


@pytest.mark.parametrize("between", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Identity(), lambda x: x.contiguous()])
def test_a_norm_behind_a_pooling_belongs_to_the_convolution_in_front_of_it(between):
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
            self.between = between if isinstance(between, nn.Module) else None

        def forward(self, images):
            return self.norm((self.between or between)(self.conv(images))).relu()

    model = Pooled().eval()
    nn.init.normal_(model.norm.bias)
    flow = trace_dataflow(model)
    assert flow.batch_norm == {"conv": "norm"} and not flow.barred
    zero_channels(model, {"conv": [1, 3]}, flow.batch_norm)
    assert not model(torch.rand(2, 3, 4, 4))[:, [1, 3]].any()


def test_more_layers_than_there_are_is_an_error():
    with pytest.raises(InputError, match="cannot score 37 layers: this network has 36"):
        trace_dataflow(build_model("customresnet", ["a"])).last_layers(37)


def test_tracing_changes_nothing():
    model = build_model("resnet18", ["a", "b"]).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace_dataflow(model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_trace_is_of_the_eval_mode_and_leaves_the_mode_alone():
    model = build_model("efficientnet_b0", ("a", "b")).train()
    found = trace(model)
    drops = [node for node in found.graph.nodes if getattr(node.target, "__name__", "") == "stochastic_depth"]
    assert drops and not any(node.args[3] for node in drops) and model.training
    assert all(is_idle(node, found.modules) and found.carried[node] for node in drops)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("alexnet", "cannot score 5 layers: this network has 4 convolutions before its last one; use --layers 4"),
        ("vit_b_16", "convolutions: 1, and the very last is never scored; .*: step 1 and tools.audit take it"),
        (
            "swin_t",
            "nothing in this network can be pruned .*transformers have one.*; to prune or erase, use a convolutional",
        ),
    ],
)
def test_too_few_layers_say_what_to_do(name, said):
    with torch.device("meta"):
        model = build_model(name, ["a", "b"])
    flow = trace_dataflow(model)
    with pytest.raises(InputError, match=said):
        flow.choose_layers()
    if name == "alexnet":
        assert len(flow.choose_layers(["4"])) == 4
    else:
        with pytest.raises(InputError, match="no convolution that can be edited .*: step 1 and tools.audit take it"):
            find_sites(model)


def test_running_out_of_memory_is_not_taken_for_a_network_that_cannot_be_traced():
    class Greedy(nn.Module):
        def forward(self, x):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        trace_dataflow(Greedy())
