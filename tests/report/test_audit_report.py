"""What an audit leaves behind, on figures written down by hand."""

import copy
import json

import pytest

from utils.report.audit_report import main_figures, results_line, summary, write_audit


def figure(value, **more):
    """A figure as audits have them."""
    return {"value": value, "interval": value and [value - 0.1, value + 0.1], "n": 9, "n_positive": 4} | more


def record(auc, probe, has_head=True):
    """What an audit keeps of one network."""
    point = {**figure(0.75), "asked": 16, "n": 8, "draws": 3}
    roc = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0]}
    heads = {"Smiling": {"auc": 0.9, "intervals": {}}, "Bald": {"auc": auc, "intervals": {}}}
    return {
        "heads": {name: heads[name] for name in heads if has_head or name != "Bald"},
        "shipped": figure(auc, has_head=has_head, roc=roc if has_head else None),
        "attacks": {"linear": {"layer4": figure(probe), "features": figure(probe)}, "mlp": {"layer4": figure(None)}},
        "membership": figure(0.5) if has_head else None,
        "relearning": {"head": {"curve": [point], "area": {"value": 0.25}}, "whole_net": {"curve": []}},
        "kept_changes": {"heads": {"Smiling": {"auc": figure(-0.01), "accuracy": figure(0.001)}}},
    }


@pytest.fixture
def result():
    return {
        "target": "Bald",
        "level": {"name": "quick", "sizes": [16]},
        "n": {"test": 1500, "test_positive": 146},
        "stages": ["layer4", "features"],
        "nets": {"oracle": record(0.5, 0.8, False), "original": record(0.99, 0.98), "unlearned": record(0.5, 0.81)},
        "kept_labels": figure(0.55),
        "verdict": {"word": "ERASED", "qualifier": "", "reason": "for a reason", "numbers": {}},
        "notes": ["a remark"],
    }


def test_the_summary_has_a_row_a_network_and_ends_in_the_verdict(result):
    lines = summary(result).splitlines()
    assert lines[0] == "audit of Bald: 1,500 test images, 146 with the attribute"
    rows = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.split("|")] for line in lines[1:6])}
    assert rows["network"] == ["head AUC", "linear layer4", "linear features", "membership"]
    assert rows["oracle"] == ["no head", "0.800", "0.800", "-"]
    assert rows["unlearned"] == ["0.500", "0.810", "0.810", "0.500"]
    assert lines[6:] == [
        "from the true kept labels alone: AUC 0.550",
        "note: a remark",
        "verdict: ERASED: for a reason",
        "next: audit at --level full and on other seeds before relying on it",
    ]
    result["verdict"]["qualifier"] = "no oracle"
    assert "verdict: ERASED (no oracle): for a reason" in summary(result)


def test_a_results_line_keeps_values_intervals_and_counts(result):
    line = results_line({"Bald": result})
    assert line["verdict"] == {"Bald": result["verdict"]} and line["audit"] == {"Bald": main_figures(result)}
    kept = line["audit"]["Bald"]
    assert kept["level"] == "quick" and kept["kept_labels"] == figure(0.55)
    assert kept["nets"]["original"]["head_auc"] == figure(0.99)
    assert kept["nets"]["unlearned"]["attacks"]["linear"] == {"layer4": figure(0.81), "features": figure(0.81)}
    assert kept["nets"]["oracle"]["membership"] is None
    assert kept["nets"]["oracle"]["relearning"] == {
        "head": {"curve": [[8, 0.75]], "area": 0.25},
        "whole_net": {"curve": [], "area": None},
    }


def test_heads_of_a_results_line_are_those_that_can_be_compared_with_the_original(result):
    heads = results_line({"Bald": result})["heads"]
    assert heads["Bald"] == {"before": {"auc": 0.99}, "after": {"auc": 0.5}} and set(heads) == {"Bald", "Smiling"}
    del result["nets"]["original"]
    assert results_line({"Bald": result})["heads"] == {}


def test_the_json_and_four_pictures_are_written_and_the_result_stays_as_it_is(result, tmp_path):
    before = copy.deepcopy(result)
    write_audit(tmp_path / "new", result)
    assert json.loads((tmp_path / "new" / "audit_Bald.json").read_text()) == result == before
    pictures = {path.name for path in (tmp_path / "new").glob("*.png")}
    assert pictures == {f"audit_Bald_{name}.png" for name in ("roc", "probes", "relearning", "kept")}
