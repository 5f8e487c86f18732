"""Features of a network: what is taken where, and what is left behind."""

import numpy as np
import pytest
import torch
from plain_faces import NAMES, PlainFaces, plain_net

from models import build_model
from models.heads import AttributeHeads
from utils.common.errors import InputError
from utils.network.modes import evaluating
from utils.probes.features import LAST, default_stages, extract_features

STAGES = ("stem", "top")


def test_features_are_channel_means_in_the_order_of_the_rows():
    data = PlainFaces(20, 10)
    rows = np.array([7, 3, 12])
    features = extract_features(plain_net(), data, rows, stages=STAGES, batch_size=2)
    brightness = data.images[rows].mean((2, 3)).numpy()
    assert list(features.stages) == [*STAGES, LAST]
    for stage in features.stages:
        assert features.stages[stage] == pytest.approx(brightness, abs=1e-6)
        assert features.stages[stage].dtype == np.float32
    assert features.logits == pytest.approx(10 * brightness - 5, abs=1e-4)
    assert features.attributes == NAMES and list(features.rows) == [7, 3, 12]


def test_maps_are_bfloat16_means_over_at_most_eight_positions_a_side():
    network, data = build_model("resnet18", NAMES), PlainFaces(5, 3)
    data.images = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = extract_features(network, data, np.arange(5), maps=True, batch_size=2)
    shapes = {stage: tuple(values.shape) for stage, values in features.maps.items()}
    assert shapes == {
        "layer1": (5, 64, 8, 8),
        "layer2": (5, 128, 8, 8),
        "layer3": (5, 256, 4, 4),
        "layer4": (5, 512, 2, 2),
    }
    for stage, values in features.maps.items():
        assert values.dtype == torch.bfloat16 and values.device.type == "cpu"
        assert values.float().mean((2, 3)).numpy() == pytest.approx(features.stages[stage], abs=0.02)
    assert extract_features(network, data, np.arange(5)).maps == {}
    some = extract_features(network, data, np.arange(5), maps=["layer3"])
    assert list(some.maps) == ["layer3"] and list(some.stages) == list(features.stages)


def test_a_map_of_many_channels_keeps_fewer_positions_and_one_position_is_no_map():
    class Wide(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.pool = torch.nn.Conv2d(3, 2048, 1), torch.nn.AdaptiveAvgPool2d(1)
            self.heads = AttributeHeads(2048, NAMES)
            self.attributes = NAMES

        def forward(self, images):
            return self.heads(self.pool(self.wide(images)).flatten(1))

    features = extract_features(Wide(), PlainFaces(4, 2), np.arange(4), stages=("wide", "pool"), maps=True)
    assert {stage: tuple(values.shape) for stage, values in features.maps.items()} == {"wide": (4, 2048, 2, 2)}


def test_places_leave_out_the_last_features_where_a_stage_holds_them():
    features = extract_features(plain_net(), PlainFaces(20, 10), np.arange(20), stages=("stem", "top"))
    assert features.places == ["stem", "top"]
    features.stages[LAST] = features.stages[LAST] + 1
    assert features.places == ["stem", "top", LAST]


def test_a_pass_leaves_no_hook_no_gradient_and_every_flag_as_it_was():
    network, data = plain_net().train(), PlainFaces(20, 10)
    network.top.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    extract_features(network, data, np.arange(20), stages=STAGES)
    assert (network.training, network.stem.training, network.top.training) == (True, True, False)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_hooks_and_flags_are_restored_after_an_error():
    network = plain_net().train()

    class Broken(PlainFaces):
        def batches(self, rows, batch_size, device):
            yield torch.zeros(2, 5, 4, 4), None  # five channels

    with pytest.raises(RuntimeError):
        extract_features(network, Broken(20, 10), np.arange(2), stages=STAGES)
    assert network.training and not any(module._forward_hooks for module in network.modules())


def test_a_relu_in_place_behind_a_stage_changes_neither_means_nor_maps():
    network, data = plain_net(), PlainFaces(n=60, train=30, noise=1.0)  # some channels are below 0
    stages = {"stages": ("stem",), "maps": True}
    plain = extract_features(network, data, data.rows("test"), **stages)
    network.top = torch.nn.Sequential(torch.nn.ReLU(inplace=True), network.top)
    found = extract_features(network, data, data.rows("test"), **stages)
    assert np.array_equal(found.stages["stem"], plain.stages["stem"]) and found.stages["stem"].min() < 0
    assert torch.equal(found.maps["stem"], plain.maps["stem"])


def test_batch_norm_statistics_are_not_touched():
    network = build_model("resnet18", NAMES).train()
    data = PlainFaces(6, 3)
    data.images = torch.randn(6, 3, 32, 32)
    extract_features(network, data, np.arange(6))
    assert network.bn1.num_batches_tracked == 0


def test_batches_of_any_size_give_the_same_features():
    network, data = build_model("resnet18", NAMES), PlainFaces(7, 3)
    data.images = torch.randn(7, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    one, all_at_once = (extract_features(network, data, np.arange(7), batch_size=size) for size in (1, 7))
    for stage in one.stages:
        assert one.stages[stage] == pytest.approx(all_at_once.stages[stage], abs=1e-5)


def test_a_network_with_broken_weights_is_reported():
    network = plain_net()
    with torch.no_grad():
        network.top.weight[0] = float("nan")
    with pytest.raises(InputError, match=r"not finite \(top\): its weights are damaged"):
        extract_features(network, PlainFaces(20, 10), np.arange(5), stages=STAGES)


def test_an_unknown_stage_is_named():
    with pytest.raises(KeyError, match="no stage 'layer9'"):
        extract_features(plain_net(), PlainFaces(20, 10), np.arange(5), stages=("layer9",))


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18", ("layer1", "layer2", "layer3", "layer4")),
        ("customresnet", ("block3_2", "block4_2", "block5_2", "block6_2")),
        # features.43 is the last max-pool; features.42 and so on the last ReLU before a max-pool
        ("vgg16_bn", ("features.22", "features.32", "features.42", "features.43")),
        ("mobilenet_v3_small", ("features.1", "features.3", "features.8", "features.12")),
    ],
)
def test_default_stages_are_the_last_blocks_before_the_resolution_falls(name, stages):
    with torch.device("meta"):  # shapes only
        network = build_model(name, NAMES)
    assert default_stages(network, 64) == stages


