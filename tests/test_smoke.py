"""The three steps on a tiny CelebA subset in one process: `make smoke`, `make smoke CELEBA=DIR` on your own folder."""

import json
import os

import pytest
import torch
from conftest import STEP_1, STEP_2, STEP_3, erase_with_few_images, run_step

from utils.graph.essential_graph import read_graph
from utils.network.checkpoint import load_checkpoint

TASK = ("Mouth_Slightly_Open", "Smiling")  # common enough to be among any 64 faces
RUN = "_".join(TASK)


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    """The user's folder of CelebA if one is named, else 64 drawn faces in its layout."""
    if os.environ.get("CELEBA"):
        return os.path.abspath(os.environ["CELEBA"])
    from data.make_synthetic_celeba import make_dataset

    return make_dataset(tmp_path_factory.mktemp("smoke") / "faces", 64, seed=0, workers=1, progress=False)


@pytest.fixture(scope="module")
def folder(celeba, tmp_path_factory):
    """A folder in which the three steps have run, the third with both methods."""
    folder = tmp_path_factory.mktemp("run")
    shared = ["--task", *TASK, "--data_path", celeba, "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        erase_with_few_images(patch)
        run_step(STEP_1, *shared, "--limit", 64, "--img_size", 32, "--epoch", 1, "--batch_size", 16)
        run_step(STEP_2, *shared, "--num_images", 4)
        run_step(STEP_3, *shared)
        run_step(STEP_3, *shared, "--method", "erase")
    return folder


def test_step_1_trains_a_head_an_attribute(folder):
    original = load_checkpoint(folder / "checkpoints" / RUN / "original.pth")
    assert original.attributes == TASK and original.epoch == 1 and original.arguments["limit"] == 64


def test_step_2_marks_channels_that_only_the_target_needs(folder):
    graph = read_graph(folder / "graphs" / RUN / f"{TASK[0]}.json")
    assert graph.forgotten == TASK[:1] and len(graph.layers) == 5
    for layer, channels in graph.prune.items():
        target, kept = (set(graph.essential[layer][name]) for name in TASK)
        assert set(channels) == target - kept


def test_step_3_prunes_those_channels_and_nothing_else(folder):
    graph = read_graph(folder / "graphs" / RUN / f"{TASK[0]}.json")
    original = load_checkpoint(folder / "checkpoints" / RUN / "original.pth").state_dict
    pruned = load_checkpoint(folder / "checkpoints" / RUN / f"pruned_{TASK[0]}.pth").state_dict
    for layer, channels in graph.prune.items():
        kept = [channel for channel in range(graph.layers[layer]) if channel not in channels]
        assert not pruned[f"{layer}.weight"][channels].any()
        assert torch.equal(pruned[f"{layer}.weight"][kept], original[f"{layer}.weight"][kept])
    assert torch.equal(pruned["conv1.weight"], original["conv1.weight"])


def test_erasing_makes_the_head_say_nothing(folder):
    lines = [json.loads(line) for line in (folder / "results" / "results.jsonl").read_text().splitlines()]
    assert [line["method"] for line in lines] == ["prune", "erase"]
    assert lines[1]["heads"][TASK[0]]["after"]["auc"] == 0.5
    assert (folder / "checkpoints" / RUN / f"erased_{TASK[0]}.pth").is_file()
