"""An erasure that is confined to the target's part of the essential graph."""

import pytest
import torch
from conftest import STEP_1, STEP_2, STEP_3, run_step

from utils.checkpoint import load_checkpoint
from utils.erasure_scope import editable_connections
from utils.errors import InputError
from utils.essential_graph import EssentialGraph, read_graph

SITES = {"b": (4, 3), "c": (2, 4), "d": (2, 2)}


def graph():
    """a -> b -> c; d is not scored. Bald needs a0, b1, b3, c0."""
    essential = {
        "a": {"Bald": [0], "Young": [1]},
        "b": {"Bald": [1, 3], "Young": [2]},
        "c": {"Bald": [0], "Young": [0]},
    }
    edges = [
        {"source": "a", "target": "b", "attribute": "Bald", "connections": [[0, 1, 0.5], [0, 3, 0.1]]},
        {"source": "b", "target": "c", "attribute": "Bald", "connections": [[3, 0, 0.2]]},
        {"source": "b", "target": "c", "attribute": "Young", "connections": [[2, 0, 0.2]]},
    ]
    prune = {"a": [0], "b": [1, 3], "c": []}
    return EssentialGraph(("Bald", "Young"), ("Bald",), {"a": 3, "b": 4, "c": 2}, {}, essential, prune, edges)


def test_channels_are_the_targets_with_all_that_leads_into_them():
    allowed = editable_connections(graph(), SITES, "channel")
    assert {name: mask.nonzero()[:, 0].unique().tolist() for name, mask in allowed.items()} == {
        "b": [1, 3],
        "c": [0],
        "d": [],
    }
    assert allowed["b"][1].all() and allowed["c"].shape == (2, 4)


def test_connections_are_the_targets_edges():
    allowed = editable_connections(graph(), SITES, "connection")
    found = {name: mask.nonzero().tolist() for name, mask in allowed.items()}
    assert found == {"b": [[1, 0], [3, 0]], "c": [[0, 3]], "d": []}


def test_a_graph_that_leaves_nothing_says_which_one_to_make():
    with pytest.raises(InputError, match="make one in step 2 with --layers d, and the convolutions before"):
        editable_connections(graph(), {"d": (2, 2)}, "connection")


def test_step_3_edits_only_what_the_graph_names(tiny_celeba, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shared = ["--task", "Bald", "Eyeglasses", "--data_path", tiny_celeba, "--device", "cpu"]
    run_step(STEP_1, *shared, "--epoch", 1, "--batch_size", 30, "--img_size", 32)
    run_step(STEP_2, *shared, "--target", "Bald", "--layers", "layer4.0.conv1", "layer4.0.conv2", "--proportion", 0.1)
    folder = tmp_path / "checkpoints" / "Bald_Eyeglasses"
    essential = read_graph(tmp_path / "graphs" / "Bald_Eyeglasses" / "Bald.json").essential
    before = load_checkpoint(folder / "original.pth").state_dict
    erase = [STEP_3, *shared, "--target", "Bald", "--method", "erase"]
    for granularity in ("channel", "connection"):
        run_step(*erase, "--granularity", granularity)
        after = load_checkpoint(folder / "unlearned_Bald.pth").state_dict
        moved = {name for name, value in after.items() if value.dim() == 4 and not torch.equal(value, before[name])}
        assert moved == {"layer4.0.conv2.weight"}
        changed = (after["layer4.0.conv2.weight"] != before["layer4.0.conv2.weight"]).flatten(2).any(2)
        assert changed.any(1).nonzero().flatten().tolist() == essential["layer4.0.conv2"]["Bald"]
        if granularity == "connection":
            assert changed.any(0).nonzero().flatten().tolist() == essential["layer4.0.conv1"]["Bald"]
        assert f"only {granularity}s of the graph" in capsys.readouterr().out
    with pytest.raises(InputError, match="--granularity is for --method erase"):
        run_step(*erase, "--granularity", "channel", "--frontier")
