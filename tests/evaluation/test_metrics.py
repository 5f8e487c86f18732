"""Figures, distances and intervals, with answers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from utils.evaluation.bootstrap import auc_contrast, auc_interval, bootstrap_intervals, mean_interval, paired_changes
from utils.evaluation.metrics import (
    FIGURES,
    Ranking,
    auc,
    bernoulli_js,
    figures_per_head,
    linear_cka,
    modified_entropy,
    roc_points,
)


def faces(n=300, seed=0, heads=2):
    generator = np.random.default_rng(seed)
    labels = (generator.random((n, heads)) < 0.4).astype(np.uint8)
    return generator.normal(size=(n, heads)) + labels, labels


def test_figures_of_four_images_are_those_counted_by_hand():
    logits = np.array([[2.0], [-1.0], [0.5], [-3.0]])
    labels = np.array([[1], [1], [0], [0]])
    figures = figures_per_head(logits, labels, ["Bald"])["Bald"]
    assert figures["auc"] == 0.75  # of four pairs only (-1, 0.5) is in the wrong order
    assert figures["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert (figures["tpr"], figures["tnr"], figures["accuracy"], figures["balanced_accuracy"]) == (0.5, 0.5, 0.5, 0.5)
    assert figures["mean_predicted"] == pytest.approx(np.mean(1 / (1 + np.exp(-logits))))
    assert (figures["n"], figures["n_positive"], figures["base_rate"]) == (4, 2, 0.5)


def test_a_logit_of_zero_is_no_positive_decision():
    assert figures_per_head(np.zeros((1, 1)), np.ones((1, 1)), ["Bald"])["Bald"]["tpr"] == 0.0


def test_paper_figure_counts_only_images_with_all_attributes():
    labels = np.array([[1, 1], [1, 1], [1, 0], [0, 1]])
    logits = np.array([[1.0, 1], [-1, 1], [1, 1], [1, 1]])
    figures = figures_per_head(logits, labels, ["Bald", "Smiling"])
    assert (figures["Bald"]["tpr_all_positive"], figures["Bald"]["n_all_positive"]) == (0.5, 2)
    assert figures["Bald"]["tpr"] == pytest.approx(2 / 3)
    one_head = figures_per_head(logits[:, :1], labels[:, :1], ["Bald"], all_positive=labels.all(1))
    assert one_head["Bald"]["n_all_positive"] == 2


def test_figures_are_none_where_a_class_is_missing():
    figures = figures_per_head(np.ones((3, 1)), np.zeros((3, 1)), ["Bald"])["Bald"]
    undefined = ("auc", "average_precision", "tpr", "balanced_accuracy", "tpr_all_positive")
    assert all(figures[name] is None for name in undefined)
    assert figures["tnr"] == 0.0 and figures["n_all_positive"] == 0


def test_figures_are_plain_python_numbers():
    figures = figures_per_head(*faces(), ["Bald", "Smiling"])["Bald"]
    assert {type(value) for value in figures.values()} == {int, float}
    assert set(FIGURES) <= set(figures)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1)), min_size=2, max_size=40))
def test_auc_and_average_precision_agree_with_scikit_learn_with_ties(pairs):
    scores, labels = np.array(pairs).T
    if 0 < labels.sum() < len(labels):
        one = np.ones((1, len(labels)))
        assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
        assert Ranking(scores, labels).average_precision(one)[0] == pytest.approx(
            average_precision_score(labels, scores)
        )
        assert auc(-scores, labels) == pytest.approx(1 - auc(scores, labels))
    else:
        assert auc(scores, labels) is None


def test_weights_count_as_repeated_images():
    (scores, labels), counts = (part[:, 0] for part in faces(50)), np.random.default_rng(1).integers(0, 4, 50)
    repeated = roc_auc_score(np.repeat(labels, counts), np.repeat(scores, counts))
    assert Ranking(scores, labels).auc(counts[None].astype(float))[0] == pytest.approx(repeated)


def test_a_diverged_net_is_an_error_not_a_figure():
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        auc([0.0, math.nan], [0, 1])


def test_shapes_that_disagree_are_an_error():
    with pytest.raises(ValueError, match="2 attributes disagree"):
        figures_per_head(np.zeros((3, 1)), np.zeros((3, 1)), ["Bald", "Smiling"])


def test_roc_runs_from_corner_to_corner_and_passes_ties_together():
    assert roc_points([3, 2, 2, 1], [1, 0, 1, 0]) == {"fpr": [0, 0, 0.5, 1], "tpr": [0, 0.5, 1, 1]}
    assert roc_points([1, 2], [1, 1]) is None
    logits, labels = faces(1000)
    curve = roc_points(logits[:, 0], labels[:, 0], most=50)
    assert len(curve["fpr"]) == 50 and (curve["fpr"][-1], curve["tpr"][-1]) == (1, 1)


def test_js_of_equal_coins_is_zero_and_of_disjoint_ones_ln_2():
    p = np.array([0.0, 0.2, 0.5, 1.0])
    assert bernoulli_js(p, p) == pytest.approx(0, abs=1e-15)
    assert bernoulli_js(np.array([0.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(math.log(2))


def test_js_of_a_half_and_a_sure_coin_matches_the_hand_value():
    # middle 3/4: H = ln 4 - 3/4 ln 3; halves: (ln 2 + 0) / 2
    assert bernoulli_js(0.5, 1.0) == pytest.approx(math.log(4) - 0.75 * math.log(3) - math.log(2) / 2)
    assert bernoulli_js(0.3, 0.9) == pytest.approx(bernoulli_js(0.9, 0.3))


def test_modified_entropy_changes_when_only_the_own_label_changes():
    # p = 1/4: own label 0 is right, -2 * 1/4 * ln(3/4); own label 1 is wrong, -2 * 3/4 * ln(1/4)
    assert modified_entropy([0.25, 0.25], [0, 1]) == pytest.approx([-0.5 * math.log(0.75), -1.5 * math.log(0.25)])
    assert modified_entropy(1.0, 1) < 1e-9 < 10 < modified_entropy(1.0, 0)


def test_cka_is_one_up_to_rotation_shift_and_scale_and_zero_for_orthogonal_features():
    x = np.random.default_rng(0).normal(size=(50, 4))
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    assert linear_cka(x, 3 * x @ rotation + 7) == pytest.approx(1)
    waves = np.sin(2 * np.pi * np.outer(np.arange(48), [1, 2]) / 48)
    assert linear_cka(waves[:, :1], waves[:, 1:]) == pytest.approx(0, abs=1e-12)
    assert linear_cka(x, np.ones((50, 3))) is None


def test_cka_does_not_change_with_features_that_are_constant():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, 20))
    y = x[:, :10] + generator.normal(size=(30, 10))
    wide = np.concatenate([x, np.zeros((30, 20))], axis=1)  # more features than images, the same kernel
    assert linear_cka(wide, y) == pytest.approx(linear_cka(x, y))


def test_bootstrap_interval_of_a_fair_coin_covers_a_half_in_about_95_percent_of_seeds():
    covered = 0
    for seed in range(300):
        heads = np.random.default_rng(seed).integers(0, 2, 200)
        low, high = mean_interval(heads, resamples=400, seed=seed)["interval"]
        covered += low <= 0.5 <= high
    assert 0.91 <= covered / 300 <= 0.98


def test_bootstrap_interval_of_an_uninformative_auc_covers_a_half_in_about_95_percent_of_seeds():
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        figure = auc_interval(generator.normal(size=200), generator.integers(0, 2, 200), resamples=300, seed=seed)
        covered += figure["interval"][0] <= 0.5 <= figure["interval"][1]
    assert 0.89 <= covered / 200 <= 0.99


def test_interval_width_of_a_rate_is_that_of_the_binomial():
    figure = mean_interval(np.arange(400) % 2)
    assert np.diff(figure["interval"])[0] == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.1)


def test_intervals_are_equal_for_a_seed_and_hold_their_figure():
    logits, labels = faces()
    once, again = (bootstrap_intervals(logits, labels, ["Bald", "Smiling"], seed=3) for _ in range(2))
    assert once == again != bootstrap_intervals(logits, labels, ["Bald", "Smiling"], seed=4)
    figures = figures_per_head(logits, labels, ["Bald", "Smiling"])
    for head in once:
        for name, (low, high) in once[head].items():
            assert low <= figures[head][name] <= high


def test_auc_has_the_same_interval_whichever_way_it_is_computed():
    logits, labels = faces()
    assert (
        auc_interval(logits[:, 0], labels[:, 0])["interval"]
        == (bootstrap_intervals(logits, labels, ["Bald", "Smiling"])["Bald"]["auc"])
    )


def test_interval_is_none_where_the_figure_is():
    assert auc_interval([1.0, 2.0], [0, 0]) == {"value": None, "interval": None, "n": 2, "n_positive": 0}
    assert bootstrap_intervals(np.ones((3, 1)), np.zeros((3, 1)), ["Bald"])["Bald"]["auc"] is None


def test_paired_difference_of_a_score_with_itself_is_exactly_zero():
    logits, labels = faces()
    change = paired_changes(logits, logits, labels, ["Bald", "Smiling"])["Bald"]
    assert change["auc"]["value"] == 0 and change["auc"]["interval"] == [0, 0]
    assert change["accuracy"]["interval"] == [0, 0]


def test_paired_interval_is_narrower_than_the_two_apart():
    logits, labels = faces(600)
    after = logits + np.random.default_rng(5).normal(size=logits.shape) / 10
    paired = auc_contrast([after[:, 0], logits[:, 0]], [1, -1], labels[:, 0])["interval"]
    alone = auc_interval(logits[:, 0], labels[:, 0])["interval"]
    assert paired[1] - paired[0] < (alone[1] - alone[0]) / 3


def test_change_of_accuracy_counts_decisions_won_minus_lost():
    labels = np.array([[1], [1], [0], [0]])
    before, after = np.array([[1.0], [-1], [-1], [-1]]), np.array([[-1.0], [-1], [-1], [1]])
    assert paired_changes(before, after, labels, ["Bald"])["Bald"]["accuracy"]["value"] == -0.5


def test_contrast_needs_a_coefficient_for_each_score():
    with pytest.raises(ValueError, match="2 sets of scores"):
        auc_contrast(np.zeros((2, 4)), [1.0], [0, 1, 0, 1])
