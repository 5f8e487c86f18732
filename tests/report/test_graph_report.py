"""Which images step 2 shows, and what it says of its graph before anything is scored."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from utils.common.errors import InputError
from utils.graph.dataflow import Link
from utils.report.graph_report import check_graph_outputs, expected_bytes, rows_to_show


@pytest.mark.parametrize(
    ("positives", "count", "rows"),
    [
        ([[1, 4], [2, 4], [7, 8]], 3, [1, 2, 7]),
        ([[1, 4], [2, 4], [7, 8]], 2, [1, 2, 7]),  # the third attribute has an image, too
        ([[1, 4], [2, 4], [7, 8]], 1, [1, 2, 7]),
        ([[1, 4], [1, 4], [7, 8]], 2, [1, 7]),
        ([[1, 4], [2, 4], [7, 8]], 6, [1, 2, 4, 7, 8]),
        ([[5, 9], [5], [5]], 1, [5]),
    ],
)
def test_each_attribute_has_an_image_among_those_shown(positives, count, rows):
    assert rows_to_show([np.array(own) for own in positives], count).tolist() == rows


def test_the_size_of_a_graph_is_known_before_scoring():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 1))
    network = SimpleNamespace(model=model, attributes=("Bald", "Male"))
    assert expected_bytes(network, [Link("0", "1")], 0.25) == 2 * 25 * 2 * 3  # heads, bytes, 2 of 8 channels, 3 of 12
    assert expected_bytes(network, [], 0.25) == 0
    assert expected_bytes(network, [Link("0", "1")], 0.01) == 2 * 25  # at least one channel each


@pytest.mark.parametrize(
    ("flags", "said"), [({"no_balance": True}, "--no_balance"), ({"importance": "random"}, "--importance random")]
)
def test_votes_are_not_written_of_what_is_not_chosen_by_them(flags, said):
    given = {"released_txt": True, "no_balance": False, "importance": "gradcam"} | flags
    task = SimpleNamespace(graph_file=Path("graphs/run/Bald.json"))
    with pytest.raises(
        InputError, match=f"--released_txt writes votes, by which {said} does not choose: leave out one of them"
    ):
        check_graph_outputs(task, given)
