"""Shrinking takes out what is 0 wherever it is made, and nothing else; the logits stay."""

import copy
import json

import pytest
import torch
from conftest import run_step, stir_batch_norms
from torch import nn

from models import build_model
from models.heads import AttributeHeads
from tools import shrink as shrink_tool
from tools.formats import compare_logits
from tools.shrink import remove_zero_channels
from utils.common.errors import InputError
from utils.graph.dataflow import trace_dataflow
from utils.network.checkpoint import Checkpoint, save_checkpoint
from utils.pruning.channels import zero_channels

torch_pruning = pytest.importorskip("torch_pruning", reason="not installed: torch-pruning (requirements-extras.txt)")
HEADS = ["Bald", "Smiling"]


def network(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return stir_batch_norms(build_model(name, HEADS))


def pruned(name, channels):
    model = network(name)
    zero_channels(model, channels, trace_dataflow(model).batch_norm)
    return model


def shrink(model):
    small, removed = remove_zero_channels(model, torch.zeros(1, 3, 32, 32), torch_pruning.DependencyGraph())
    assert compare_logits(model, small, 32, "small") < 1e-5
    return small, removed


def count(model):
    return sum(value.numel() for value in model.parameters())


class Chain(nn.Module):
    """Two filters in a row with batch norms, then heads on 2 x 2 positions of what is left of the maps."""

    def __init__(self):
        super().__init__()
        self.a, self.na, self.b, self.nb = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)
        self.pool, self.heads = nn.AdaptiveAvgPool2d(2), AttributeHeads(20, HEADS)

    def forward(self, x):
        x = torch.relu(self.nb(self.b(torch.relu(self.na(self.a(x))))))
        return self.heads(torch.flatten(self.pool(x), 1))


def chain(**channels):
    model = stir_batch_norms(Chain())
    zero_channels(model, channels, {"a": "na", "b": "nb"})
    return model


def test_a_zero_channel_is_cut_from_its_filter_its_batch_norm_and_its_reader():
    model = chain(a=[1, 3])
    small, removed = shrink(model)
    assert removed == 2 and small.na.num_features == 2
    assert torch.equal(small.a.weight, model.a.weight[[0, 2]]) and torch.equal(small.na.bias, model.na.bias[[0, 2]])
    assert torch.equal(small.b.weight, model.b.weight[:, [0, 2]]) and torch.equal(small.nb.bias, model.nb.bias)


def test_every_position_of_a_channel_is_cut_from_the_heads_and_no_head_goes():
    model = chain(b=[1])
    with torch.no_grad():
        model.heads.weight[0], model.heads.bias[0] = 0, 0
    small, removed = shrink(model)
    assert removed == 1
    assert torch.equal(small.heads.weight, model.heads.weight[:, [*range(4), *range(8, 20)]])


@pytest.mark.parametrize("part", ["a.weight", "a.bias", "na.weight", "na.bias"])
def test_a_channel_stays_if_one_of_its_values_is_not_zero(part):
    model = chain(a=[1])
    with torch.no_grad():
        model.get_parameter(part)[1] = 0.5
    assert shrink(model)[1] == 0


def test_one_channel_stays_where_all_are_zero():
    small, removed = shrink(chain(a=[0, 1, 2, 3]))
    assert removed == 3 and small.a.out_channels == 1


def test_a_channel_of_a_residual_sum_goes_only_if_every_summand_is_zero():
    assert shrink(pruned("resnet18", {"layer4.0.conv2": [5], "layer4.1.conv2": [5]}))[1] == 0
    whole = {"layer4.0.conv2": [5, 6], "layer4.0.downsample.0": [5, 7], "layer4.1.conv2": [5]}
    small, removed = shrink(pruned("resnet18", whole))
    assert removed == 1 and small.fc.in_features == small.layer4[1].conv1.in_channels == 511


