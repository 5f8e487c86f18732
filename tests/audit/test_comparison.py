"""Distances to the oracle and the baselines that cost nothing."""

from dataclasses import replace

import numpy as np
import pytest

from utils.audit.comparison import cka_interval, distance_to_oracle, drop_head_logits, kept_label_scores
from utils.evaluation.metrics import auc, linear_cka
from utils.probes.features import LAST, Features


def oracle(n=400, seed=0):
    generator = np.random.default_rng(seed)
    stages = {name: generator.normal(size=(n, 6)).astype(np.float32) for name in ("layer1", LAST)}
    return Features(stages, generator.normal(size=(n, 2)), ("Smiling", "Young"), np.arange(n))


def test_a_network_is_at_no_distance_from_itself():
    network = oracle()
    distance = distance_to_oracle(network, network, network.attributes, 50)
    for head in network.attributes:
        assert distance["js"][head]["value"] == distance["js"][head]["interval"][1] == 0
        assert distance["equal_decisions"][head]["value"] == 1
    for stage in network.stages:
        assert distance["cka"][stage]["value"] == pytest.approx(1)
        assert distance["cka"][stage]["interval"] == pytest.approx([1, 1])


def test_sure_and_opposite_heads_are_ln_2_away_and_never_agree():
    network = oracle()
    network.logits[:] = 1e3
    opposite = replace(network, logits=-network.logits)
    distance = distance_to_oracle(opposite, network, network.attributes, 50)
    assert distance["js"]["Young"]["value"] == pytest.approx(np.log(2))
    assert distance["equal_decisions"]["Young"]["value"] == 0


def test_only_common_heads_and_stages_are_compared_by_name():
    network = oracle()
    swapped = Features({"layer9": network.stages[LAST]}, network.logits[:, ::-1], ("Young", "Smiling"), network.rows)
    distance = distance_to_oracle(swapped, network, network.attributes, 50)
    assert distance["js"]["Smiling"]["value"] == 0 and distance["cka"] == {}
    assert list(distance_to_oracle(swapped, network, ["Young"], 50)["js"]) == ["Young"]
    another = Features({}, network.logits[:, :1], ("Hat",), network.rows)
    assert distance_to_oracle(another, network, ["Hat", "Young"], 50)["js"] == {}


def test_cka_interval_holds_its_value_and_shrinks_with_the_images():
    widths = []
    for n in (200, 3200):
        x = oracle(n).stages[LAST]
        y = x + oracle(n, 1).stages[LAST]
        figure = cka_interval(x, y)
        assert figure["interval"][0] < figure["value"] < figure["interval"][1] and figure["n"] == n
        widths.append(np.diff(figure["interval"])[0])
    assert widths[1] < widths[0] / 2  # a quarter, were the jackknife's own error not there


def test_cka_interval_is_the_jackknife_of_the_metric_itself():
    x = oracle(60).stages[LAST] + 3
    y = x[:, :4] + oracle(60, 1).stages[LAST][:, :4]
    group = np.random.default_rng([0, 3]).permutation(60) % 20
    left_out = [linear_cka(x[group != g], y[group != g]) for g in range(20)]
    half = 1.96 * np.sqrt(19 / 20 * np.sum((left_out - np.mean(left_out)) ** 2))
    value = linear_cka(x, y)
    assert cka_interval(x, y)["interval"] == pytest.approx([value - half, min(1, value + half)], abs=1e-9)


def test_cka_of_features_that_never_vary_is_none():
    assert cka_interval(np.ones((100, 3)), np.ones((100, 3))) == {"value": None, "interval": None, "n": 100}


def test_scores_from_kept_labels_are_shares_of_equal_training_images():
    kept = np.array([[0, 1]] * 4 + [[1, 1]] * 2)
    target = np.array([1, 1, 1, 0, 0, 0])
    # cell (0, 1): (3 + 1/2) / (4 + 1); cell (1, 1): (0 + 1/2) / (2 + 1); cell (1, 0), never seen: the base rate
    assert kept_label_scores(kept, target, [[0, 1], [1, 1], [1, 0]]) == pytest.approx([0.7, 1 / 6, 0.5])


def test_without_a_kept_label_all_scores_are_equal():
    assert kept_label_scores(np.zeros((4, 0)), [0, 1, 1, 1], np.zeros((2, 0))) == pytest.approx([0.75, 0.75])


@pytest.mark.parametrize("heads", [3, 20])
def test_kept_labels_rank_a_target_that_follows_them(heads):
    generator = np.random.default_rng(0)
    kept = generator.integers(0, 2, (2000, heads))
    target = np.where(generator.random(2000) < 0.9, kept[:, 0], 1 - kept[:, 0])
    scores = kept_label_scores(kept[:1000], target[:1000], kept[1000:])
    assert auc(scores, target[1000:]) == pytest.approx(0.9, abs=0.03)
    assert len(set(kept_label_scores(kept, np.zeros(2000), kept))) == 1


def test_a_dropped_head_gives_its_base_rate_and_the_others_are_untouched():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    dropped = drop_head_logits(logits, 1, 0.2)
    assert 1 / (1 + np.exp(-dropped[:, 1])) == pytest.approx(0.2)
    assert np.array_equal(dropped[:, [0, 2]], logits[:, [0, 2]]) and not np.array_equal(dropped, logits)
