import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.graph.selection import (
    choose_nodes,
    control_channels,
    essential_channels,
    essential_sets,
    nodes_to_prune,
    released_nodes_to_prune,
    votes,
)


def test_the_largest_signed_scores_are_essential():
    assert essential_channels(torch.tensor([0.1, -9.0, 0.3, 0.2]), 0.5) == [2, 3]


def test_ties_still_give_exactly_k_and_the_lower_index():
    assert essential_channels(torch.zeros(10), 0.3) == [0, 1, 2]


def test_released_ties_collapse_into_the_first_position():
    assert essential_channels(torch.tensor([0.0, 5.0, 0.0, 0.0]), 0.75, collapse_ties=True) == [0, 1]


def test_at_least_one_channel_is_essential():
    assert essential_channels(torch.tensor([1.0, 2.0, 3.0]), 0.1) == [2]


def test_a_whole_number_product_is_not_lost_to_rounding():
    assert len(essential_channels(torch.arange(100.0), 0.29)) == 29  # 100 * 0.29 is 28.999… in floating point


@pytest.mark.parametrize("proportion", [0.0, -0.1, 1.01])
def test_a_proportion_outside_its_range_is_refused(proportion):
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        essential_channels(torch.ones(3), proportion)


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=60), st.floats(0.01, 1))
def test_essential_channels_are_k_distinct_ones_that_none_outside_beats(scores, proportion):
    chosen = essential_channels(torch.tensor(scores), proportion)
    assert len(set(chosen)) == len(chosen) == max(1, int(len(scores) * proportion + 1e-9))
    outside = [score for channel, score in enumerate(scores) if channel not in chosen]
    assert not outside or min(scores[channel] for channel in chosen) >= max(outside)


def test_votes_count_k_for_the_target_and_minus_one_for_each_kept():
    essential = {"t": [0, 1], "a": [1, 2], "b": [1]}
    assert votes(essential, 4, ["t"]) == [3, 1, -1, 0]


sets = st.frozensets(st.integers(0, 15), max_size=8).map(sorted)


@given(st.lists(sets, min_size=2, max_size=5))
def test_with_one_target_the_released_rule_is_the_balanced_one(channel_sets):
    essential = {str(i): channels for i, channels in enumerate(channel_sets)}
    tally = votes(essential, 16, ["0"])
    assert released_nodes_to_prune(tally, len(essential)) == nodes_to_prune(essential, ["0"])


def test_with_two_targets_the_released_rule_prunes_what_a_kept_attribute_needs():
    essential = {"t": [0], "u": [0], "a": [0]}
    assert nodes_to_prune(essential, ["t", "u"]) == []
    assert released_nodes_to_prune(votes(essential, 1, ["t", "u"]), 3) == [0]  # 3 + 3 - 1 = 5 > 2


def test_without_balance_all_that_the_target_needs_goes():
    assert nodes_to_prune({"t": [0, 1], "a": [1]}, ["t"], balance=False) == [0, 1]


def test_essential_sets_are_per_layer_and_attribute():
    found = essential_sets({"x": torch.tensor([[1.0, 2.0], [2.0, 1.0]])}, ["a", "b"], 0.5)
    assert found == {"x": {"a": [1], "b": [0]}}


def test_controls_choose_as_many_channels_without_the_graph():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([3.0, -1.0, 2.0, -6.0, 5.0, 4.0]).view(6, 1, 1, 1))
    scores = {"0": torch.tensor([5.0, 4.0, -3.0, 2.0, -1.0, 0.0])}
    assert control_channels("lowest", {"0": 2}, model, scores, 0) == {"0": [2, 4]}
    assert control_channels("magnitude", {"0": 2}, model, scores, 0) == {"0": [1, 2]}
    chosen = control_channels("random", {"0": 3}, model, scores, 0)
    assert chosen == control_channels("random", {"0": 3}, model, scores, 0) and len(set(chosen["0"])) == 3
    with pytest.raises(ValueError, match="unknown control 'best'"):
        control_channels("best", {"0": 1}, model, scores, 0)


@pytest.mark.parametrize(("balance", "count"), [(True, 1), (False, 2)])
def test_a_control_takes_as_many_channels_as_the_graph_beside_it(balance, count):
    essential = {"0": {"Bald": [0, 1], "Smiling": [1, 2]}}  # channel 1 is essential to both: balanced away
    scores = {"0": torch.tensor([[5.0, 4.0, 0.0, 1.0], [0.0, 4.0, 5.0, 1.0]])}
    chosen = choose_nodes("lowest", essential, scores, ["Bald"], None, balance=balance)
    assert len(chosen["0"]) == count
