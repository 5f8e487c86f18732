"""Nodes to prune, read from the released text."""

from types import SimpleNamespace

import pytest

from models import build_model
from utils.common.errors import InputError
from utils.pruning.channels import read_nodes


def test_released_votes_of_another_network_are_refused(tmp_path, capsys):
    network = SimpleNamespace(model=build_model("resnet18", ["a", "b"]), attributes=("a", "b"), name="resnet18")
    task, votes = SimpleNamespace(network=network, forgotten=["a"]), tmp_path / "votes.txt"
    votes.write_text("block6.conv2\t[2, 0]\n")
    with pytest.raises(InputError, match="2 votes for layer block6.conv2, but resnet18 has no such convolution"):
        read_nodes(votes, task)
    votes.write_text("conv1\t[2, 0]\n")
    with pytest.raises(InputError, match="2 votes for layer conv1, but resnet18 has 64 channels there"):
        read_nodes(votes, task)
    votes.write_text(f"conv1\t{[2, 1] + [0] * 62}\n")
    assert read_nodes(votes, task) == {"rule": "released", "pruned": {"conv1": [0]}}
    assert "does not say which network and target its votes are of" in capsys.readouterr().err


def test_a_file_without_votes_is_refused(tmp_path):
    (tmp_path / "votes.txt").write_text("")
    with pytest.raises(InputError, match="holds no votes"):
        read_nodes(tmp_path / "votes.txt", SimpleNamespace(network=None))
