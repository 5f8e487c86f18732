"""The verdict: which word the figures give, and in which order the rules count."""

import re

import pytest
from conftest import ROOT
from scipy.stats import norm

from utils.audit.verdict import (
    NEXT_STEPS,
    UNTRAINED_ERASED,
    WORDS,
    Verdict,
    above,
    decide,
    knows_target,
    rate_figure,
)


def figure(value, half=0.02):
    return {"value": value, "interval": [value - half, value + half], "n": 1500, "n_positive": 300}


def rates(after, before=0.98, n=200):
    return [{"name": "true-positive rate on all-positive images", "before": before, "after": after, "n": n}]


def gap_figure(value, half=0.01):
    """A gap with the p value that belongs to its interval."""
    return figure(value, half) | {"p": float(norm.sf(value / (half / 1.96)))}


def readouts(auc=0.5, after=0.5, gap=0.0, kept=None, **changes):
    """Figures of an erased network, changed where a test says so."""
    return {
        "target": "Bald",
        "auc": figure(auc),
        "rates": rates(after),
        "attacks": {"linear": {"layer1": figure(0.7), "layer4": figure(0.85 + gap)}},
        "gaps": {"linear": {"layer1": gap_figure(-0.01), "layer4": gap_figure(gap)}},
        "other_gaps": {},
        "reference": "oracle",
        "kept": {"Smiling": kept or {"auc": figure(0.0, 0.002), "accuracy": figure(0.001, 0.003)}},
    } | changes


def loss(auc=0.0, accuracy=0.0, half=0.001):
    return {"auc": figure(-auc, half), "accuracy": figure(-accuracy, half)}


def test_an_attack_that_was_measured_on_one_of_two_networks_lets_nothing_pass():
    missing = [("kept_labels", "linear layer4")]
    verdict = decide(**readouts(one_sided=missing))
    assert verdict.word == "UNDECIDED" and "kept_labels at linear layer4" in verdict.reason
    assert decide(**readouts(one_sided=missing, gap=0.1)).word == "SILENCED"
    assert decide(**readouts(one_sided=missing, kept=loss(auc=0.2))).word == "DAMAGED"  # ruined is said first


def test_chance_with_probes_at_the_oracle_and_kept_heads_is_erased():
    verdict = decide(**readouts())
    assert verdict.word == "ERASED" and verdict.qualifier == ""
    assert decide(**readouts(auc=0.55)).word == decide(**readouts(auc=0.45)).word == "ERASED"


def test_an_inverted_head_is_not_called_forgotten():
    verdict = decide(**readouts(auc=0.02, after=0.0))
    assert verdict.word == "INVERTED" and "0.020" in verdict.reason
    assert decide(**readouts(auc=0.449)).word == "INVERTED"


def test_a_head_pushed_under_its_threshold_is_silenced_and_stage_and_figure_are_named():
    verdict = decide(**readouts(auc=0.999, after=0.0, gap=0.14))
    assert verdict.word == "SILENCED"
    assert "layer4 0.990" in verdict.reason and "0.999" in verdict.reason and "0.0%" in verdict.reason


def test_a_head_that_still_ranks_and_fires_is_not_forgotten():
    assert decide(**readouts(auc=0.97, after=0.7, gap=0.1)).word == "NOT FORGOTTEN"
    assert decide(**readouts(auc=0.56, after=0.06)).word == "NOT FORGOTTEN"


def test_a_rate_that_was_low_before_is_no_silence():
    assert decide(**readouts(auc=0.9, rates=rates(0.0, before=0.03))).word == "NOT FORGOTTEN"
    assert decide(**readouts(auc=0.9, rates=rates(0.0, before=None))).word == "SILENCED"


def test_a_head_at_chance_over_a_probe_above_the_reference_is_silenced():
    verdict = decide(**readouts(gap=0.021))
    assert verdict.word == "SILENCED" and "layer4" in verdict.reason and "+0.021" in verdict.reason
    assert decide(**readouts(gap=0.019)).word == "ERASED"


def test_a_kept_head_that_lost_too_much_is_damage_and_is_named():
    verdict = decide(**readouts(kept=loss(accuracy=0.008)))
    assert verdict.word == "DAMAGED" and "Smiling 0.8 points of accuracy" in verdict.reason
    verdict = decide(**readouts(kept=loss(auc=0.006)))
    assert verdict.word == "DAMAGED" and "Smiling 0.006 of AUC" in verdict.reason
    assert decide(**readouts(kept=loss(auc=0.004, accuracy=0.004))).word == "ERASED"


