"""Erasure on nets whose answers are known: attribute k is the brightness of channel k."""

import copy

import numpy as np
import pytest
import torch
from plain_faces import NAMES, PlainFaces, plain_net
from torch import nn

from models import build_model
from models.heads import AttributeHeads
from utils.calibration import answer_base_rate, refit_heads
from utils.erasure import ErasureRecipe, erase
from utils.erasure_edit import Edited, edit_site
from utils.erasure_plan import choose_images, make_contrast, residuals, summarise
from utils.erasure_sites import find_sites
from utils.errors import InputError
from utils.features import extract_features
from utils.metrics import auc
from utils.probes import linear_scores

# an untrained net of this kind tells as much as a trained one, so the ridge is given
RECIPE = ErasureRecipe(images=512, ridge=0.01, amp="off")


class WideNet(nn.Module):
    """Two blocks of 1x1 convolution, batch norm and ReLU, mean over the image, heads: the targets share channels."""

    def __init__(self):
        super().__init__()
        blocks = [[nn.Conv2d(n, 24, 1), nn.BatchNorm2d(24), nn.ReLU()] for n in (3, 24)]
        self.stem, self.top = (nn.Sequential(*block) for block in blocks)
        self.heads = AttributeHeads(24, NAMES)
        self.attributes = self.heads.attributes

    def forward(self, images):
        return self.heads(self.top(self.stem(images)).mean((2, 3)))


@pytest.fixture(scope="module")
def trained():
    """A wide net that knows all three attributes."""
    torch.manual_seed(0)
    data, net = PlainFaces(), WideNet()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(40):
        for images, labels in data.batches(data.everything("train"), 100, "cpu"):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(net(images), labels).backward()
            optimizer.step()
    optimizer.zero_grad()
    return net.eval()


def labels_of(rate, n=400):
    return (np.random.default_rng(0).random((n, 1)) < rate).astype(np.uint8)


def probe(net, data, stage="features", target=0):
    parts = [extract_features(net, data, data.everything(part), stages=("top",)) for part in ("train", "test")]
    train, test = (data.labels[data.everything(part), target] for part in ("train", "test"))
    return auc(linear_scores(parts[0].stages[stage], train, parts[1].stages[stage])[0], test), parts[1].logits


def test_the_target_leaves_the_features_and_the_kept_heads_stay(trained):
    data, net = PlainFaces(), copy.deepcopy(trained)
    before, logits = probe(net, data)
    erase(net, data, ["Bald"], RECIPE, progress=False)
    after, moved = probe(net, data)
    assert before > 0.98 and after < 0.65
    truth = data.labels[data.everything("test")]
    for head in (1, 2):
        assert auc(moved[:, head], truth[:, head]) > auc(logits[:, head], truth[:, head]) - 0.005
        assert np.mean((moved[:, head] > 0) == (logits[:, head] > 0)) > 0.97
    assert auc(moved[:, 0], truth[:, 0]) == 0.5
    assert 1 / (1 + np.exp(-moved[0, 0])) == pytest.approx(data.labels[data.everything("train"), 0].mean(), abs=1e-5)


def test_two_targets_leave_together(trained):
    data, net = PlainFaces(), copy.deepcopy(trained)
    erase(net, data, ["Bald", "Young"], RECIPE, progress=False)
    assert probe(net, data, target=0)[0] < 0.7 and probe(net, data, target=2)[0] < 0.7
    logits, truth = probe(net, data)[1], data.labels[data.everything("test")]
    assert auc(logits[:, 1], truth[:, 1]) > 0.97
    assert auc(logits[:, 0], truth[:, 0]) == auc(logits[:, 2], truth[:, 2]) == 0.5


def test_an_attribute_that_went_before_stays_gone_when_another_follows(trained):
    data, net = PlainFaces(), copy.deepcopy(trained)
    assert erase(net, data, ["Bald"], RECIPE, progress=False)["targets"] == ["Bald"]
    assert erase(net, data, ["Young"], RECIPE, progress=False)["targets"] == ["Young", "Bald"]
    assert probe(net, data, target=0)[0] < 0.7 and probe(net, data, target=2)[0] < 0.7
    logits = probe(net, data)[1]
    assert np.ptp(logits[:, 0]) == 0 and np.ptp(logits[:, 2]) == 0


