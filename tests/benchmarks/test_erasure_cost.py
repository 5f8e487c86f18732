"""The benchmark of erasure runs on tiny inputs and writes what it measured."""

import json

from conftest import STEP_1, run_step


def test_the_cost_of_an_erasure_is_set_beside_epochs_of_training(tiny_celeba, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shared = ["--task", "Bald", "Eyeglasses", "--data_path", tiny_celeba, "--device", "cpu", "--img_size", 32]
    run_step(STEP_1, *shared, "--model", "shufflenet_v2_x0_5", "--epoch", 1, "--batch_size", 30)
    run_step("benchmarks.erasure_cost", *shared, "--repeats", 1, "--erase_images", 64, "--epochs", 10)
    line = json.loads((tmp_path / "results" / "lines" / "erasure_cost.jsonl").read_text())
    assert line["ratio"] == line["erase_seconds"][0] / (10 * line["epoch_seconds"][0])
    assert "% of an oracle of 10 epochs" in capsys.readouterr().out
