import pytest
import torch
from conftest import run_command, stir_batch_norms
from torch import nn

from models import build_model
from models.slim import keep_channels, set_widths, widths_of
from utils.checkpoint import Checkpoint, load_checkpoint, restore, save_checkpoint
from utils.dataflow import trace_dataflow
from utils.dead_channels import channels_to_keep
from utils.errors import InputError
from utils.network import open_network
from utils.network_cost import compare_costs, count_multiply_adds, count_parameters
from utils.pruning import zero_channels
from utils.shrinking import changed_widths, check_equal, largest_difference, shrink


def network(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return stir_batch_norms(build_model(name, ["Bald", "Smiling"]))


def pruned(name, channels):
    model = network(name)
    zero_channels(model, channels, trace_dataflow(model).batch_norm)
    return model


def random_images(count=3):
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


class Chain(nn.Module):
    """Two filters in a row with batch norms, then a linear layer on what is left of the maps."""

    def __init__(self, positions=1):
        super().__init__()
        self.a, self.na, self.b, self.nb = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)
        self.pool, self.last = nn.AdaptiveAvgPool2d(positions), nn.Linear(5 * positions**2, 2)

    def forward(self, x):
        x = torch.relu(self.nb(self.b(torch.relu(self.na(self.a(x))))))
        return self.last(torch.flatten(self.pool(x), 1))


def kept(model, layer):
    return [side.tolist() for side in channels_to_keep(model)[layer]]


def test_a_zero_channel_is_cut_from_its_filter_its_batch_norm_and_its_reader():
    model = stir_batch_norms(Chain())
    zero_channels(model, {"a": [1, 3]}, {"a": "na"})
    assert kept(model, "a") == [[0, 1, 2], [0, 2]] and kept(model, "na") == [[0, 2], [0, 2]]
    assert kept(model, "b") == [[0, 2], [0, 1, 2, 3, 4]]
    small, report = shrink(model)
    assert report == {"a": {"channels": 4, "zero": 2, "removed": 2, "stay": 0}}
    assert torch.equal(small.b.weight, model.b.weight[:, [0, 2]]) and small.na.num_features == 2


def test_a_zero_filter_whose_batch_norm_shifts_is_a_constant_and_stays():
    model = stir_batch_norms(Chain())
    model.a.weight.data[1], model.a.bias.data[1], model.na.weight.data[1], model.na.bias.data[1] = 0, 0, 0, 0.5
    assert kept(model, "a")[1] == [0, 1, 2, 3]
    model.na.bias.data[1] = -0.5  # and the ReLU makes this one 0
    assert kept(model, "a")[1] == [0, 2, 3]


def test_a_filter_that_reads_only_zeros_goes_with_them():
    model = stir_batch_norms(Chain())
    zero_channels(model, {"a": [0]}, {"a": "na"})
    model.b.weight.data[2, 1:] = 0  # what is left reads channel 0
    model.b.bias.data[2], model.nb.bias.data[2] = 0, 0
    model.nb.running_mean[2] = 0
    assert kept(model, "b") == [[1, 2, 3], [0, 1, 3, 4]]


def test_every_position_of_a_channel_is_cut_from_a_linear_layer():
    model = stir_batch_norms(Chain(positions=2))
    zero_channels(model, {"b": [1]}, {"b": "nb"})
    assert kept(model, "last")[0] == [0, 1, 2, 3, *range(8, 20)]
    assert largest_difference(model, shrink(model)[0], [random_images()])[0] < 1e-6


def test_one_channel_stays_where_all_are_zero():
    model = stir_batch_norms(Chain())
    zero_channels(model, {"a": [0, 1, 2, 3]}, {"a": "na"})
    assert kept(model, "a")[1] == [0]
    assert largest_difference(model, shrink(model)[0], [random_images()])[0] < 1e-6


def test_a_channel_of_a_residual_sum_goes_only_if_every_summand_is_zero():
    half = pruned("resnet18", {"layer4.0.conv2": [5]})
    assert shrink(half)[1] == {"layer4.0.conv2": {"channels": 512, "zero": 1, "removed": 0, "stay": 1}}
    whole = {"layer4.0.conv2": [5, 6], "layer4.0.downsample.0": [5, 7], "layer4.1.conv2": [5]}
    small, report = shrink(pruned("resnet18", whole))
    assert {name: row["removed"] for name, row in report.items()} == dict.fromkeys(whole, 1)
    assert small.fc.in_features == small.layer4[1].conv1.in_channels == 511


class Squeezing(nn.Module):
    """A depthwise filter, and a gate from the channel means as squeeze-excitations have it."""

    def __init__(self):
        super().__init__()
        self.wide, self.deep, self.norm = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6)
        self.gate, self.last = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 2, 1)

    def forward(self, x):
        x = torch.relu(self.norm(self.deep(self.wide(x))))
        return self.last(x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))).mean((2, 3))