def test_the_ridge_is_the_dial_between_keeping_and_forgetting(trained):
    data, told = PlainFaces(), []
    for ridge in (1e9, 0.1, 0.01):
        net = copy.deepcopy(trained)
        erase(net, data, ["Bald"], ErasureRecipe(images=512, ridge=ridge, amp="off"), progress=False)
        told.append(probe(net, data)[0])
    assert told[0] > 0.97 > told[1] > told[2] and told[2] < 0.65


def test_only_the_middle_of_the_sites_kernels_their_shifts_and_the_heads_are_edited():
    torch.manual_seed(0)
    net = build_model("resnet18", NAMES)
    before, data = copy.deepcopy(net.state_dict()), PlainFaces(n=200, train=150)
    data.images = data.images.repeat(1, 1, 8, 8)
    erase(net, data, ["Bald"], ErasureRecipe(images=64, amp="off"), progress=False)
    sites = find_sites(net).sites
    touched = {f"{site.conv}.weight" for site in sites} | {f"{site.norm}.bias" for site in sites}
    for name, value in net.state_dict().items():
        if name in touched and value.dim() == 4:
            changed = (value != before[name]).flatten(2).any(0).any(0)
            assert changed.tolist() == [place == 4 for place in range(9)], name
        elif name not in touched and not name.startswith("fc"):
            assert torch.equal(value, before[name]), name


def test_connections_that_are_not_allowed_stay_bit_equal(trained):
    data, net = PlainFaces(), copy.deepcopy(trained)
    allowed = {"stem.0": torch.zeros(24, 3, dtype=torch.bool), "top.0": torch.zeros(24, 24, dtype=torch.bool)}
    allowed["top.0"][5, 7] = True
    erase(net, data, ["Bald"], RECIPE, allowed=allowed, progress=False)
    changed = (net.top[0].weight != trained.top[0].weight).nonzero()
    assert changed.tolist() == [[5, 7, 0, 0]] and torch.equal(net.stem[0].weight, trained.stem[0].weight)


def test_the_same_seed_gives_the_same_network_and_flags_and_modes_stay():
    nets = [plain_net().train() for _ in range(3)]
    nets[0].stem.weight.requires_grad_(False)
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        erase(net, PlainFaces(), ["Bald"], ErasureRecipe(images=128, amp="off", seed=seed), progress=False)
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
        erase(net, PlainFaces(), ["Bald"], ErasureRecipe(images=128, amp="off"), progress=False)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def contrast_of(labels, kept=0):
    choice = choose_images(np.arange(len(labels)), labels, len(labels), len(labels), positives=0.1)
    return choice, make_contrast(choice, torch.zeros(len(choice.rows), kept))


def test_without_a_ridge_the_values_class_means_agree_at_every_place():
    generator = torch.Generator().manual_seed(0)
    choice, contrast = contrast_of(labels_of(0.4))
    has = torch.from_numpy(choice.labels[:, 0]).float()
    inputs = torch.randn(len(has), 6, 5, 5, generator=generator)
    inputs[:, :2] += has[:, None, None, None] * torch.randn(2, 5, 5, generator=generator)
    conv = torch.nn.Conv2d(6, 4, 1)
    with torch.no_grad():
        value = conv(inputs)
        assert contrast.shift(value).abs().max() > 0.5
        new = edit_site(Edited(conv), inputs, value, value, contrast, [1e-6], lambda: conv(inputs))
        assert torch.allclose(new, conv(inputs), atol=1e-4)
        assert contrast.shift(new).abs().max() < 0.1 * contrast.shift(value).abs().max()
        assert torch.allclose(contrast.mean(new), contrast.mean(value), atol=1e-4)


