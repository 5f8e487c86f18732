"""Erasure on nets whose answers are known: attribute k is the brightness of channel k."""

import copy

import numpy as np
import pytest
import torch
from plain_faces import NAMES, PlainFaces, plain_net
from torch import nn

from models.heads import AttributeHeads
from utils.calibration import answer_base_rate, refit_heads
from utils.erasure import ErasureRecipe, erase
from utils.erasure_penalty import Penalty, residuals
from utils.erasure_plan import choose_images, chosen_batches, take_notes
from utils.errors import InputError
from utils.features import extract_features
from utils.metrics import auc
from utils.probes import linear_scores

RECIPE = ErasureRecipe(images=12800, batch_size=64, lr=1e-2, strength=3.0, amp="off")


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
    erase(net, data, ["Bald"], RECIPE, stages=("top",), progress=False)
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
    erase(net, data, ["Bald", "Young"], RECIPE, stages=("top",), progress=False)
    assert probe(net, data, target=0)[0] < 0.7 and probe(net, data, target=2)[0] < 0.7
    logits, truth = probe(net, data)[1], data.labels[data.everything("test")]
    assert auc(logits[:, 1], truth[:, 1]) > 0.97
    assert auc(logits[:, 0], truth[:, 0]) == auc(logits[:, 2], truth[:, 2]) == 0.5


def test_an_attribute_that_went_before_stays_gone_if_it_is_named_again(trained):
    data, net = PlainFaces(), copy.deepcopy(trained)
    erase(net, data, ["Bald"], RECIPE, stages=("top",), progress=False)
    erase(net, data, ["Bald", "Young"], RECIPE, stages=("top",), progress=False)
    assert probe(net, data, target=0)[0] < 0.7 and probe(net, data, target=2)[0] < 0.7
    logits = probe(net, data)[1]
    assert np.ptp(logits[:, 0]) == 0 and np.ptp(logits[:, 2]) == 0


def test_without_a_penalty_nothing_is_forgotten_below_the_head(trained):
    data, net = PlainFaces(), copy.deepcopy(trained)
    recipe = ErasureRecipe(images=640, strength=0.0, lr=1e-3, amp="off")
    erase(net, data, ["Bald"], recipe, stages=("top",), progress=False)
    assert probe(net, data)[0] > 0.95


def test_the_same_seed_gives_the_same_network_and_flags_and_modes_stay():
    nets = [plain_net().train() for _ in range(3)]
    nets[0].stem.weight.requires_grad_(False)
    recipe = ErasureRecipe(images=128, amp="off")
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        erase(net, PlainFaces(), ["Bald"], ErasureRecipe(images=128, amp="off", seed=seed), stages=("top",))
    values = [torch.cat([value.flatten() for value in net.state_dict().values()]) for net in nets]
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])
    assert nets[0].training and not nets[0].stem.weight.requires_grad and nets[0].top.weight.requires_grad
    assert all(parameter.grad is None for parameter in nets[0].parameters())
    assert not any(module._forward_hooks for module in nets[0].modules()) and recipe.seed == 0


def test_a_learning_rate_that_is_too_high_says_so_and_leaves_the_network():
    net = plain_net()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(InputError, match="erasure diverged: use a learning rate below 1e\\+30"):
        erase(net, PlainFaces(), ["Bald"], ErasureRecipe(images=640, lr=1e30, amp="off"), stages=("top",))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_residuals_do_not_tell_the_confounders():
    generator = torch.Generator().manual_seed(0)
    confounders = torch.randn(200, 2, generator=generator)
    weights = torch.rand(200, generator=generator)
    weights = weights / weights.sum()
    values = confounders @ torch.tensor([[1.0, -2], [0.5, 3]]) + 0.1 * torch.randn(200, 2, generator=generator)
    left = residuals(values, confounders, weights)
    assert ((weights[:, None] * left).T @ confounders).abs().max() < 1e-3
    assert left.std() < 0.15