def test_what_the_walk_does_not_know_keeps_its_channels():
    model = stir_batch_norms(Squeezing())
    zero_channels(model, {"deep": [2]}, {"deep": "norm"})
    assert all(len(outputs) in (2, 6) for _, outputs in channels_to_keep(model).values())  # a mean is not followed


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "customresnet", "mobilenet_v3_small"])
def test_a_third_of_all_channels_goes_where_it_can_and_the_outputs_stay(name):
    model = network(name)
    flow = trace_dataflow(model)
    third = {layer: list(range(0, model.get_submodule(layer).out_channels, 3)) for layer in flow.convolutions}
    zero_channels(model, third, flow.batch_norm)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    small, report = shrink(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert largest_difference(model, small, [random_images()])[0] < 1e-5
    assert count_parameters(small) < 0.7 * count_parameters(model)
    assert all(row["removed"] + row["stay"] >= row["zero"] for row in report.values())
    again = set_widths(build_model(name, ["Bald", "Smiling"]), changed_widths(model, small)).eval()
    again.load_state_dict(small.state_dict())
    assert torch.equal(again(random_images()), small(random_images()))


def test_a_network_without_zero_channels_stays_as_it_is():
    model = network("resnet18")
    small, report = shrink(model)
    assert report == {} and changed_widths(model, small) == {}
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in small.state_dict().items())


def test_outputs_that_move_are_refused():
    model = network("resnet18")
    difference, largest = largest_difference(model, network("resnet18"), [random_images()])
    assert difference == 0 < largest
    moved = network("resnet18")
    moved.fc.bias.data += 0.25
    assert largest_difference(model, moved, [random_images()])[0] == pytest.approx(0.25, abs=1e-6)
    for wrong in (0.25, float("nan")):
        with pytest.raises(InputError, match="answers differently on real images"):
            check_equal(wrong, 2.0, "real images")
    check_equal(1.5e-5, 2.0, "real images")


def test_training_mode_is_refused_because_a_batch_norm_then_has_no_constants():
    with pytest.raises(ValueError, match="eval mode"):
        channels_to_keep(network("resnet18").train())


@pytest.mark.parametrize("widths", [{"layer4.0.conv1": [256, 513]}, {"layer9": [1, 1]}, {"fc": [0, 2]}, {"fc": 3}])
def test_widths_that_do_not_fit_are_refused(widths):
    with pytest.raises(InputError, match="the widths don't fit this network: "):
        set_widths(build_model("resnet18", ["a", "b"]), widths)


def test_a_depthwise_convolution_keeps_one_group_a_channel_and_other_groups_are_refused():
    deep = nn.Conv2d(4, 4, 3, groups=4)
    weight = deep.weight.detach().clone()
    keep_channels(deep, torch.tensor([1, 3]), torch.tensor([1, 3]))
    assert deep.groups == 2 and torch.equal(deep.weight, weight[[1, 3]])
    with pytest.raises(ValueError, match="groups hold several channels"):
        keep_channels(nn.Conv2d(4, 4, 1, groups=2), torch.tensor([0]), torch.tensor([0]))


def test_multiply_adds_and_parameters_are_those_counted_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(4 * 64, 2))
    assert count_multiply_adds(model, 8) == 64 * 4 * 27 + 2 * 256
    assert count_parameters(model) == 4 * 27 + 2 * 256 + 2
    assert not model[0]._forward_hooks
    costs = compare_costs({"before": model, "after": model}, torch.randn(2, 3, 8, 8), 3)
    assert costs["speed_ratio"] > 0 and set(costs["seconds"]) == {"before", "after"}


def test_the_script_writes_a_checkpoint_that_opens_like_any_other(tmp_path):
    model = pruned("resnet18", {"layer4.0.conv1": list(range(100)), "layer4.1.conv1": [0, 1]})
    about = {"model": "resnet18", "attributes": ("Bald", "Smiling"), "img_size": 64, "kind": "unlearned_Bald"}
    save_checkpoint(tmp_path / "unlearned_Bald.pth", Checkpoint(model.state_dict(), **about, arguments={"lr": 0.1}))
    words = ["--checkpoint", "unlearned_Bald.pth", "--out", "small.pth", "--images", 4, "--repeats", 1]
    answer = run_command("shrink_network", *words, "--device", "cpu", "--results", "lines.jsonl", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "11,177,538" in answer.stdout and (tmp_path / "lines.jsonl").read_text().count("\n") == 1
    checkpoint = load_checkpoint(tmp_path / "small.pth")
    assert checkpoint.kind == "shrunk_unlearned_Bald" and checkpoint.arguments["lr"] == 0.1
    assert checkpoint.arguments["widths"]["layer4.0.conv1"] == [256, 412]
    small = restore(checkpoint)
    assert widths_of(small)["layer4.0.conv2"] == [412, 512]
    by_weights = open_network(None, ["Bald", "Smiling"], weights=tmp_path / "small.pth", img_size=64).model
    with torch.inference_mode():
        assert torch.allclose(small(random_images()), model(random_images()), atol=1e-5)
        assert torch.equal(by_weights(random_images()), small(random_images()))
