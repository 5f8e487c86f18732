"""Labels of the generated faces: rates hold, the correlation knob works, what excludes another never meets it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.synthetic.faces.attributes import ATTRIBUTES, DRAWING_ORDER, EXCLUSIONS, MODEL, check_rates, draw_labels
from utils.layouts.celeba import ATTRIBUTES as OFFICIAL


def column(labels, name):
    return labels[:, ATTRIBUTES.index(name)].astype(bool)


def association(labels, first, second):
    return np.corrcoef(column(labels, first), column(labels, second))[0, 1]


@pytest.fixture(scope="module")
def many_labels():
    return {correlation: draw_labels(12_000, seed=1, correlation=correlation) for correlation in (0.0, 1.0)}


def test_attribute_names_are_celebas_in_its_order():
    assert ATTRIBUTES == tuple(OFFICIAL) and len(ATTRIBUTES) == 40


def test_base_rates_hold_at_both_ends_of_the_correlation(many_labels):
    for labels in many_labels.values():
        for name, (rate, _) in MODEL.items():
            assert abs(column(labels, name).mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / len(labels)), name


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_rates_that_are_named_hold(correlation):
    rates = {"Bald": 0.2, "Smiling": 0.4, "Goatee": 0.3, "Wearing_Hat": 0.3}
    labels = draw_labels(8000, seed=5, correlation=correlation, rates=rates)
    for name, rate in rates.items():
        assert abs(column(labels, name).mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / 8000), name


@settings(max_examples=5, deadline=None)
@given(st.sampled_from(ATTRIBUTES), st.floats(0.02, 0.98), st.floats(0, 1))
def test_any_single_rate_holds_and_nothing_meets_what_it_excludes(name, rate, correlation):
    labels = draw_labels(2000, seed=6, correlation=correlation, rates={name: rate})
    assert abs(column(labels, name).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / 2000)
    assert not any((column(labels, first) & column(labels, second)).any() for first, second in EXCLUSIONS)


def test_what_cannot_be_seen_together_never_meets(many_labels):
    for labels in many_labels.values():
        beards = column(labels, "Goatee") | column(labels, "Mustache") | column(labels, "5_o_Clock_Shadow")
        assert beards.any() and not (beards & column(labels, "No_Beard")).any()
        colours = sum(column(labels, name).astype(int) for name in MODEL if name.endswith("_Hair") and name[0] in "BG")
        assert colours.max() == 1 and colours[column(labels, "Bald")].max() == 0
        assert not (column(labels, "Bald") & column(labels, "Wearing_Hat")).any()


def test_correlation_ties_attributes_as_celeba_does_and_zero_unties_them(many_labels):
    loose, tied = many_labels[0.0], many_labels[1.0]
    noise = 4 / np.sqrt(len(loose))  # the standard deviation of a correlation of independent columns is 1 / sqrt(n)
    for first, second in (("Bald", "Male"), ("Bald", "Young"), ("Smiling", "High_Cheekbones"), ("Goatee", "Male")):
        assert abs(association(loose, first, second)) < noise
        assert abs(association(tied, first, second)) > 2 * noise
    for name in ("Bald", "Goatee", "Mustache"):
        assert column(tied, "Male")[column(tied, name)].mean() > 0.99
    assert association(tied, "Smiling", "Mouth_Slightly_Open") > 0.4
    assert association(tied, "Heavy_Makeup", "Wearing_Lipstick") > 0.7
    assert association(tied, "Heavy_Makeup", "Male") < -0.5


def test_every_influence_is_drawn_before_what_it_influences():
    assert sorted(DRAWING_ORDER) == sorted(ATTRIBUTES)
    for name, (_, weights) in MODEL.items():
        assert all(DRAWING_ORDER.index(other) < DRAWING_ORDER.index(name) for other in weights)
    assert len(EXCLUSIONS) == len({frozenset(pair) for pair in EXCLUSIONS})  # each pair once


def test_attributes_that_are_not_named_give_way():
    settled = check_rates({"Goatee": 0.4})
    assert settled["Goatee"] == 0.4 and settled["No_Beard"] == pytest.approx(0.98 * 0.6)
    assert check_rates(None) == {name: rate for name, (rate, _) in MODEL.items()}
