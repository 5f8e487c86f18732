"""Erasure on networks whose answers are known: attribute k is the brightness of channel k."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_faces import NAMES, PlainFaces, plain_net
from torch import nn
from wide_net import SETTINGS, WideNet, train_wide_net

from models import build_model
from utils.common.errors import InputError
from utils.erasure import edit, erasure
from utils.erasure.edit import _measure_inputs as measure_inputs
from utils.erasure.edit import edit_site, edits_full_kernel
from utils.erasure.erasure import ErasureSettings, erase
from utils.erasure.heads import LEAST_SHIFT, answer_base_rate, refit_heads
from utils.erasure.heads import _shift_back as shift_back
from utils.erasure.sites import find_sites
from utils.evaluation.metrics import auc
from utils.probes.features import extract_features
from utils.probes.linear import linear_scores


@pytest.fixture(scope="module")
def trained():
    """A wide net that knows all three attributes."""
    return train_wide_net()


def probe(net, data, stage="features", target=0):
    parts = [extract_features(net, data, data.rows(part), stages=("top",)) for part in ("train", "test")]
    train, test = (data.labels[data.rows(part), target] for part in ("train", "test"))
    return auc(linear_scores(parts[0].stages[stage], train, parts[1].stages[stage]), test), parts[1].logits


@pytest.mark.parametrize("constants", [True, False])
def test_the_target_leaves_the_features_and_the_kept_heads_stay(trained, constants, capsys):
    data, net = PlainFaces(), copy.deepcopy(trained) if constants else train_wide_net(constants)
    before, logits = probe(net, data)
    erase(net, data, ["Bald"], SETTINGS, progress=False)
    assert not capsys.readouterr().err
    after, moved = probe(net, data)
    assert before > 0.98 and after < 0.65
    truth = data.labels[data.rows("test")]
    for head in (1, 2):
        assert auc(moved[:, head], truth[:, head]) > auc(logits[:, head], truth[:, head]) - 0.005
        assert np.mean((moved[:, head] > 0) == (logits[:, head] > 0)) > 0.97
    assert auc(moved[:, 0], truth[:, 0]) == 0.5
    assert 1 / (1 + np.exp(-moved[0, 0])) == pytest.approx(data.labels[data.rows("train"), 0].mean(), abs=1e-5)


def test_two_targets_leave_together(trained):
    data, net = PlainFaces(), copy.deepcopy(trained)
    erase(net, data, ["Bald", "Young"], SETTINGS, progress=False)
    assert probe(net, data, target=0)[0] < 0.7 and probe(net, data, target=2)[0] < 0.7
    logits, truth = probe(net, data)[1], data.labels[data.rows("test")]
    assert auc(logits[:, 1], truth[:, 1]) > 0.97
    assert auc(logits[:, 0], truth[:, 0]) == auc(logits[:, 2], truth[:, 2]) == 0.5


def test_an_attribute_that_went_before_stays_gone_when_another_follows(trained):
    data, net = PlainFaces(), copy.deepcopy(trained)
    assert erase(net, data, ["Bald"], SETTINGS, progress=False)["targets"] == ["Bald"]
    assert erase(net, data, ["Young"], SETTINGS, progress=False)["targets"] == ["Young", "Bald"]
    assert probe(net, data, target=0)[0] < 0.7 and probe(net, data, target=2)[0] < 0.7
    logits = probe(net, data)[1]
    assert np.ptp(logits[:, 0]) == 0 and np.ptp(logits[:, 2]) == 0


class SizedNet(WideNet):
    """A wide net that asks for the number of its images before anything else."""

    def forward(self, images):
        count = images.shape[0]
        return self.heads(self.top(self.stem(images)).mean((2, 3)).reshape(count, -1))


def test_a_network_that_asks_for_a_size_first_is_edited_as_any_other(trained):
    data, plain, sized = PlainFaces(), copy.deepcopy(trained), SizedNet().eval()
    sized.load_state_dict(plain.state_dict())
    for net in (plain, sized):
        erase(net, data, ["Bald"], SETTINGS, progress=False)
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(plain.parameters(), sized.parameters(), strict=True))


def test_a_sum_that_spreads_a_value_over_a_larger_map_is_refused():
    class ContextNet(WideNet):
        def forward(self, images):
            maps = self.stem(images)
            return self.heads((maps + self.top[0](nn.functional.adaptive_avg_pool2d(maps, 1))).mean((2, 3)))

    net = ContextNet().eval()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(InputError, match=r"a sum spreads what top.0 gives over a larger map.*--method prune"):
        erase(net, PlainFaces(), ["Bald"], SETTINGS, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_full_kernel_needs_images_for_all_it_reads(capsys):
    torch.manual_seed(0)
    net, data = WideNet().eval(), PlainFaces(n=60, train=30)
    net.stem, net.top = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()), nn.Conv2d(8, 24, 1)
    for side, needed in ((4, None), (1, 54)):  # 27 inputs a position of the stem, 8 of the top
        data.images = data.images[:, :, :side, :side]
        erase(net, data, ["Bald"], ErasureSettings(images=64, amp="off"), progress=False)
        said = capsys.readouterr().err
        assert (f"where {needed} would tell" in said) if needed else "would tell" not in said


def test_the_strength_decides_between_keeping_and_forgetting(trained):
    data, probes = PlainFaces(), []
    for strength in (1e-9, 1.0, 300.0):
        net = copy.deepcopy(trained)
        erase(net, data, ["Bald"], replace(SETTINGS, strength=strength), progress=False)
        probes.append(probe(net, data)[0])
    assert probes[0] > 0.97 > probes[1] > probes[2] and probes[2] < 0.65


def test_only_the_sites_kernels_their_shifts_and_the_heads_are_edited(capsys):
    torch.manual_seed(0)
    net = build_model("resnet18", NAMES)
    before, data = copy.deepcopy(net.state_dict()), PlainFaces(n=200, train=150)
    data.images = data.images.repeat(1, 1, 8, 8)
    erase(net, data, ["Bald"], ErasureSettings(images=64, amp="off"), progress=False)
    assert "warning: erasing from 64 different images, where 1,024 would tell" in capsys.readouterr().err
    sites = find_sites(net)
    touched = {f"{site.conv}.weight" for site in sites} | {f"{site.norm}.bias" for site in sites}
    full = {f"{site.conv}.weight" for site in sites if edits_full_kernel(net.get_submodule(site.conv))}
    assert full == {f"layer{stage}.{block}.conv2.weight" for stage in (1, 2) for block in (0, 1)}
    for name, value in net.state_dict().items():
        if name in touched and value.dim() == 4:
            changed = (value != before[name]).flatten(2).any(0).any(0)
            assert changed.tolist() == [place == 4 or name in full for place in range(9)], name
        elif name not in touched and not name.startswith("fc"):
            assert torch.equal(value, before[name]), name


def test_the_same_seed_gives_the_same_network_and_flags_and_modes_stay():
    nets = [plain_net().train() for _ in range(3)]
    nets[0].stem.weight.requires_grad_(False)
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        erase(net, PlainFaces(), ["Bald"], ErasureSettings(images=128, amp="off", seed=seed), progress=False)
    values = [torch.cat([value.flatten() for value in net.state_dict().values()]) for net in nets]
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])
    assert nets[0].training and not nets[0].stem.weight.requires_grad and nets[0].top.weight.requires_grad
    assert all(parameter.grad is None for parameter in nets[0].parameters())
    assert not any(module._forward_pre_hooks for module in nets[0].modules())


def test_numbers_that_are_not_finite_are_reported_and_the_network_left_as_it_was():
    net = plain_net()
    with torch.no_grad():
        net.top.weight[0, 0] = torch.inf
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(InputError, match="not finite"):
        erase(net, PlainFaces(), ["Bald"], ErasureSettings(images=128, amp="off"), progress=False)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_an_edit_has_the_rank_that_is_asked_for(trained):
    data = PlainFaces()
    for rank in (1, 2):
        net = copy.deepcopy(trained)
        erase(net, data, ["Bald"], replace(SETTINGS, rank=rank), progress=False)
        change = (net.top[0].weight - trained.top[0].weight)[:, :, 0, 0].detach().double()
        found = torch.linalg.svdvals(change)
        assert found[rank] < 1e-5 * found[0] < found[rank - 1]


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (KeyboardInterrupt, KeyboardInterrupt),
        (torch.OutOfMemoryError, torch.OutOfMemoryError),
        (torch.linalg.LinAlgError, InputError),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_whatever_stops_an_erasure_leaves_the_network_as_it_was(monkeypatch, raised, seen, memory_format):
    torch.manual_seed(0)
    net = build_model("resnet18", NAMES).train().to(memory_format=memory_format)
    before = {name: (value.clone(), value.stride()) for name, value in net.state_dict().items()}
    data, edited = PlainFaces(n=200, train=150), []
    data.images = data.images.repeat(1, 1, 8, 8)

    def fail_at_the_third(convolution, *given, **options):
        edited.append(convolution)
        if len(edited) == 3:
            raise raised("stopped")
        return edit_site(convolution, *given, **options)

    monkeypatch.setattr(erasure, "edit_site", fail_at_the_third)
    with pytest.raises(seen):
        erase(net, data, ["Bald"], ErasureSettings(images=64, amp="off"), progress=False)
    assert len(edited) == 3 and net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name][0]) and value.stride() == before[name][1], name
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_pre_hooks for module in net.modules())


def test_an_edit_that_blows_up_leaves_the_network_as_it_was():
    net, data = plain_net(), PlainFaces()
    before = copy.deepcopy(net.state_dict())
    data.images = data.images * 1e20  # its square is no float32
    with pytest.raises(InputError, match="not finite"):
        erase(net, data, ["Bald"], replace(SETTINGS, images=128), progress=False)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_refitted_heads_give_the_old_logits_and_the_target_its_base_rate():
    torch.manual_seed(0)
    net = plain_net()
    features, change = torch.randn(300, 3), torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 1.5]])
    old = net.heads(features).detach()
    moved = features @ change + 0.3
    missed = (net.heads(moved) - old)[:, 1:].abs().mean()
    for _ in range(3):  # each refit goes most of the way
        refit_heads(net, moved, old, torch.ones(300), [1, 2])
    assert (net.heads(moved) - old)[:, 1:].abs().mean() < 0.05 * missed
    answer_base_rate(net, ["Bald"], [0.2])
    assert torch.allclose(net.heads(moved)[:, 0].sigmoid(), torch.tensor(0.2))


def heads_on(scale):
    """A network one of whose heads reads the first feature times `scale`; the others read nothing."""
    net = plain_net()
    with torch.no_grad():
        net.heads.weight.zero_()
        net.heads.bias.zero_()
        net.heads.weight[1, 0] = scale
    return net


def test_a_head_with_large_logits_answers_yes_as_often_as_before():
    seen = torch.cat([torch.linspace(-9, -3, 270), torch.linspace(0.1, 1, 30)])  # far below the boundary, just above it
    features = torch.stack([seen, *torch.zeros(len(plain_net().heads.weight[0]) - 1, 300)], 1)
    net = heads_on(10.0)
    with torch.no_grad():
        old = net.heads(features)
        damped = torch.cat([features[:270] * 0.6, features[270:]])  # the certain ones have become less certain
        refit_heads(net, damped, old, torch.ones(300), [1])
        answers = [torch.sigmoid(logits[:, 1]).mean().item() for logits in (old, net.heads(damped))]
        assert answers[1] == pytest.approx(answers[0], abs=2e-4)
        assert ((net.heads(damped)[:, 1] > 0) == (old[:, 1] > 0)).float().mean() > 0.98


@pytest.mark.parametrize("size", [2.0, 15.0, 60.0, 800.0])
def test_answers_that_hardly_drift_are_not_shifted(size):
    goals = torch.tensor([size, -size, -size, size, -size]).double()[:, None]
    weights = torch.full((5, 1), 0.2).double()
    assert shift_back(goals, goals, weights).tolist() == [0.0]
    assert shift_back(0.8 * goals, goals, weights).abs() < LEAST_SHIFT
    assert shift_back(goals.abs(), goals.abs(), weights).tolist() == [0.0]  # all of them are certain


def test_the_shift_is_the_least_that_brings_each_head_back():
    torch.manual_seed(0)
    goals, weights = 30 * torch.randn(400, 3).double(), torch.rand(400, 1).double()
    weights = weights / weights.sum()
    logits = goals + torch.tensor([9.0, 0.0, -7.0])
    shift = shift_back(logits, goals, weights)
    assert shift[1] == 0 and shift[[0, 2]].tolist() == pytest.approx([-9.0, 7.0], abs=0.1)
    reached = ((weights * (logits + shift).sigmoid()).sum(0) - (weights * goals.sigmoid()).sum(0)).abs()
    assert reached.max() < 2e-4
    assert shift_back(logits[:, :0], goals[:, :0], weights).shape == (0,)


def test_an_interrupt_while_the_edits_are_taken_over_leaves_the_network_as_it_was(monkeypatch):
    net, plain = plain_net().to(memory_format=torch.channels_last), torch.nn.Module.load_state_dict
    before = {name: (value.clone(), value.stride()) for name, value in net.state_dict().items()}

    def stop_half_way(module, state_dict, **options):
        if module is not net:
            return plain(module, state_dict, **options)
        plain(module, dict(list(state_dict.items())[:2]), strict=False)
        assert any(not torch.equal(value, before[name][0]) for name, value in net.state_dict().items())
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", stop_half_way)
    with pytest.raises(KeyboardInterrupt):
        erase(net, PlainFaces(), ["Bald"], replace(SETTINGS, images=128), progress=False)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name][0]) and value.stride() == before[name][1], name


def test_an_equation_without_a_solution_is_said_with_the_cure(monkeypatch):
    def covariance_below_zero(edited, inputs, *given):
        mean, covariance, drift = measure_inputs(edited, inputs, *given)
        return mean, -covariance, drift

    monkeypatch.setattr(edit, "_measure_inputs", covariance_below_zero)
    with pytest.raises(InputError, match="the inputs' covariance is not positive definite; use a strength below 300"):
        erase(plain_net(), PlainFaces(), ["Bald"], replace(SETTINGS, images=128), progress=False)