def test_the_penalty_is_zero_for_equal_means_and_large_for_a_target_in_the_features():
    generator = torch.Generator().manual_seed(0)
    targets = (torch.arange(400) % 2).float()[:, None]
    noise, nothing = torch.randn(400, 5, generator=generator), torch.zeros(400, 0)
    weights = torch.full((400,), 1 / 400)
    for adversary in (0.0, 1.0):
        silent = Penalty(adversary)("top", noise, targets, nothing, weights)
        told = Penalty(adversary)("top", noise + 2 * targets, targets, nothing, weights)
        assert silent < 0.1 and told > 1
    implied = Penalty(1.0)("top", noise + 2 * targets, targets, targets - 0.5, weights)
    assert implied < 0.1  # what the kept outputs imply may stay


def test_batches_have_the_target_often_enough_and_weights_undo_it():
    labels = labels_of(0.05)
    choice = choose_images(np.arange(400), labels, 320, 32, positives=0.25)
    shares = choice.labels.reshape(10, 32).mean(1)
    assert (shares == 0.25).all() and len(choice.rows) == 320
    assert np.average(choice.labels[:, 0], weights=choice.weights) == pytest.approx(labels.mean(), abs=1e-5)
    assert np.array_equal(labels[choice.rows], choice.labels) and choice.base_rates == labels.mean()
    common = choose_images(np.arange(400), labels_of(0.48), 320, 32)
    assert abs(common.labels.mean() - 0.48) < 0.05
    assert len(choice.last(40).rows) == 40


def test_a_target_on_no_or_every_image_is_refused():
    for rate in (0, 1):
        with pytest.raises(InputError, match="images with and without each target"):
            choose_images(np.arange(9), np.full((9, 1), rate), 32, 8)


def test_notes_hold_the_logits_and_features_without_the_targets_shift():
    data, net = PlainFaces(), plain_net()
    rows = data.everything("train")
    choice = choose_images(rows, data.labels[rows][:, :1], 512, 64)
    notes = take_notes(net, data, choice, ["Bald"], ("top",))
    with torch.no_grad():
        images = torch.cat([images for _, images in chosen_batches(data, choice, 64, "cpu")])
        assert torch.allclose(net(images), notes.logits, atol=1e-5)
    weights = torch.from_numpy(choice.weights)
    goal, has = notes.goals["top"], torch.from_numpy(choice.labels[:, 0]).bool()

    def gap(column):
        means = [(weights[part] * goal[part, column]).sum() / weights[part].sum() for part in (has, ~has)]
        return abs(means[0] - means[1])

    assert gap(0) < 0.1  # was 1
    assert notes.confounders.shape == (512, 4) and notes.kept == [1, 2]


def test_many_kept_heads_are_summed_up_in_eight_confounders():
    data, net = PlainFaces(), plain_net()
    rows = data.everything("train")
    choice = choose_images(rows, data.labels[rows][:, :1], 64, 64)
    net.heads = type(net.heads)(3, [*NAMES, "a", "b", "c", "d"])
    net.attributes = net.heads.attributes
    assert take_notes(net, data, choice, ["Bald"], ("top",)).confounders.shape == (64, 8)


def test_refitted_heads_give_the_old_logits_and_the_target_its_base_rate():
    torch.manual_seed(0)
    net = plain_net()
    features, change = torch.randn(300, 3), torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 1.5]])
    old = net.heads(features).detach()
    moved = features @ change + 0.3
    missed = (net.heads(moved) - old)[:, 1:].abs().mean()
    for _ in range(20):  # each refit goes half of the way
        refit_heads(net, moved, old, torch.ones(300), [1, 2])
    assert (net.heads(moved) - old)[:, 1:].abs().mean() < 0.05 * missed
    answer_base_rate(net, ["Bald"], [0.2])
    assert torch.allclose(net.heads(moved)[:, 0].sigmoid(), torch.tensor(0.2))