def test_a_loss_within_its_own_interval_is_no_damage():
    assert decide(**readouts(kept=loss(auc=0.02, half=0.03))).word == "ERASED"


def test_a_ruined_net_is_damaged_whatever_its_head_says():
    for auc in (0.1, 0.5, 0.9):
        verdict = decide(**readouts(auc=auc, gap=0.1, kept=loss(auc=0.4, half=0.03)))
        assert verdict.word == "DAMAGED" and "0.400 of AUC" in verdict.reason


def test_a_small_loss_beside_an_unforgotten_head_is_named_but_does_not_change_the_word():
    verdict = decide(**readouts(auc=0.97, after=0.7, kept=loss(accuracy=0.01)))
    assert verdict.word == "NOT FORGOTTEN" and "Smiling 1.0 points" in verdict.reason


def test_without_an_oracle_the_word_is_qualified():
    verdict = decide(**readouts(reference="random"))
    assert (verdict.word, verdict.qualifier) == ("ERASED AS FAR AS AN UNTRAINED NETWORK TELLS", "")
    assert str(verdict).startswith(f"{UNTRAINED_ERASED}: ") and "against the random's" in verdict.reason
    silenced = decide(**readouts(gap=0.05, reference="random"))
    assert silenced.qualifier == "linear at layer4, +0.050, no oracle"
    verdict = decide(**readouts(reference=None, gaps={}))
    assert (verdict.word, verdict.qualifier) == ("UNDECIDED", "no oracle")
    assert decide(**readouts(auc=0.97, reference=None, gaps={})).word == "NOT FORGOTTEN"


def test_29_positives_at_chance_are_undecided():
    assert decide(**(readouts(auc=0.5) | {"auc": figure(0.5, 0.106)})).word == "UNDECIDED"
    assert decide(**(readouts() | {"auc": figure(0.4, 0.106)})).word == "UNDECIDED"


def test_29_positives_decide_where_the_interval_is_clear():
    assert decide(**(readouts(after=0.9) | {"auc": figure(0.8, 0.1)})).word == "NOT FORGOTTEN"
    assert decide(**(readouts() | {"auc": figure(0.2, 0.1)})).word == "INVERTED"


def test_none_of_29_positives_leaves_silence_open():
    assert rate_figure(0.0, 29)["interval"] == pytest.approx([0, 0.117], abs=1e-3)  # Wilson: z^2 / (n + z^2)
    verdict = decide(**readouts(auc=0.96, rates=rates(0.0, n=29)))
    assert verdict.word == "UNDECIDED" and "of only 29 images" in verdict.reason
    assert decide(**readouts(auc=0.96, rates=rates(0.0, n=100))).word == "SILENCED"


def test_one_rate_that_is_clear_is_enough():
    few = rates(0.0, n=11)
    many = [{"name": "true-positive rate", "before": 0.9, "after": 0.01, "n": 300}]
    assert decide(**readouts(auc=0.96, rates=few + many)).word == "SILENCED"


def several(**gaps):
    """Figures in which each attack has one place, `top`: {attack: (gap, half of its interval)}."""
    figures = {name: {"top": gap_figure(*gap)} for name, gap in gaps.items()}
    return readouts(attacks={name: {"top": figure(0.8)} for name in gaps}, gaps=figures)


def test_the_first_attack_in_order_that_tells_names_the_word_where_it_finds_most():
    figures = several(linear=(0.01, 0.01), quadratic=(0.035, 0.01), mlp=(0.09, 0.01))
    figures["gaps"]["quadratic"]["layer1"] = gap_figure(0.03)
    figures["attacks"]["quadratic"]["layer1"] = figure(0.7)
    verdict = decide(**figures)
    assert verdict.word == "SILENCED" and str(verdict).startswith("SILENCED (quadratic at top, +0.035): ")
    assert "so do mlp" in verdict.reason
    assert [(one["attack"], one["place"]) for one in verdict.numbers["found"]] == [
        ("quadratic", "top"),
        ("quadratic", "layer1"),
        ("mlp", "top"),
    ]