@pytest.mark.parametrize("name", ["resnet18", "customresnet", "mobilenet_v3_small"])
def test_a_third_of_all_channels_goes_where_it_can_and_the_network_given_stays_as_it_is(name):
    model = network(name)
    flow = trace_dataflow(model)
    third = {layer: list(range(0, model.get_submodule(layer).out_channels, 3)) for layer in flow.convolutions}
    zero_channels(model, third, flow.batch_norm)
    before = copy.deepcopy(model.state_dict())
    small, removed = shrink(model)
    assert removed and count(small) < 0.85 * count(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class Grouped(nn.Module):
    """A filter that a layer norm over channels reads, or filters in groups of two, both zero in channel 0."""

    def __init__(self, reader):
        super().__init__()
        self.first, self.reader, self.last = nn.Conv2d(3, 4, 1), reader, nn.Conv2d(4, 4, 1)
        self.heads = AttributeHeads(4, HEADS)
        with torch.no_grad():
            for value in (*self.first.parameters(), *reader.parameters()):
                value[0] = 0

    def forward(self, x):
        return self.heads(self.last(self.reader(self.first(x))).mean((2, 3)))


@pytest.mark.parametrize("reader", [nn.GroupNorm(1, 4), nn.Conv2d(4, 4, 1, groups=2), nn.BatchNorm2d(4, affine=False)])
def test_a_zero_channel_that_counts_for_the_others_stays(reader):
    assert shrink(Grouped(reader).eval())[1] == 0


def test_depthwise_filters_go_with_the_channels_that_they_read():
    small, removed = shrink(Grouped(nn.Conv2d(4, 4, 3, groups=4)).eval())
    assert removed == 1 and small.reader.groups == 3


def test_a_network_that_cannot_be_followed_says_so():
    class NoGraph:
        def build_dependency(self, *_, **__):
            raise ZeroDivisionError("by zero")

    class NoMemory:
        def build_dependency(self, *_, **__):
            raise MemoryError

    with pytest.raises(MemoryError):
        remove_zero_channels(nn.Module(), None, NoMemory())
    with pytest.raises(InputError, match="Torch-Pruning can't follow this network: ZeroDivisionError: by zero"):
        remove_zero_channels(network("resnet18"), torch.zeros(1, 3, 32, 32), NoGraph())


def test_the_script_writes_a_program_with_the_same_logits_and_prints_both_sizes(tmp_path, monkeypatch, capsys):
    model = pruned("resnet18", {"layer4.0.conv1": list(range(100)), "layer4.1.conv1": [0, 1]})
    about = {"model": "resnet18", "attributes": HEADS, "img_size": 32, "kind": "unlearned_Bald"}
    save_checkpoint(tmp_path / "unlearned_Bald.pth", Checkpoint(model.state_dict(), **about))
    monkeypatch.chdir(tmp_path)
    run_step("tools.shrink", "--checkpoint", "unlearned_Bald.pth", "--out", "small.pt2")
    after = count(model) - 102 * (1 + 1) - 100 * 9 * (256 + 512) - 2 * 9 * (512 + 512)  # norms, filters, readers
    shown = capsys.readouterr().out
    assert f"parameters {count(model):,} -> {after:,}" in shown and "102 channels" in shown
    facts = {"network.json": ""}
    program = torch.export.load("small.pt2", extra_files=facts).module()
    assert json.loads(facts["network.json"])["kind"] == "shrunk_unlearned_Bald"
    assert sum(value.numel() for value in program.parameters()) == after
    assert compare_logits(model, program, 32, "small.pt2") < 1e-5


def test_the_script_refuses_a_network_that_has_nothing_to_take_out(tmp_path):
    about = {"model": "customresnet", "attributes": HEADS, "img_size": 32}
    save_checkpoint(tmp_path / "original.pth", Checkpoint(network("customresnet").state_dict(), **about))
    with pytest.raises(InputError, match="original.pth: no channel can go"):
        run_step("tools.shrink", "--checkpoint", tmp_path / "original.pth", "--out", tmp_path / "small.pt2")
    assert not (tmp_path / "small.pt2").exists()


def test_a_smaller_network_with_other_logits_is_not_written(tmp_path, monkeypatch):
    about = {"model": "customresnet", "attributes": HEADS, "img_size": 32}
    save_checkpoint(tmp_path / "original.pth", Checkpoint(network("customresnet").state_dict(), **about))
    moved = network("customresnet")
    moved.linear2.bias.data += 0.25
    monkeypatch.setattr(shrink_tool, "remove_zero_channels", lambda *_: (moved, 1))
    with pytest.raises(InputError, match=r"small.pt2: the logits .* differ by 2.5e-01: nothing is written"):
        run_step("tools.shrink", "--checkpoint", tmp_path / "original.pth", "--out", tmp_path / "small.pt2")
    assert not (tmp_path / "small.pt2").exists()
