"""The benchmark of several processes: what a turn does, and how two sides are compared."""

import numpy as np
import pytest
import torch

from benchmarks.processes import compare, do_works
from utils.datasets.dataset import open_dataset


def test_a_turn_does_the_three_works(tiny_celeba):
    data = open_dataset(tiny_celeba, ["Bald", "Eyeglasses"], img_size=16, limit=40, cache_path=None)
    seconds, given = do_works(data, torch.device("cpu"), "resnet18", 15, "off", 1, 0)
    assert set(seconds) == {"scores of step 2", "features of an audit", "epoch of step 1"}
    assert len(given["losses"]) == 1 and given["features"].shape == (40, 64 + 128 + 256 + 512 + 512 + 2)
    assert np.isfinite(given["scores"]).all()


def test_sides_are_compared_by_medians_and_by_the_largest_difference():
    one = [({"epoch": took}, {"losses": np.array([1.0, 2.0])}) for took in (4.0, 6.0, 50.0)]
    several = [({"epoch": took}, {"losses": np.array([1.0, 1.5])}) for took in (3.0, 2.0, 1.0)]
    line = compare({"one": one, "several": several})
    assert line["one_seconds"] == {"epoch": [4.0, 6.0, 50.0]} and line["speed"] == {"epoch": pytest.approx(3.0)}
    assert line["differences"] == {"losses": 0.5}
