"""What an unlearning may overwrite, and what step 2 may."""

import re
from types import SimpleNamespace

import pytest
import torch
from plain_faces import plain_net

from models import build_model
from utils.common.errors import InputError
from utils.graph.essential_graph import EssentialGraph
from utils.network.checkpoint import Checkpoint, save_checkpoint
from utils.report.graph_report import check_graph_outputs
from utils.report.outputs import steps_to_come, unlearned_outputs

OLD, NEW = "a" * 64, "b" * 64


def task(folder, parent):
    """A task on a network with the checksum `parent` whose files lie in `folder`."""
    return SimpleNamespace(
        network=SimpleNamespace(sha256=parent, path="network.pth", model=plain_net()),
        forgotten=["t"],
        graph_file=folder / "graphs" / "t.json",
        unlearned_file=lambda method: folder / "unlearned.pth",
        results_folder=lambda results, method=None: folder / "pictures",
    )


def flags(folder, **changes):
    """Flags of steps 2 and 3 that their outputs depend on."""
    given = {"method": "erase", "evaluate_only": False, "audit": None, "weights": None, "released_txt": False}
    given |= {"show_cams": None, "importance_curve": False, "report": None, "results": str(folder / "results.jsonl")}
    return given | {"save_path": str(folder), "graphs": str(folder)} | changes


def unlearned(folder, parent, before=None, epoch=3):
    """Write what an unlearning of a network with the checksum `parent` left."""
    made = {"rule": "erase", "strength": 1.0, "before": before}
    parts = {"arguments": {"unlearning": made}, "parent_sha256": parent, "epoch": epoch, "kind": "unlearned"}
    save_checkpoint(folder / "unlearned.pth", Checkpoint({"w": torch.zeros(2)}, "resnet18", ("t", "a"), 32, **parts))


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ({"parent": OLD}, {"weights": "erased_a.pth"}),
        ({"parent": OLD, "before": {"rule": "erase"}}, {}),
        ({"parent": OLD, "epoch": None}, {}),
        ({"parent": OLD, "epoch": None}, {"weights": "own.pth"}),
    ],
    ids=["of the original", "of an unlearned network", "of one's own weights", "of other weights"],
)
def test_what_another_network_gave_is_not_overwritten(tmp_path, made, asked):
    unlearned(tmp_path, **made)
    before = (tmp_path / "unlearned.pth").read_bytes()
    with pytest.raises(
        InputError, match="holds what another network gave, aaaaaaaaaaaa…, not network.pth .*--run_name"
    ):
        unlearned_outputs(task(tmp_path, NEW), flags(tmp_path, **asked))
    assert (tmp_path / "unlearned.pth").read_bytes() == before
    unlearned_outputs(task(tmp_path, NEW), flags(tmp_path, **asked, evaluate_only=True))  # nothing is written


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ({"parent": NEW}, {}),
        ({"parent": NEW, "before": {"rule": "erase"}}, {"weights": "erased_a.pth"}),
        ({"parent": OLD}, {}),
    ],
    ids=["the same again", "the same weights again", "a run that was trained again"],
)
def test_the_same_again_and_a_run_that_was_trained_again_are_written(tmp_path, made, asked):
    unlearned(tmp_path, **made)
    assert unlearned_outputs(task(tmp_path, NEW), flags(tmp_path, **asked))[0] == tmp_path / "unlearned.pth"


def test_a_damaged_checkpoint_is_overwritten(tmp_path):
    (tmp_path / "unlearned.pth").write_bytes(b"half of it")
    unlearned_outputs(task(tmp_path, NEW), flags(tmp_path, weights="own.pth"))


def test_a_graph_of_another_network_is_not_overwritten_by_one_of_weights(tmp_path):
    graph = EssentialGraph(
        ("t", "a"), ("t",), {"x": 2}, {}, {"x": {"t": [0], "a": []}}, {"x": [0]}, [], made_by={"parent_sha256": OLD}
    )
    (tmp_path / "graphs").mkdir()
    (tmp_path / "graphs" / "t.json").write_text(graph.to_json())
    with pytest.raises(InputError, match="t.json is the graph of another network than network.pth: pass --run_name"):
        check_graph_outputs(task(tmp_path, NEW), flags(tmp_path, weights="own.pth"))
    check_graph_outputs(task(tmp_path, OLD), flags(tmp_path, weights="own.pth"))
    check_graph_outputs(task(tmp_path, NEW), flags(tmp_path))
    (tmp_path / "graphs" / "t.json").write_text("{")
    check_graph_outputs(task(tmp_path, NEW), flags(tmp_path, weights="own.pth"))


def test_step_3_does_not_append_its_line_to_the_graph_that_it_prunes_by(tmp_path):
    graph = tmp_path / "graphs" / "t.json"
    graph.parent.mkdir()
    graph.write_text('{"format":1,\n')
    with pytest.raises(InputError, match="is read .--graph"):
        unlearned_outputs(task(tmp_path, OLD), flags(tmp_path, method="prune", results=str(graph)))


def built_without_values(name):
    with torch.device("meta"):
        return build_model(name, ("t", "a"))


def test_a_network_that_cannot_be_erased_is_refused_before_any_image_is_opened(tmp_path):
    one = task(tmp_path, NEW)
    one.network.model = built_without_values("swin_t")
    with pytest.raises(InputError, match="this SwinTransformer has no convolution that can be edited"):
        unlearned_outputs(one, flags(tmp_path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet18", r"can prune 5 layers and erase$"),
        ("alexnet", r"can erase; cannot prune 5 layers: .* use --layers 4$"),
        ("convnext_tiny", r"can prune 5 layers; cannot erase: this ConvNeXt .*: use --method prune$"),
        ("swin_t", r"cannot prune 5 layers: nothing in this network .*; cannot erase: this Swin"),
    ],
)
def test_step_1_says_what_the_others_can_do_with_a_network(name, said):
    assert re.match("steps 2 and 3 " + said, steps_to_come(built_without_values(name)))
