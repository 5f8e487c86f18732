import json

from results.make_tables import make_tables


def test_a_row_a_shrunk_network_with_its_sums_and_where_it_comes_from(tmp_path):
    layers = {
        "a": {"channels": 8, "zero": 3, "removed": 2, "stay": 1},
        "b": {"channels": 8, "zero": 4} | {"removed": 4},
    }
    layers["b"]["stay"] = 0
    line = {"shrunk": "checkpoints/r/unlearned_Bald.pth", "model": "resnet18", "layers": layers, "speed_ratio": 1.254}
    line |= {"parameters": {"before": 2000, "after": 1500}, "multiply_adds": {"before": 3e6, "after": 2.5e6}}
    line |= {"seconds": {"before": 0.1, "after": 0.08}, "difference": {"random": 1e-6, "real": 2e-6}, "repeats": 20}
    line |= {"batch_size": 64, "img_size": 32, "command": "python shrink_network.py", "hardware": "a machine"}
    line |= {"versions": {"torch": "2"}, "commit": None, "date": "2026-01-02T00:00:00"}
    (tmp_path / "small.jsonl").write_text(json.dumps(line) + "\n")
    table = make_tables([tmp_path / "small.jsonl"])["small"]
    figures = ["7", "6", "1", "2,000 → 1,500", "3.0 → 2.5", "100 → 80", "1.25", "1.0e-06 / 2.0e-06"]
    assert f"| 1 | resnet18, checkpoints/r/unlearned_Bald.pth | {' | '.join(figures)} |" in table
    assert "1. 20 passes of 64 images of 32 px · `python shrink_network.py` · a machine · torch 2 · commit ?" in table