def test_a_network_without_spatial_outputs_needs_its_stages_named():
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 2))
    with pytest.raises(InputError, match="no block of this network has a spatial output"):
        default_stages(flat, 4)


def test_default_stages_leave_flags_and_hooks_as_they_were():
    network = plain_net().train()
    assert default_stages(network, 4) == ("top",)
    assert network.training and not any(module._forward_hooks for module in network.modules())


def test_evaluating_restores_mixed_flags():
    network = plain_net().train()
    network.stem.eval()
    with evaluating(network):
        assert not any(module.training for module in network.modules())
    assert network.training and not network.stem.training


def test_blocks_in_a_list_of_modules_are_stages_too():
    class Listed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = torch.nn.ModuleList([torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 2, 2)])
            self.heads = AttributeHeads(3, NAMES)

        def forward(self, images):
            for block in self.blocks:
                images = block(images)
            return self.heads(images.mean((2, 3)))

    assert default_stages(Listed(), 4) == ("blocks.0", "blocks.1")


class Axes(torch.nn.Module):
    """Convolutions whose maps go on as `order` has their axes: (0, 2, 3, 1) as in Swin transformers."""

    def __init__(self, order):
        super().__init__()
        self.stem, self.top = (torch.nn.Conv2d(3, 5, 1), torch.nn.Conv2d(5, 6, 3, 2))
        self.turn, self.order, self.heads = torch.nn.Identity(), order, AttributeHeads(6, NAMES)

    def forward(self, images):
        maps = self.turn(self.stem(images).permute(self.order))
        back = [self.order.index(axis) for axis in range(4)]
        return self.heads(self.top(maps.permute(back)).mean((2, 3)))


def test_maps_with_the_channels_last_are_read_as_those_with_the_channels_first():
    torch.manual_seed(0)
    first, last = Axes((0, 1, 2, 3)), Axes((0, 2, 3, 1))
    last.load_state_dict(first.state_dict())
    assert default_stages(first, 4) == default_stages(last, 4) == ("turn",)
    one, other = (extract_features(net, PlainFaces(6, 3), np.arange(6), maps=True) for net in (first, last))
    assert other.stages["turn"].shape == (6, 5)
    assert other.stages["turn"] == pytest.approx(one.stages["turn"], abs=1e-6)
    assert torch.equal(one.maps["turn"], other.maps["turn"])


def test_of_a_transformer_four_blocks_are_probed_and_their_tokens_averaged():
    class Tokens(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = torch.nn.Conv2d(3, 4, 2, 2)
            self.encoder = torch.nn.ModuleDict(
                {"layers": torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in "12345678"))}
            )
            self.heads = AttributeHeads(4, NAMES)

        def forward(self, images):
            return self.heads(self.encoder["layers"](self.patches(images).flatten(2).mT)[:, 0])

    network = Tokens()
    assert default_stages(network, 4) == tuple(f"encoder.layers.{place}" for place in (1, 3, 5, 7))
    data = PlainFaces(6, 3)
    found = extract_features(network, data, np.arange(6)).stages["encoder.layers.7"]
    tokens = network.encoder["layers"](network.patches(data.images[:6]).flatten(2).mT)
    assert found == pytest.approx(tokens.mean(1).detach().numpy(), abs=1e-6)
