"""The benchmarks of loading and training run on tiny inputs and write what they measured."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import run_here, run_step

from benchmarks.loading import step_1_batches
from utils.datasets.augmentation import Augmentation
from utils.datasets.dataset import open_dataset
from utils.network.loading import random_network
from utils.training.loop import fit
from utils.training.recipe import TrainingSettings


def lines_of(file):
    return [json.loads(text) for text in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def loading_file(tiny_celeba, tmp_path_factory):
    file = tmp_path_factory.mktemp("results") / "loading.jsonl"
    run_step("benchmarks.loading", "--data_path", tiny_celeba, "--sizes", 16, 24, "--images", 40, "--repeats", 1,
             "--out", file)  # fmt: skip
    return file


def test_loading_measures_both_sides_and_the_bound(loading_file):
    small, large = lines_of(loading_file)
    assert (small["img_size"], large["img_size"]) == (16, 24) and small["images"] == 40
    for line in (small, large):
        assert {len(line["seconds"][name]) for name in ("plain evaluation", "ours first", "decode only")} == {1}
        assert line["ours"]["first"] == 40 / line["seconds"]["ours first"][0]
        assert len(line["seconds"]["ours training"]) == 2 and line["ours"].keys() == {"first", "later", "training"}


def test_the_training_batches_of_the_loading_benchmark_are_those_that_fit_trains_on(tiny_celeba, monkeypatch):
    data = open_dataset(tiny_celeba, ["Bald"], img_size=16, cache_path=None)
    seen, trained = [], []
    monkeypatch.setattr(
        "utils.training.loop.train_steps",
        lambda network, batches, *_: trained.extend(batches) or (torch.ones(3, dtype=torch.float64), 1),
    )
    model, augment = random_network("resnet18", ["Bald"], 0, "cpu"), Augmentation(degrees=30.0)
    fit(model, data, TrainingSettings(epochs=1), augment=augment)
    seen.extend(step_1_batches(data, data.rows("train"), 0))
    assert len(seen) == len(trained) == 1 and all(map(torch.equal, seen[0], trained[0]))


def test_training_compares_speeds_and_what_was_learnt(tiny_celeba, tmp_path, monkeypatch):
    def run_module(command, *, cwd, **_):
        assert command[:2] == [sys.executable, "-m"]
        return run_here(*command[2:], folder=cwd)

    monkeypatch.setattr("benchmarks.training.subprocess", SimpleNamespace(run=run_module))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "training.jsonl"
    task = ["--task", "Bald", "Eyeglasses", "--data_path", tiny_celeba, "--img_size", 32]
    task += ["--model", "shufflenet_v2_x0_5"]
    run_step("benchmarks.training", *task, "--repeats", 1, "--steps", 1, "--out", file)
    run_step("benchmarks.training", *task, "--repeats", 0, "--epoch", 1, "--auc_seeds", 0, 1, "--out", file)
    speed, auc = lines_of(file)
    assert speed["ratio"] == speed["ours"] / speed["plain"] > 0
    gaps = [abs(sum(one["off"][head] - one["bf16"][head] for one in auc["auc"])) / 2 for head in ("Bald", "Eyeglasses")]
    assert auc["auc_gap"] == pytest.approx(max(gaps))
