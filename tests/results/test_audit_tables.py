"""The tables of audits say what their JSON lines say, worked out by hand."""

import json

from results.audit_tables import audit_table
from results.make_tables import make_tables


def figure(value):
    return {"value": value, "interval": None, "n": 100, "n_positive": 20}


def net(auc, probe, area=None, loss=None):
    changes = {"Smiling": {"accuracy": figure(-loss), "auc": figure(-loss / 10)}} if loss is not None else {}
    return {
        "head_auc": figure(auc),
        "probes": {"layer1": figure(probe / 2), "layer4": figure(probe), "features": figure(probe)},
        "mlp": figure(probe),
        "knn": figure(None),
        "membership": None,
        "relearning": {"head": {"curve": [], "area": area}, "whole_net": {"curve": [], "area": None}},
        "kept_changes": changes,
    }


def line(seed, word, method="prune", auc=1.0, **changes):
    nets = {"original": net(1.0, 1.0, 2.0), "unlearned": net(auc, auc, 1.0 + seed, 0.004), "oracle": net(0.5, 0.8)}
    return {
        "run": f"faces_s{seed}",
        "attributes": ["Bald", "Smiling"],
        "forgotten": ["Bald"],
        "heads": {"Bald": {}, "Smiling": {}},
        "method": method,
        "seed": seed,
        "dataset": "faces",
        "command": f"step3 --method {method}",
        "audit": {"Bald": {"level": "quick", "n": {}, "kept_labels": figure(0.55), "nets": nets}},
        "verdict": {"Bald": {"word": word}},
    } | changes


def cells(table):
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines() if row.startswith("| ")]
    return rows[0], {row[1]: row for row in rows[2:]}


def test_a_row_for_each_network_with_mean_and_spread_over_seeds():
    columns, rows = cells(audit_table([line(0, "SILENCED", auc=0.9), line(1, "SILENCED", auc=1.0)]))
    assert columns[4:6] == ["probe layer1", "probe features"]  # layer4 gives the same numbers
    assert list(rows) == ["original", "**prune**", "oracle", "floor"]
    assert rows["**prune**"][2:6] == ["2", "0.950 ± 0.071", "0.475 ± 0.035", "0.950 ± 0.071"]
    assert rows["**prune**"][6] == "0.150 ± 0.071" and columns[6] == "worst stage"
    assert rows["**prune**"][-4:] == ["1.500 ± 0.707", "-", "+0.4 / +0.000", "SILENCED"]
    assert rows["oracle"][-4:] == ["-", "-", "-", "-"] and rows["oracle"][3] == "0.500 ± 0.000"
    assert rows["floor"][3] == "0.550 ± 0.000" and set(rows["floor"][4:]) == {"-"}


def test_methods_of_one_run_share_the_other_networks_rows():
    table = audit_table([line(0, "NOT FORGOTTEN"), line(0, "ERASED", "erase", auc=0.5)])
    _, rows = cells(table)
    assert rows["**prune**"][-1] == "NOT FORGOTTEN" and rows["**erase**"][-1] == "ERASED"
    assert sum("| original |" in row for row in table.splitlines()) == 1


def test_the_short_form_keeps_the_main_columns():
    columns, rows = cells(audit_table([line(0, "SILENCED")], short=True))
    wanted = ["run, forgotten", "network", "head AUC", "probe features", "worst stage", "MLP", "kNN", "relearning"]
    assert columns == [*wanted, "kept loss", "verdict"]
    assert rows["original"][2:4] == ["1.000", "1.000"]


def test_lines_without_an_audit_make_no_table(tmp_path):
    plain = {key: value for key, value in line(0, "").items() if key not in ("audit", "verdict")}
    assert audit_table([plain]) == ""
    (tmp_path / "audit.jsonl").write_text("")
    assert make_tables([tmp_path / "audit.jsonl"]) == {}


def test_costs_are_a_row_for_each_level_and_size(tmp_path):
    lines = [
        {"level": level, "images": n, "wall_seconds": n / 100, "peak_rss_bytes": 1.5e9, "hardware": "2 cores"}
        for level, n in (("full", 6000), ("quick", 1500))
    ]
    (tmp_path / "cost.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = make_tables([tmp_path / "cost.jsonl"])["cost"].splitlines()
    assert rows[2:] == ["| quick | 1,500 | 15 | 10 | 1.50 | 2 cores |", "| full | 6,000 | 60 | 10 | 1.50 | 2 cores |"]
