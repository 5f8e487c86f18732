"""The three steps on a tiny CelebA subset in one process: `make smoke`, `make smoke CELEBA=DIR` on your own folder."""

import json
import os

import numpy as np
import pytest
import torch
from conftest import STEP_1, STEP_2, STEP_3, erase_with_few_images, run_step

from utils.common.paths import run_name, targets_name
from utils.graph.essential_graph import read_graph
from utils.layouts.attribute_table import AttributeTable
from utils.layouts.celeba import read_attribute_table
from utils.network.checkpoint import load_checkpoint

LIMIT = 64  # images: three quarters train, the others test


def common_attributes(table):
    """Mouth_Slightly_Open and Smiling, which are common enough to be among any 64 faces; of a folder without them the
    first two columns that some of the training and of the test images have, and some have not."""
    usual = ("Mouth_Slightly_Open", "Smiling")
    if set(usual) <= set(table.names):
        return usual
    labels, cut = table.labels[:LIMIT], min(LIMIT, len(table.labels)) * 3 // 4
    parts = (labels[:cut], labels[cut:])
    found = [name for k, name in enumerate(table.names) if all(0 < part[:, k].sum() < len(part) for part in parts)]
    if len(found) < 2:
        pytest.fail(f"the first {LIMIT} images of {table.source} show no two attributes in both parts", pytrace=False)
    return tuple(found[:2])


@pytest.fixture(scope="module")
def celeba(tmp_path_factory):
    """The user's folder of CelebA if one is named, else 64 drawn faces in its layout."""
    if os.environ.get("CELEBA"):
        return os.path.abspath(os.environ["CELEBA"])
    from data.make_synthetic_celeba import make_dataset

    return make_dataset(tmp_path_factory.mktemp("smoke") / "faces", 64, seed=0, workers=1, progress=False)


@pytest.fixture(scope="module")
def task(celeba):
    return common_attributes(read_attribute_table(celeba))


@pytest.fixture(scope="module")
def folder(celeba, task, tmp_path_factory):
    """A folder in which the three steps have run, the third with both methods."""
    folder = tmp_path_factory.mktemp("run")
    shared = ["--task", *task, "--data_path", celeba, "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        erase_with_few_images(patch)
        run_step(STEP_1, *shared, "--limit", LIMIT, "--img_size", 32, "--epoch", 1, "--batch_size", 16)
        run_step(STEP_2, *shared, "--num_images", 4)
        run_step(STEP_3, *shared)
        run_step(STEP_3, *shared, "--method", "erase")
    return folder


def test_step_1_trains_a_head_an_attribute(folder, task):
    original = load_checkpoint(folder / "checkpoints" / run_name(task) / "original.pth")
    assert original.attributes == task and original.epoch == 1 and original.arguments["limit"] == LIMIT


def test_step_2_marks_channels_that_only_the_target_needs(folder, task):
    graph = read_graph(folder / "graphs" / run_name(task) / f"{targets_name(task[:1])}.json")
    assert graph.forgotten == task[:1] and len(graph.layers) == 5
    for layer, channels in graph.prune.items():
        target, kept = (set(graph.essential[layer][name]) for name in task)
        assert set(channels) == target - kept


def test_step_3_prunes_those_channels_and_nothing_else(folder, task):
    graph = read_graph(folder / "graphs" / run_name(task) / f"{targets_name(task[:1])}.json")
    original = load_checkpoint(folder / "checkpoints" / run_name(task) / "original.pth").state_dict
    pruned = load_checkpoint(
        folder / "checkpoints" / run_name(task) / f"pruned_{targets_name(task[:1])}.pth"
    ).state_dict
    for layer, channels in graph.prune.items():
        kept = [channel for channel in range(graph.layers[layer]) if channel not in channels]
        assert not pruned[f"{layer}.weight"][channels].any()
        assert torch.equal(pruned[f"{layer}.weight"][kept], original[f"{layer}.weight"][kept])
    assert torch.equal(pruned["conv1.weight"], original["conv1.weight"])


def test_erasing_makes_the_head_say_nothing(folder, task):
    lines = [json.loads(line) for line in (folder / "results" / "results.jsonl").read_text().splitlines()]
    assert [line["method"] for line in lines] == ["prune", "erase"]
    assert lines[1]["heads"][task[0]]["after"]["auc"] == 0.5
    assert (folder / "checkpoints" / run_name(task) / f"erased_{targets_name(task[:1])}.pth").is_file()


def test_a_folder_of_ones_own_attributes_is_smoked_by_its_first_that_are_common_enough():
    labels = np.zeros((80, 5), np.uint8)
    labels[::2, 1] = labels[1::2, 3] = labels[70:, 2] = labels[:10, 4] = 1
    table = AttributeTable(np.array([f"{n}.jpg" for n in range(80)]), ("a", "b", "c", "d", "e"), labels)
    assert common_attributes(table) == ("b", "d")
    with pytest.raises(pytest.fail.Exception, match="no two attributes"):
        common_attributes(AttributeTable(table.image_ids, ("a", "b"), labels[:, :2]))