def test_what_an_untrained_network_tells_as_well_stands_in_the_reason():
    verdict = decide(**readouts(gap=0.05, untrained={"linear": {"layer4": figure(0.93)}}))
    assert "against the oracle's (untrained: 0.930)" in verdict.reason
    assert "untrained" not in decide(**readouts(gap=0.05, untrained={"mlp": {"layer4": figure(0.93)}})).reason


def test_a_gap_that_is_clear_alone_is_not_among_forty():
    gap = 0.03, 0.03  # p = 0.025 but for rounding
    assert decide(**several(linear=(0.03, 0.0299))).word == "SILENCED"
    many = {f"other_{i}": (0.0, 0.03) for i in range(39)}
    assert decide(**several(linear=gap, **many)).word == "ERASED"
    assert decide(**several(linear=(0.06, 0.03), **many)).word == "SILENCED"  # p = 4e-5, 40 times that is enough


def test_a_gap_above_the_tolerance_is_undecided_only_if_it_is_wide():
    assert decide(**several(linear=(0.03, 0.06))).word == "UNDECIDED"
    assert decide(**several(linear=(0.03, 0.04))).word == "ERASED"
    assert decide(**several(linear=(-0.01, 0.06))).word == "ERASED"
    assert decide(**several(linear=(0.015, 0.4))).word == "UNDECIDED"  # it may be anything
    assert decide(**several(linear=(-0.3, 0.2))).word == "ERASED"
    assert decide(**several(linear=(0.15, 0.06))).word == "SILENCED"
    for value in (0.03, 0.0):
        unclear = readouts(gaps={"linear": {"layer4": figure(value) | {"interval": None, "p": None}}})
        assert decide(**unclear).word == "UNDECIDED"


def test_an_attack_that_could_not_be_fitted_is_passed_over_but_not_if_all_could_not():
    hollow = {"value": None, "interval": None, "p": None}
    gaps = {"linear": {"layer4": gap_figure(0.0)}, "mlp": {"layer4": hollow}}
    assert decide(**readouts(gaps=gaps)).word == "ERASED"
    assert decide(**readouts(gaps={"linear": {"layer4": hollow}})).word == "UNDECIDED"


def test_a_network_that_never_knew_the_target_has_nothing_to_forget():
    verdict = decide(**readouts(known=False))
    assert verdict.word == "UNDECIDED" and "the original does not know Bald: nothing to forget" in verdict.reason
    assert decide(**readouts(known=False, kept=loss(auc=0.4, half=0.03))).word == "DAMAGED"


def test_a_network_knows_what_its_head_ranks_or_an_attack_finds():
    nothing = {"linear": {"top": gap_figure(0.0)}}
    assert not knows_target(figure(0.52), nothing)
    assert knows_target(figure(0.6), nothing) and knows_target(figure(0.3), nothing)
    assert knows_target(figure(0.5), {"linear": {"top": gap_figure(0.1)}})
    assert knows_target(figure(0.52, 0.1), nothing)  # too wide to say that it does not


def test_a_test_split_without_the_target_is_undecided():
    assert decide(**(readouts() | {"auc": {"value": None, "interval": None}})).word == "UNDECIDED"


def test_an_attack_that_does_not_decide_is_named_after_an_erased():
    verdict = decide(**readouts(other_gaps={"mine": {"top": gap_figure(0.06)}, "his": {"top": gap_figure(0.01)}}))
    assert verdict.word == "ERASED" and "mine at top +0.060" in verdict.reason and "his" not in verdict.reason


def test_above_is_unknown_only_for_a_wide_interval_around_the_threshold():
    assert above(figure(0.56, 0.04), 0.55) is True
    assert above(figure(0.54, 0.04), 0.55) is False
    assert above(figure(0.56, 0.06), 0.55) is None
    assert above({"value": 0.5, "interval": None}, 0.4) is True


def test_a_verdict_knows_its_words():
    with pytest.raises(ValueError, match="'PROVEN' is no verdict"):
        Verdict("PROVEN", "")


def test_the_table_of_the_page_has_every_word_with_its_next_step():
    page = (ROOT / "docs" / "AUDIT.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if re.match(r"\| \d", line)]
    assert [row[0] for row in rows] == [str(i + 1) for i in range(len(rows))]
    for _, _, words, step in rows:
        (word,) = [word for word in sorted(WORDS, key=len, reverse=True) if words.startswith(word)][:1]
        assert step == NEXT_STEPS[word]
    assert all(any(row[2].startswith(word) for row in rows) for word in WORDS)
