"""Relearning: draws, refits, fine-tuning and the area to the oracle's curve."""

import numpy as np
import pytest
import torch
from plain_faces import PlainFaces, plain_net
from small_subjects import subject_of

from utils.attacks import relearning
from utils.attacks.relearning import (
    RELEARNING_NETWORK,
    area_between,
    balanced_draws,
    curve_figures,
    fine_tune,
    fine_tuning_curve,
    head_curve,
    plan_draws,
    refit_head,
)
from utils.evaluation.metrics import auc
from utils.probes.features import LAST, extract_features

SIZES = (16, 64, 256)


def test_draws_are_balanced_different_and_equal_for_a_seed():
    labels = np.array([1] * 100 + [0] * 300)
    draws = balanced_draws(labels, 16, 3, seed=1)
    assert draws.shape == (3, 16)
    assert (labels[draws].sum(1) == 8).all()
    assert all(len(set(draw)) == 16 for draw in draws)
    assert not np.array_equal(draws[0], draws[1])
    assert np.array_equal(draws, balanced_draws(labels, 16, 3, seed=1))


def test_a_plan_ends_at_the_first_size_that_the_rarer_class_caps():
    labels = np.array([1] * 20 + [0] * 300)
    assert [(size, draws.shape) for size, draws in plan_draws(labels, SIZES)] == [(16, (3, 16)), (64, (3, 40))]
    assert [draws.shape[0] for _, draws in plan_draws(labels, SIZES, one_draw_above=16)] == [3, 1]
    assert plan_draws(np.zeros(10), SIZES) == []


def test_a_refitted_head_gives_on_raw_features_the_scores_that_it_returns():
    generator = np.random.default_rng(0)
    y = np.arange(64) % 2
    x = generator.normal(size=(64, 5)) * [1, 10, 100, 1e-3, 1] + 7
    x[:, 1] += 30 * y
    scores, (weight, bias) = refit_head(x, y, x)
    assert auc(scores, y) > 0.95
    assert scores == pytest.approx(x @ weight + bias)
    assert abs(np.mean(scores)) < 1e-2  # balanced: the threshold lies in the middle


def features_of(network, data):
    return [extract_features(network, data, data.rows(part), stages=("top",)) for part in ("train", "test")]


def test_a_network_that_sees_the_target_relearns_at_once_and_a_blind_one_does_not():
    data = PlainFaces()
    y, y_test = (data.labels[data.rows(part), 0] for part in ("train", "test"))
    plan = plan_draws(y, (16, 64), 2)
    seeing, blind = plain_net(), plain_net(sees=("Smiling", "Young"))
    curves = {}
    for name, network in (("seeing", seeing), ("blind", blind)):
        train, test = features_of(network, data)
        curve = head_curve(train.stages[LAST], y, test.stages[LAST], plan)
        curves[name] = [point["value"] for point in curve_figures(curve, y_test, 50)]
    assert min(curves["seeing"]) > 0.9
    assert max(curves["blind"]) < 0.6


def test_fine_tuning_leaves_the_net_as_it_is_and_moves_the_copy():
    network, data = plain_net().train(), PlainFaces()
    rows = data.rows("train")[:16]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tuned, weight, _ = fine_tune(network, data, rows, data.labels[rows, 0], (np.ones(3), 0.0))
    assert network.training and all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not torch.equal(tuned.top.weight, network.top.weight) and not torch.equal(weight, torch.ones(3))


def test_fine_tuning_reaches_what_the_frozen_features_lack():
    data, network = PlainFaces(noise=0.1), plain_net()
    with torch.no_grad():
        network.top.weight[0] *= 0.01  # still there, but faint beside a constant noise of other channels
    rows = data.rows("train")
    train, test = features_of(network, data)
    y, y_test = data.labels[rows, 0], data.labels[data.rows("test"), 0]
    head = (np.zeros(3), 0.0)
    tuned, weight, bias = fine_tune(network, data, rows, y, head, lr=0.05)
    with torch.no_grad():
        after = extract_features(tuned, data, data.rows("test"), stages=("top",)).stages[LAST] @ weight.numpy()
    assert auc(test.stages[LAST] @ head[0], y_test) == 0.5
    assert auc(after + bias.numpy(), y_test) > 0.95


