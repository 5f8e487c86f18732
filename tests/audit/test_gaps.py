"""Gaps between networks, shares of what was known, and the correction for many attacks."""

from types import SimpleNamespace

import numpy as np
import pytest

from utils.audit.gaps import attack_gaps, holm, information, one_sided, significant_gaps
from utils.evaluation.placements import place


def test_holm_holds_the_smallest_p_against_the_strictest_level():
    # 0.05 / 4, / 3, / 2, / 1 = 0.0125, 0.0167, 0.025, 0.05
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([0.0126, 0.001, 0.02], 0.05) == [True, True, True]
    assert holm([0.03, 0.03], 0.05) == [False, False]
    assert holm([0.025, 0.05], 0.05) == [True, True]
    assert holm([], 0.05) == []


def test_what_was_not_tested_is_not_rejected_and_does_not_make_the_others_harder_to_reject():
    assert holm([None, 0.05, None], 0.05) == [False, True, False]
    assert holm([None, 0.051], 0.05) == [False, False]
    assert holm([0.03, None, 0.024], 0.05) == [True, False, True]


def test_information_is_the_share_of_what_the_original_knows_beyond_the_oracle():
    assert information(0.95, 0.75, 0.95) == pytest.approx(1)
    assert information(0.75, 0.75, 0.95) == 0
    assert information(0.70, 0.75, 0.95) == pytest.approx(-0.25)
    assert information(0.70, 0.75, 0.76) is None and information(0.7, 0.75, 0.6) is None
    assert information(None, 0.75, 0.95) is None


def test_gaps_are_paired_and_only_where_both_networks_were_attacked():
    labels = np.arange(400) % 2
    noise = np.random.default_rng(0).normal(size=400)
    know, tell = place(3 * labels + noise, labels), place(labels + noise, labels)
    setup = SimpleNamespace(y_test=labels, resamples=10, seed=0)
    own = {"linear": {"top": know, "mine": know}, "other": {"top": know}, "unfitted": {"top": None}}
    oracle = {"linear": {"top": tell, "its": tell}, "unfitted": {"top": tell}}
    gaps = attack_gaps(own, oracle, own, setup)
    assert list(gaps["linear"]) == ["top"] and gaps["other"] == {}
    gap = gaps["linear"]["top"]
    assert gap["value"] == pytest.approx(know.value - tell.value) and gap["p"] < 1e-6 and gap["information"] == 1
    assert gap["n"] == 400 and gap["n_positive"] == 200
    unpaired = 1.96 * (know.standard_error**2 + tell.standard_error**2) ** 0.5
    assert (gap["interval"][1] - gap["interval"][0]) / 2 < 0.9 * unpaired  # the noise is shared
    assert gaps["unfitted"]["top"]["value"] is None and gaps["unfitted"]["top"]["p"] is None
    assert attack_gaps(own, oracle, None, setup)["linear"]["top"]["information"] is None


def test_what_tells_is_clear_of_chance_and_above_the_tolerance_in_the_order_of_the_attacks():
    def gap(value, p):
        return {"value": value, "p": p}

    gaps = {"b": {"x": gap(0.05, 1e-5), "y": gap(0.01, 1e-5)}, "a": {"x": gap(0.05, 0.02), "y": gap(0.2, 1e-9)}}
    assert significant_gaps(gaps, 0.02) == [("b", "x"), ("a", "x"), ("a", "y")]
    gaps["a"]["x"]["p"] = 0.03
    assert significant_gaps(gaps, 0.02) == [("b", "x"), ("a", "y")]
    assert significant_gaps({}, 0.02) == []


def test_below_chance_counts_as_chance():
    labels = np.arange(400) % 2
    noise = np.random.default_rng(0).normal(size=400)
    knows, inverted = place(labels + noise, labels), place(-2 * labels + noise, labels)
    setup = SimpleNamespace(y_test=labels, resamples=10, seed=0)
    gap = attack_gaps({"linear": {"top": knows}}, {"linear": {"top": inverted}}, None, setup)["linear"]["top"]
    assert inverted.value < 0.1 and gap["value"] == pytest.approx(knows.value - 0.5)
    assert gap["interval"][0] == pytest.approx(knows.figure()["interval"][0] - 0.5)
    gap = attack_gaps({"linear": {"top": inverted}}, {"linear": {"top": inverted}}, None, setup)["linear"]["top"]
    assert gap["value"] == 0 and gap["p"] == 1
    networks = [{"linear": {"top": placed}} for placed in (inverted, place(-labels + noise, labels), knows)]
    gap = attack_gaps(*networks, setup)["linear"]["top"]
    assert gap["value"] == gap["information"] == 0  # neither tells more than nothing


def test_places_with_a_figure_in_one_network_alone_are_named():
    placed = place(np.arange(6.0), np.array([0, 0, 0, 1, 1, 1]))
    own = {"linear": {"top": placed, "low": None}, "kept_labels": {}}
    oracle = {"linear": {"top": placed, "low": None}, "kept_labels": {"linear top": placed}}
    assert one_sided(own, oracle) == [("kept_labels", "linear top")] == one_sided(oracle, own)
    assert one_sided(own, own) == []
    oracle["linear"]["low"] = placed
    assert one_sided(own, oracle)[1] == ("linear", "low")