def test_an_edit_repairs_what_an_earlier_one_disturbed():
    generator = torch.Generator().manual_seed(0)
    choice, contrast = contrast_of(labels_of(0.5))
    inputs, conv = torch.randn(len(choice.rows), 6, 3, 3, generator=generator), torch.nn.Conv2d(6, 4, 1)
    with torch.no_grad():
        wanted = conv(inputs)
        conv.weight += 0.3
        missed = (conv(inputs) - wanted).abs().mean()
        edit_site(Edited(conv), inputs, conv(inputs), wanted, contrast, [1.0], lambda: conv(inputs))
        assert (conv(inputs) - wanted).abs().mean() < 0.2 * missed


def test_what_goes_with_a_kept_output_is_held():
    generator = torch.Generator().manual_seed(0)
    labels = labels_of(0.5)
    choice = choose_images(np.arange(400), labels, 400, 400, positives=0.1)
    kept = torch.randn(400, 1, generator=generator)
    contrast = make_contrast(choice, kept)
    has = torch.from_numpy(choice.labels).float()
    inputs = torch.randn(400, 4, 2, 2, generator=generator)
    inputs[:, 0] += (2 * has + 2 * kept)[:, :, None]  # one channel tells both
    losses = []
    for hold in (0.0, 100.0):
        conv = torch.nn.Conv2d(4, 3, 1)
        with torch.no_grad():
            conv.weight.fill_(1.0)
            value = conv(inputs)
            new = edit_site(Edited(conv), inputs, value, value, contrast, [0.1], lambda c=conv: c(inputs), hold=hold)
            before, after = (contrast.shift(maps, held=True).mean() for maps in (value, new))
        losses.append((before - after).abs() / before.abs())
    assert losses[1] < 0.3 * losses[0] and losses[0] > 0.05


def test_residuals_do_not_tell_the_confounders():
    generator = torch.Generator().manual_seed(0)
    confounders = torch.randn(200, 2, generator=generator)
    weights = torch.rand(200, generator=generator)
    weights = weights / weights.sum()
    values = confounders @ torch.tensor([[1.0, -2], [0.5, 3]]) + 0.1 * torch.randn(200, 2, generator=generator)
    left = residuals(values, confounders, weights)
    assert ((weights[:, None] * left).T @ confounders).abs().max() < 1e-3
    assert left.std() < 0.15


def test_what_the_kept_outputs_imply_is_no_shift():
    labels = labels_of(0.5)
    choice = choose_images(np.arange(400), labels, 400, 400)
    implied = torch.from_numpy(choice.labels).float() * 8 - 4 + 0.5 * torch.randn(400, 1)
    maps = torch.from_numpy(choice.labels).float()[:, :, None, None].expand(-1, -1, 2, 2)
    told, left = (make_contrast(choice, implied, conditional) for conditional in (False, True))
    assert told.wanted.std() > 0.45 and left.wanted.std() < 0.05
    assert told.shift(maps).shape == (1, 1, 4) and told.shift(maps).mean() == pytest.approx(1.0, abs=1e-3)


def test_batches_have_the_target_often_enough_and_weights_undo_it():
    labels = labels_of(0.05)
    choice = choose_images(np.arange(400), labels, 320, 32, positives=0.25)
    shares = choice.labels.reshape(10, 32).mean(1)
    assert (shares == 0.25).all() and len(choice.rows) == 320
    assert np.average(choice.labels[:, 0], weights=choice.weights) == pytest.approx(labels.mean(), abs=1e-5)
    assert np.array_equal(labels[choice.rows], choice.labels) and choice.base_rates == labels.mean()
    common = choose_images(np.arange(400), labels_of(0.48), 320, 32)
    assert abs(common.labels.mean() - 0.48) < 0.05


def test_a_target_on_no_or_every_image_is_refused():
    for rate in (0, 1):
        with pytest.raises(InputError, match="images with and without each target"):
            choose_images(np.arange(9), np.full((9, 1), rate), 32, 8)


def test_many_kept_heads_are_summed_up_in_thirty_two_columns():
    logits, weights = torch.randn(200, 39), torch.full((200,), 1 / 200)
    assert summarise(logits, weights).shape == (200, 32)
    assert summarise(logits[:, :3], weights).shape == (200, 6)


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