def test_a_fine_tuning_that_is_interrupted_leaves_the_network_as_it_was(monkeypatch):
    data, network, images = PlainFaces(), plain_net().train(), PlainFaces.batches
    network.stem.weight.requires_grad_(False)
    before = {name: (value.clone(), value.stride()) for name, value in network.state_dict().items()}

    def stop_at_the_second(self, *given):
        batches = images(self, *given)
        yield next(batches)
        raise KeyboardInterrupt

    monkeypatch.setattr(PlainFaces, "batches", stop_at_the_second)
    rows = data.rows("train")[:64]
    with pytest.raises(KeyboardInterrupt):
        fine_tune(network, data, rows, data.labels[rows, 0], (np.zeros(3), 0.0))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name][0]) and value.stride() == before[name][1], name
    assert network.training and not network.stem.weight.requires_grad and network.top.weight.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())


def test_curves_are_equal_for_a_seed():
    data, network = PlainFaces(), plain_net()
    train, _ = features_of(network, data)
    y = data.labels[data.rows("train"), 0]
    plan = plan_draws(y, (16,), 2)
    once, again = (fine_tuning_curve(network, data, train, y, data.rows("test"), plan, seed=1) for _ in range(2))
    assert np.array_equal(once[0][2], again[0][2])
    assert once[0][2].shape == (2, 900) and not np.array_equal(once[0][2][0], once[0][2][1])


def scores_of_auc(labels, value):
    """Scores with exactly the given AUC: a share of the positives above all negatives, the others below."""
    positives = np.flatnonzero(labels)
    scores = np.zeros(len(labels))
    scores[positives] = np.where(np.arange(len(positives)) < value * len(positives), 1.0, -1.0)
    return scores


def test_a_fine_tuning_that_diverges_tells_nothing():
    network, data = plain_net(), PlainFaces(n=200, train=100)
    train, y = extract_features(network, data, data.rows("train"), stages=("stem",)), data.labels[:100, 0]
    with torch.no_grad():
        network.stem.weight.mul_(1e20), network.top.weight.mul_(1e20)  # more than float32 holds
    ((_, _, scores),) = fine_tuning_curve(network, data, train, y, data.rows("test"), plan_draws(y, (16,)))
    assert (scores == 0).all() and scores.shape == (3, 100)


def test_a_draw_that_diverges_leaves_the_attack_without_a_figure(monkeypatch):
    subject = subject_of(plain_net(), PlainFaces(n=200, train=100), level="full")
    assert np.isfinite(RELEARNING_NETWORK.run(subject)["all sizes"]).all()
    scores, calls = relearning._scores, iter(range(99))
    monkeypatch.setattr(relearning, "_scores", lambda *given: scores(*given) * (np.nan if next(calls) == 1 else 1))
    assert RELEARNING_NETWORK.run(subject) == {"all sizes": None}


def test_area_between_curves_is_the_trapezoid_over_doublings():
    labels = np.array([0, 1] * 100)

    def curve(*aucs):
        return [(n, n, scores_of_auc(labels, value)[None]) for n, value in zip((16, 64, 256), aucs, strict=True)]

    # gaps 0.4, 0.2, 0 over 2 + 2 doublings: 2 * 0.3 + 2 * 0.1
    area = area_between(curve(0.9, 0.9, 0.9), curve(0.5, 0.7, 0.9), labels)
    assert area["value"] == pytest.approx(0.8)
    assert area["mean_gap"] == pytest.approx(0.2)
    assert area["interval"][0] < 0.8 < area["interval"][1]
    assert area_between(curve(0.9, 0.8, 0.7), curve(0.9, 0.8, 0.7), labels)["interval"] == [0, 0]


def test_area_weighs_draws_equally_even_if_their_number_differs():
    labels = np.array([0, 1] * 100)
    high, low = scores_of_auc(labels, 1.0), scores_of_auc(labels, 0.5)
    ours = [(16, 16, np.stack([high, low])), (64, 64, high[None])]
    theirs = [(16, 16, low[None]), (64, 64, np.stack([low, low, low]))]
    assert area_between(ours, theirs, labels)["value"] == pytest.approx(2 * (0.25 + 0.5) / 2)


def test_one_common_size_has_no_area():
    labels = np.array([0, 1])
    curve = [(16, 16, np.zeros((1, 2)))]
    assert area_between(curve, curve, labels)["value"] is None


def test_points_of_a_curve_hold_draws_and_spread():
    labels = np.array([0, 1] * 50)
    curve = [(64, 40, np.stack([scores_of_auc(labels, 1.0), scores_of_auc(labels, 0.5)]))]
    (point,) = curve_figures(curve, labels)
    assert (point["asked"], point["n"], point["draws"]) == (64, 40, 2)
    assert (point["lowest"], point["value"], point["highest"]) == (0.5, 0.75, 1.0)
    assert (point["n_test"], point["n_test_positive"]) == (100, 50)
