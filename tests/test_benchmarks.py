"""The benchmarks run on tiny inputs and write what they say."""

import json

from conftest import STEP_1, run_step


def test_costs_of_an_erasure_and_of_an_audit(tiny_celeba, tmp_path, monkeypatch, capsys):
    import benchmarks.audit_cost as audit_cost

    monkeypatch.chdir(tmp_path)
    shared = ["--task", "Bald", "Eyeglasses", "--data_path", tiny_celeba, "--device", "cpu", "--img_size", 32]
    run_step(STEP_1, *shared, "--epoch", 1, "--batch_size", 30)
    run_step("benchmarks.erasure_cost", *shared, "--repeats", 1, "--erase_images", 64, "--epochs", 10)
    line = json.loads((tmp_path / "results" / "erasure_cost.jsonl").read_text())
    assert line["ratio"] == line["erase_seconds"][0] / (10 * line["epoch_seconds"][0])
    assert "% of an oracle of 10 epochs" in capsys.readouterr().out

    nets = [
        word for role in ("unlearned", "original") for word in (f"--{role}", "checkpoints/Bald_Eyeglasses/original.pth")
    ]
    words = ["--images", "100", "120", "--levels", "quick"]
    audit_cost.main(audit_cost.get_args_parser().parse_args(words), [*nets, *map(str, shared), "--target", "Bald"])
    lines = [json.loads(text) for text in (tmp_path / "results" / "audit_cost.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [100, 120] and lines[0]["nets"] == 4
    assert lines[0]["wall_seconds"] > sum(lines[0]["repeats"][0]["seconds"].values()) / 2 > 0
    assert "peak memory" in capsys.readouterr().out
