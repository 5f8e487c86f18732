"""AUCs and differences of AUCs with errors in closed form, against worked examples and against resamples."""

import numpy as np
import pytest

from utils.evaluation.bootstrap import auc_contrast
from utils.evaluation.metrics import auc
from utils.evaluation.placements import place


def scores_of(n=600, seed=0):
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < 0.2).astype(int)
    signal = generator.normal(size=n)
    return labels, labels + signal, 0.6 * labels + 0.7 * signal + 0.7 * generator.normal(size=n)


def test_placements_of_four_images_are_those_worked_out_by_hand():
    found = place([3, 2, 1, 0], [1, 0, 1, 0])
    assert list(found.positive) == [1, 0.5] and list(found.negative) == [0.5, 1]
    assert found.value == 0.75
    assert found.standard_error == pytest.approx(0.125**0.5)  # two variances of 1/8, each over two images
    assert place([1, 1, 1], [1, 0, 0]).value == 0.5


def test_the_value_is_the_auc_and_that_of_draws_their_mean():
    labels, one, other = scores_of()
    other = np.round(other)  # ties
    assert place(one, labels).value == pytest.approx(auc(one, labels))
    assert place([one, other], labels).value == pytest.approx((auc(one, labels) + auc(other, labels)) / 2)


@pytest.mark.parametrize("coefficients", [[1.0, 0.0], [1.0, -1.0]], ids=["AUC", "gap"])
def test_the_interval_is_that_of_resampled_images(coefficients):
    labels, one, other = scores_of()
    found = place(one, labels) if coefficients[1] == 0 else place(one, labels) - place(other, labels)
    resampled = auc_contrast([one, other], coefficients, labels, 2000)
    assert found.value == pytest.approx(resampled["value"])
    assert found.figure(-1.0)["interval"] == pytest.approx(resampled["interval"], abs=0.004)


def test_p_of_no_difference_is_uniform():
    p = []
    for seed in range(300):
        labels, one, other = scores_of(200, seed)
        p.append((place(one - labels, labels) - place(other - 0.6 * labels, labels)).p_value())
    assert abs(np.mean(p) - 0.5) < 0.05 and abs(np.mean(np.array(p) < 0.1) - 0.1) < 0.05


def test_equal_scores_differ_by_nothing_and_a_missing_class_has_no_value():
    labels, one, _ = scores_of()
    same = place(one, labels) - place(one, labels)
    assert same.figure(-1.0)["interval"] == [0, 0] and same.p_value() == 1
    none = place(one, np.zeros_like(labels))
    assert none.figure() == {"value": None, "interval": None, "n": 600, "n_positive": 0} and none.p_value() is None
    assert place([2, 1, 0], [1, 0, 0]).p_value() is None  # one image tells nothing of others
