"""Which images step 2 shows."""

import numpy as np
import pytest

from utils.report.graph_report import rows_to_show


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
