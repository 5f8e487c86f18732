"""Probes on frozen features."""

import numpy as np
import pytest

from utils.evaluation.metrics import auc
from utils.probes.fitting import standardised
from utils.probes.linear import choose_c, linear_scores
from utils.probes.mlp import mlp_scores
from utils.probes.neighbours import neighbour_scores


def points(n=800, dimensions=10, seed=0, shuffled=False):
    """Features whose first coordinate tells the label, half to train on and half to test on."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.3).astype(int)
    features = generator.normal(size=(n, dimensions)).astype(np.float32)
    features[:, 0] += 4 * labels
    if shuffled:
        labels = generator.permutation(labels)
    return features[: n // 2], labels[: n // 2], features[n // 2 :], labels[n // 2 :]


PROBES = [linear_scores, mlp_scores, neighbour_scores]


@pytest.mark.parametrize("probe", PROBES, ids=["linear", "mlp", "neighbours"])
def test_a_probe_finds_what_is_there(probe):
    train, y, test, y_test = points()
    assert auc(probe(train, y, test), y_test) > 0.95


@pytest.mark.parametrize("probe", PROBES, ids=["linear", "mlp", "neighbours"])
def test_a_probe_on_shuffled_labels_is_chance(probe):
    found = []
    for seed in range(5):
        train, y, test, y_test = points(6000, seed=seed, shuffled=True)
        found.append(auc(probe(train, y, test), y_test))
    assert abs(np.mean(found) - 0.5) < 0.03 and all(abs(value - 0.5) < 0.05 for value in found)


def test_only_the_mlp_and_neighbours_see_a_ring():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2000, 2))
    y = (np.linalg.norm(x, axis=1) > 1.2).astype(int)
    found = [auc(probe(x[:1000], y[:1000], x[1000:]), y[1000:]) for probe in PROBES]
    assert abs(found[0] - 0.5) < 0.1 and found[1] > 0.9 and found[2] > 0.9


def test_scale_and_shift_of_a_feature_do_not_matter_to_the_linear_probe():
    train, y, test, y_test = points()
    scale = 10.0 ** np.arange(-4, 6)
    plain = linear_scores(train, y, test)
    scaled = linear_scores(train * scale + 3 * scale, y, test * scale + 3 * scale)
    assert auc(scaled, y_test) == pytest.approx(auc(plain, y_test), abs=2e-3)


def test_a_feature_that_never_varies_does_no_harm():
    train, y, test, y_test = points()
    train[:, 3] = test[:, 3] = 0
    assert auc(linear_scores(train, y, test), y_test) > 0.95
    assert np.isfinite(standardised(train, test)[1]).all()


def test_c_is_the_one_that_is_best_on_held_out_images():
    generator = np.random.default_rng(0)
    y = np.arange(600) % 2
    noisy = generator.normal(size=(600, 300)) + 0.03 * y[:, None]  # every feature tells a little: a weak fit is best
    clean = (
        0.1 * generator.normal(size=(600, 3))
        + generator.normal(size=(600, 1)) * [[1, 1, 0]]
        + 0.1 * y[:, None] * [[1, -1, 0]]
    )
    assert choose_c(noisy, y) < choose_c(clean, y)  # here the right direction varies least


def test_test_images_do_not_change_the_scores_of_others():
    train, y, test, _ = points()
    together, alone = linear_scores(train, y, test), linear_scores(train, y, test[:7])
    assert together[:7] == pytest.approx(alone)


@pytest.mark.parametrize("probe", PROBES, ids=["linear", "mlp", "neighbours"])
def test_a_training_set_without_a_class_gives_no_scores(probe):
    train, y, test, _ = points()
    assert probe(train, np.zeros_like(y), test) is None


def test_one_positive_is_enough_for_a_linear_probe_without_a_choice():
    train, y, test, _ = points()
    y = np.zeros_like(y)
    y[0] = 1
    assert linear_scores(train, y, test).shape == (400,)


@pytest.mark.parametrize("probe", PROBES, ids=["linear", "mlp", "neighbours"])
def test_a_probe_is_equal_for_a_seed(probe):
    train, y, test, _ = points()
    assert np.array_equal(probe(train, y, test), probe(train, y, test))
