"""The benchmarks of loading and training run on tiny inputs, and their lines become a table and a picture."""

import json

import pytest
from conftest import run_step
from PIL import Image

from results.loading_picture import draw
from results.make_tables import make_tables


def lines_of(file):
    return [json.loads(text) for text in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def loading_file(tiny_celeba, tmp_path_factory):
    file = tmp_path_factory.mktemp("results") / "loading.jsonl"
    run_step("benchmarks.loading_speed", "--data_path", tiny_celeba, "--sizes", 16, 24, "--images", 40,
             "--repeats", 1, "--memory_rows", 150, "--out", file)  # fmt: skip
    return file


def test_loading_speed_measures_both_sides_and_the_bound(loading_file):
    small, large, memory = lines_of(loading_file)
    assert (small["img_size"], large["img_size"]) == (16, 24) and small["images"] == 40
    for line in (small, large):
        assert {len(line["seconds"][name]) for name in ("plain evaluation", "ours first", "decode only")} == {1}
        assert line["ours"]["first"] == 40 / line["seconds"]["ours first"][0]
    assert memory["memory"]["150"]["peak_rss_bytes"] > 1e7


def test_the_lines_become_a_table_and_a_picture(loading_file, tmp_path):
    table = make_tables([loading_file])["loading"]
    assert table.count("| first pass |") == 2 and "| 150 |" in table
    draw(lines_of(loading_file), tmp_path / "loading.png")
    assert Image.open(tmp_path / "loading.png").width > 1000


def test_training_speed_compares_speeds_and_what_was_learnt(tiny_celeba, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "training.jsonl"
    task = ["--task", "Bald", "Eyeglasses", "--data_path", tiny_celeba, "--img_size", 32]
    run_step("benchmarks.training_speed", *task, "--repeats", 1, "--steps", 1, "--out", file)
    run_step("benchmarks.training_speed", *task, "--repeats", 0, "--epoch", 1, "--auc_seeds", 0, 1, "--out", file)
    speed, auc = lines_of(file)
    assert speed["ratio"] == speed["ours"] / speed["plain"] > 0
    gaps = [abs(sum(one["off"][head] - one["bf16"][head] for one in auc["auc"])) / 2 for head in ("Bald", "Eyeglasses")]
    assert auc["auc_gap"] == pytest.approx(max(gaps))
    table = make_tables([file])["training"]
    assert "| resnet18 | 32 |" in table and "seeds 0, 1" in table and "--compile" not in table
    file.write_text(json.dumps({**speed, "ours": 100.0, "compiled": 150.0}) + "\n")
    assert "With `--compile`, in turns with these: 150 images/s, 1.50 times ours." in make_tables([file])["training"]
