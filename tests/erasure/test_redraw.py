"""Low layers drawn anew: which they are, what is mixed into them, and that they learn to give what they gave."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_faces import NAMES, PlainFaces, plain_net
from torch import nn
from wide_net import fit_all_heads

from models import build_model
from models.heads import AttributeHeads
from utils.common.errors import InputError
from utils.erasure import erasure
from utils.erasure.erasure import ErasureSettings, erase
from utils.erasure.redraw import _logit_error as logit_error
from utils.erasure.redraw import find_low_layers, mix_with_random, observe, redraw_low_layers
from utils.erasure.samples import choose_images


class StagedNet(nn.Module):
    """Three blocks of 3 x 3 convolution, a norm of so many channels and ReLU at 8, 4 and 2 pixels, heads."""

    def __init__(self, norm=nn.BatchNorm2d):
        super().__init__()
        blocks = [(3, 8, 1), (8, 16, 2), (16, 24, 2)]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), norm(b), nn.ReLU()) for a, b, stride in blocks
        )
        self.heads = AttributeHeads(24, NAMES)
        self.attributes = self.heads.attributes

    def forward(self, images):
        for block in self.blocks:
            images = block(images)
        return self.heads(images.mean((2, 3)))


@pytest.fixture(scope="module")
def faces():
    data = PlainFaces(n=500, train=400)
    data.images, data.img_size = data.images.repeat(1, 1, 2, 2), 8
    return data


@pytest.fixture(scope="module")
def trained(faces):
    """A staged network that knows the attributes."""
    torch.manual_seed(0)
    return fit_all_heads(StagedNet(), faces, 15)


def sample_of(faces):
    rows = faces.rows("train")
    return choose_images(rows, faces.labels[rows][:, :1], 256, 64, seed=0)


def redrawn(model, faces, passes=12_800, seed=0):
    trained_before, model = model, copy.deepcopy(model)
    options = {"passes": passes, "device": "cpu", "seed": seed, "progress": False}
    return model, redraw_low_layers(model, trained_before, faces, sample_of(faces), [1, 2], **options)


class TwiceNet(StagedNet):
    """Its second convolution is used at 8 pixels, and once more at 4."""

    def __init__(self):
        super().__init__()
        self.stem, self.twice, self.deep = (
            nn.Conv2d(3, 16, 3, 1, 1),
            nn.Conv2d(16, 16, 3, 1, 1),
            nn.Conv2d(16, 24, 3, 1, 1),
        )

    def forward(self, images):
        maps = nn.functional.max_pool2d(self.twice(self.stem(images).relu()).relu(), 2)
        return self.heads(self.deep(self.twice(maps).relu()).relu().mean((2, 3)))


def test_what_is_used_above_the_low_layers_too_stays():
    model = TwiceNet()
    low, ends = find_low_layers(model, (3, 8, 8))
    assert list(low) == ["stem"] and len(ends) == 2
    model.stem = nn.ZeroPad2d((0, 0, 0, 0))
    model.twice = nn.Conv2d(3, 3, 3, 1, 1)
    model.deep = nn.Conv2d(3, 24, 3, 1, 1)
    with pytest.raises(InputError, match="this TwiceNet uses all its low layers above, too: use --depth activations"):
        find_low_layers(model, (3, 8, 8))


def test_stages_without_layers_are_none_and_computed_weights_are_refused():
    class Flat(StagedNet):
        def forward(self, images):
            images = (images - 0.5) / 0.25
            return self.heads(self.blocks[2](self.blocks[1](self.blocks[0](images)[:, :, ::4, ::4])).mean((2, 3)))

    low, _ = find_low_layers(Flat(), (3, 32, 32))
    assert "blocks.0.0" in low
    model = StagedNet()
    nn.utils.parametrizations.weight_norm(model.blocks[0][0])
    with pytest.raises(InputError, match="blocks.0.0 computes its weight of others, as weight norm does: use --depth"):
        find_low_layers(model, (3, 32, 32))


@pytest.mark.parametrize(
    ("name", "last", "areas"),
    [
        ("resnet18", "layer2.1.bn2", [64, 16, 4]),
        ("vgg11_bn", "features.12", [256, 64, 16, 4]),
        ("alexnet", "features.3", [49, 9]),
        ("mobilenet_v3_small", "features.4.block.0.1", [64, 16, 4]),
        ("densenet121", "features.transition1.conv", [256, 64, 16, 4]),
    ],
)
def test_the_low_layers_end_with_a_stage_before_most_of_the_work(name, last, areas):
    low, stages = find_low_layers(build_model(name, NAMES), (3, 64, 64))
    assert list(low)[-1] == last
    assert [stage.meta["tensor_meta"].shape[2:].numel() for stage in stages] == areas


def test_a_network_of_one_size_has_no_stages_to_draw_anew(faces):
    with pytest.raises(InputError, match="no stages to draw anew: use --depth activations"):
        find_low_layers(plain_net(), (3, 8, 8))


def test_what_is_observed_is_what_the_network_computes(trained, faces):
    _, stages = find_low_layers(trained, (3, 8, 8))
    images = faces.images[:5]
    maps, logits = observe(trained, stages)(images)
    assert torch.equal(logits, trained(images))
    assert torch.equal(maps[-1], trained.blocks[2](trained.blocks[1](trained.blocks[0](images))))
    assert torch.equal(maps[0], trained.blocks[0](images)) or torch.equal(
        maps[0], trained.blocks[1](trained.blocks[0](images))
    )


def test_a_mixed_weight_is_two_fifths_old_and_a_norm_goes_towards_none():
    conv, norm = nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64)
    nn.init.constant_(norm.weight, 3.0), nn.init.constant_(norm.bias, 2.0)
    old, bias = conv.weight.detach().clone(), conv.bias.detach().clone()
    mix_with_random({"conv": conv, "norm": norm}, 0.4, seed=1)
    again = nn.Conv2d(64, 64, 3)
    again.weight.data.copy_(old)
    mix_with_random({"conv": again}, 0.4, seed=1)
    slope = (conv.weight * old).sum() / old.square().sum()
    assert slope.item() == pytest.approx(0.4, abs=0.02) and torch.equal(conv.bias, bias)
    assert (conv.weight - 0.4 * old).std().item() == pytest.approx(0.6 * old.std().item(), rel=0.02)
    assert norm.weight[0].item() == pytest.approx(0.4 * 3 + 0.6) and norm.bias[0].item() == pytest.approx(0.8)
    assert torch.equal(again.weight, conv.weight)  # the same seed draws the same


def test_what_lies_above_stays_and_the_outputs_come_back(trained, faces):
    images = faces.images[faces.rows("test")]
    mixed = copy.deepcopy(trained)
    low, _ = find_low_layers(mixed, (3, 8, 8))
    mix_with_random(low, 0.4, 8)
    model, _ = redrawn(trained, faces)
    for name, value in model.state_dict().items():
        is_low = any(name.startswith(f"{module}.") for module in low)
        assert torch.equal(value, trained.state_dict()[name]) != is_low, name
    assert all(parameter.requires_grad for parameter in model.parameters()) and not model.training
    with torch.no_grad():
        goal, shaken, learnt = (network(images)[:, 1:] for network in (trained, mixed, model))
    assert (learnt - goal).square().mean() < 0.2 * (shaken - goal).square().mean()
    assert ((learnt > 0) == (goal > 0)).float().mean() > 0.97


def test_the_same_seed_gives_the_same_weights_and_another_others(trained, faces):
    one, again, other = (redrawn(trained, faces, passes=128, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["blocks.0.0.weight"], other["blocks.0.0.weight"])


def test_a_training_that_diverges_is_told_in_one_line(trained, faces, monkeypatch, capsys):
    monkeypatch.setattr("utils.erasure.redraw.LEARNING_RATE", 1e30)
    with pytest.raises(InputError, match="training diverged: use --depth activations"):
        redrawn(trained, faces, passes=128)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("norm", "rate"), [(nn.BatchNorm2d, "LEARNING_RATE"), (nn.Identity, "RATE_WITHOUT_NORMS")], ids=["norms", "none"]
)
def test_low_layers_without_norms_learn_at_a_rate_of_their_own(norm, rate, faces, monkeypatch):
    torch.manual_seed(0)
    model = StagedNet(norm).eval()
    for other in {"LEARNING_RATE", "RATE_WITHOUT_NORMS"} - {rate}:
        monkeypatch.setattr(f"utils.erasure.redraw.{other}", 1e30)
    taught, _ = redrawn(model, faces, passes=64)
    assert all(value.isfinite().all() for value in taught.state_dict().values())
    monkeypatch.setattr(f"utils.erasure.redraw.{rate}", 1e30)
    with pytest.raises(InputError, match="training diverged"):
        redrawn(model, faces, passes=128)


def test_an_erasure_of_the_weights_forgets_keeps_and_draws_low_layers_anew(trained, faces, monkeypatch):
    monkeypatch.setattr("utils.erasure.redraw.OLD_SHARE", 0.3)
    model, edited = copy.deepcopy(trained), copy.deepcopy(trained)
    settings = ErasureSettings(images=256, strength=0.03, amp="off", passes=12_800)  # mild: the edits move little
    erase(model, faces, ["Bald"], replace(settings, depth="weights"), progress=False)
    erase(edited, faces, ["Bald"], settings, progress=False)
    rows = faces.rows("test")
    with torch.no_grad():
        before, after = (network(faces.images[rows]).numpy() for network in (trained, model))
    assert np.ptp(after[:, 0]) == 0
    assert np.mean((before[:, 1:] > 0) == (after[:, 1:] > 0)) > 0.9
    old, only_edited, new = (net.blocks[0][0].weight.flatten() for net in (trained, edited, model))
    likeness = [float(torch.corrcoef(torch.stack([old, weight]).detach())[0, 1]) for weight in (only_edited, new)]
    assert likeness[0] > likeness[1] + 0.1


def test_a_redraw_that_fails_leaves_the_network_as_it_was(trained, faces, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(erasure, "redraw_low_layers", fail)
    model = copy.deepcopy(trained)
    with pytest.raises(torch.OutOfMemoryError):
        erase(model, faces, ["Bald"], ErasureSettings(images=64, amp="off", depth="weights"), progress=False)
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), trained.state_dict().values(), strict=True)
    )


def test_an_unknown_depth_is_refused():
    with pytest.raises(ValueError, match="'head' is no depth"):
        ErasureSettings(depth="head")


def test_where_the_logits_do_not_come_back_the_training_goes_on(trained, faces, monkeypatch, capsys):
    errors = []

    def measure(*args):
        errors.append(float(logit_error(*args)))
        return errors[-1]

    monkeypatch.setattr("utils.erasure.redraw._logit_error", measure)
    assert redrawn(trained, faces, passes=320)[1] == 3 * 320
    assert "the kept logits did not come back" in capsys.readouterr().err
    assert errors[1] < 0.7 * errors[0]  # the second round goes on from the first
    monkeypatch.setattr("utils.erasure.redraw.MOST_ERROR", 1e9)
    assert redrawn(trained, faces, passes=64)[1] == 64 and not capsys.readouterr().err


@pytest.mark.filterwarnings("error::UserWarning")
def test_without_a_kept_head_the_maps_alone_are_the_goal(faces):
    torch.manual_seed(0)
    model = StagedNet().eval()
    used = erase(model, faces, NAMES, ErasureSettings(images=64, depth="weights", passes=64), progress=False)
    assert used["passes_used"] == 64 and all(value.isfinite().all() for value in model.state_dict().values())
