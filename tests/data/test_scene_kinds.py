"""Which kinds a scene holds: rates and what comes together hold exactly, five kinds at most, in every draw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.synthetic.scenes.kinds import KINDS, RATES, draw_labels, share_sets
from utils.common.errors import InputError

SETS = np.arange(1024)[:, None] >> np.arange(10) & 1
PERSON, DOG, CAT = (KINDS.index(kind) for kind in ("person", "dog", "cat"))


def test_rates_hold_exactly_and_no_set_has_more_than_five_kinds():
    chances = share_sets()
    np.testing.assert_allclose(chances @ SETS, list(RATES.values()), atol=1e-12)
    assert chances.min() >= 0 and chances.sum() == pytest.approx(1) and chances[SETS.sum(axis=1) > 5].sum() == 0


def test_what_comes_together_does_so_in_that_share_and_rates_stay():
    # P(both) = 0.5 * 0.6 = 0.3, P(dog alone) = 0.4 - 0.3 = 0.1, P(neither) = 1 - 0.5 - 0.1 = 0.4
    chances = share_sets({"person": 0.5, "dog": 0.4}, {("person", "dog"): 0.6})
    both, alone = SETS[:, PERSON] & SETS[:, DOG], SETS[:, DOG] & ~SETS[:, PERSON]
    assert chances @ both == pytest.approx(0.3) and chances @ alone == pytest.approx(0.1)
    assert chances @ (1 - (SETS[:, PERSON] | SETS[:, DOG])) == pytest.approx(0.4)


def test_a_chain_of_kinds_is_worked_out_from_its_start():
    chances = share_sets({"cat": 0.5, "dog": 0.4, "person": 0.3}, {("dog", "person"): 0.7, ("cat", "dog"): 0.2})
    assert chances @ (SETS[:, CAT] & SETS[:, DOG]) == pytest.approx(0.5 * 0.2)
    assert chances @ (SETS[:, DOG] & SETS[:, PERSON]) == pytest.approx(0.4 * 0.7)
    np.testing.assert_allclose((chances @ SETS)[[CAT, DOG, PERSON]], [0.5, 0.4, 0.3])


def test_drawn_labels_follow_the_shares():
    labels = draw_labels(4000, seed=3, rates={"person": 0.4}, together={("person", "dog"): 0.6})
    person, dog = labels[:, PERSON] == 1, labels[:, DOG] == 1
    for found, share, count in ((person, 0.4, 4000), (dog, 0.25, 4000), (dog[person], 0.6, person.sum())):
        assert abs(found.mean() - share) < 4 * np.sqrt(share * (1 - share) / count)
    assert labels.sum(axis=1).max() <= 5


def test_the_labels_of_a_scene_do_not_hang_on_how_many_are_drawn():
    np.testing.assert_array_equal(draw_labels(5, seed=1), draw_labels(50, seed=1)[:5])
    assert (draw_labels(50, seed=2) != draw_labels(50, seed=1)).any()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.01, 0.99), min_size=10, max_size=10), st.floats(0, 1))
def test_any_rates_hold_or_are_refused(rates, share):
    rates = dict(zip(KINDS, rates, strict=True))
    try:
        chances = share_sets(rates, {("tree", "house"): share})
    except InputError:
        return
    np.testing.assert_allclose(chances @ SETS, list(rates.values()), atol=1e-9)
    assert chances.min() > -1e-9


@pytest.mark.parametrize(
    ("rates", "together", "text"),
    [
        ({"persn": 0.2}, {}, "no kind 'persn': did you mean person"),
        ({}, {("person", "zebra"): 0.2}, "no kind 'zebra': choose from person, dog"),
        ({"dog": 1.0}, {}, r"rate dog=1\.0: expected a share"),
        ({"dog": float("nan")}, {}, "rate dog=nan"),
        # a dog in 0.9 of 0.35 of the scenes is more than the dogs' 0.25: at most 0.25 / 0.35 = 0.714
        ({}, {("person", "dog"): 0.9}, r"person=dog:0\.9: with person=0\.35 and dog=0\.25 it lies from 0 to 0\.714"),
        # 0.8 + 0.7 - 1 = 0.5 of the scenes have both at least, 0.625 of those with a person
        ({"person": 0.8, "dog": 0.7}, {("person", "dog"): 0.1}, "from 0.625 to 0.875"),
        ({}, {("dog", "dog"): 0.5}, "a kind with itself"),
        ({}, {("cat", "dog"): 0.5, ("car", "dog"): 0.5}, "dog already hangs on cat"),
        ({}, {("cat", "dog"): 0.5, ("dog", "cat"): 0.5}, "goes in a circle"),
        (dict.fromkeys(KINDS, 0.9), {}, "5 kinds fill one: lower a --rate"),
    ],
)
def test_shares_that_make_no_sense_are_refused_in_a_line(rates, together, text):
    with pytest.raises(InputError, match=text) as raised:
        share_sets(rates, together)
    assert "\n" not in str(raised.value)
