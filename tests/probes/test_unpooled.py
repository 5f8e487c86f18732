"""The ridge classifier on whole maps."""

import numpy as np
import pytest
import torch

from utils.evaluation.metrics import auc
from utils.probes import unpooled
from utils.probes.unpooled import unpooled_scores


def maps_of(n=60, channels=6, seed=0):
    """Maps and labels, a third with the attribute, whose first value tells it."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 == 0).astype(int)
    maps = generator.normal(size=(n, channels, 2, 2))
    maps[:, 0, 0, 0] += labels
    return torch.from_numpy(maps).bfloat16(), labels


def weighted_ridge(x, y, weights, strength):
    """(slope, intercept) of the ridge regression with weighted images and a free intercept, in the primal."""
    extended = torch.cat([x, torch.ones(len(x), 1)], 1)
    penalty = strength * torch.eye(extended.shape[1])
    penalty[-1, -1] = 0
    solution = torch.linalg.solve(extended.T @ (weights[:, None] * extended) + penalty, extended.T @ (weights * y))
    return solution[:-1], solution[-1]


def test_errors_without_an_image_are_those_of_a_fit_without_it(monkeypatch):
    """The strength chosen is the one of least error over refits that leave each image out in turn."""
    maps, labels = maps_of()
    weights = torch.as_tensor(len(labels) / (2 * np.bincount(labels))[labels], dtype=torch.float32)
    x, y = maps.flatten(1).float(), torch.as_tensor(2.0 * labels - 1, dtype=torch.float32)
    mean = weights @ x / len(x)
    x = (x - mean) / (weights @ (x - mean).square() / len(x)).sqrt()
    kernel_mean = (weights * x.square().sum(1)).mean()
    errors = []
    for strength in unpooled.STRENGTHS:
        error = 0.0
        for i in range(len(x)):
            rest = torch.arange(len(x)) != i
            slope, bias = weighted_ridge(x[rest], y[rest], weights[rest], strength * kernel_mean)
            error += float(weights[i] * (y[i] - x[i] @ slope - bias) ** 2)
        errors.append(error)
    best = unpooled.STRENGTHS[int(np.argmin(errors))]
    slope, bias = weighted_ridge(x, y, weights, best * kernel_mean)
    ours = unpooled_scores(maps, labels, maps)
    assert ours == pytest.approx((x @ slope + bias).numpy(), abs=2e-3)


def test_scale_and_shift_of_a_channel_do_not_matter():
    train, labels = maps_of(300)
    test, test_labels = maps_of(300, seed=1)
    plain = auc(unpooled_scores(train.float(), labels, test.float()), test_labels)
    scale = torch.tensor([100.0, 1, 1e-2, 1, 1, 1])[:, None, None]
    moved = auc(unpooled_scores(train * scale + 3 * scale, labels, test * scale + 3 * scale), test_labels)
    assert plain > 0.6 and moved == pytest.approx(plain, abs=0.01)


def test_a_value_that_never_varies_does_no_harm():
    train, labels = maps_of(300)
    train[:, 2] = 0
    assert np.isfinite(unpooled_scores(train, labels, train)).all()


def test_test_images_do_not_change_the_scores_of_others():
    train, labels = maps_of(300)
    together = unpooled_scores(train, labels, train)
    assert unpooled_scores(train, labels, train[:7]) == pytest.approx(together[:7], abs=1e-4)


def test_one_image_of_a_class_is_too_few():
    train, labels = maps_of()
    assert unpooled_scores(train, np.eye(1, len(labels), dtype=int)[0], train) is None
