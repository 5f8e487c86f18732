"""What an audit leaves behind, on figures written down by hand."""

import copy
import json

import numpy as np
import pytest
from small_audit import figure, small_audit

from utils.report.audit_report import main_figures, results_line, summary, write_audit
from utils.report.tables import worst_places


@pytest.fixture
def result():
    return small_audit()


def cells_of(line):
    return [cell.strip() for cell in line.split("|")]


def test_an_attack_stands_where_it_finds_most_and_first_where_it_is_clear(result):
    worst = worst_places(result["nets"]["unlearned"])
    # unpooled layer3 has a smaller gap than linear layer4, which is not clear of chance
    assert worst == {"linear": "layer4", "kept_labels": "unpooled layer3", "relearning_head": "all sizes"}
    result["nets"]["unlearned"]["gaps"]["attacks"] = {}  # nothing to compare with: the highest AUC
    result["nets"]["unlearned"]["verdict"]["numbers"] = {}
    assert worst_places(result["nets"]["unlearned"])["kept_labels"] == "linear layer4"


def test_the_summary_has_a_row_an_attack_and_ends_in_the_verdict(result):
    lines = summary(result).splitlines()
    assert lines[0].startswith("audit of Bald: 1,500 test images, 146 with the attribute; ")
    names, figures = ["original", "unlearned", "oracle"], ["unlearned - oracle", "p", "information", "finds more at"]
    assert cells_of(lines[1]) == ["attack", "at", *names, *figures]
    rows = {cells[0]: cells[1:] for cells in map(cells_of, lines[3:7])}
    assert rows["its own head"] == ["", "0.990", "0.500", "no head"] + [""] * 4
    gap = ["+0.010 [-0.090, +0.110]", "< 0.001", "+0.12", "1 of 3 places"]
    assert rows["linear"] == ["layer4", "0.980", "0.810", "0.800", *gap]
    assert rows["relearning_head"][-1] == "0 of 1 places"
    assert lines[7:] == [
        "kept heads, worst change since the original: +0.1 points of accuracy (Smiling), -0.010 of AUC (Smiling)",
        "membership of its labels, AUC: original 0.500, unlearned 0.500; unlearned: true-positive rate 1.2% at 1 % "
        "false positives",
        "from the true kept labels alone: AUC 0.550",
        "note: a remark",
        "verdict: SILENCED: for a reason",
    ]


def test_without_an_oracle_the_untrained_network_stands_in_its_place(result):
    result["nets"]["random"] = result["nets"].pop("oracle")
    result["nets"]["unlearned"]["gaps"]["reference"] = "random"
    result["verdict"]["qualifier"] = "no oracle"
    text = summary(result)
    assert "| random initialisation | unlearned - random initialisation |" in text
    assert "verdict: SILENCED (no oracle): for a reason" in text


def test_rates_of_membership_are_the_unlearned_networks_where_the_reference_has_a_head_too(result):
    result["nets"]["random"] = result["nets"].pop("oracle")
    result["nets"]["unlearned"]["gaps"]["reference"] = "random"
    result["nets"]["random"]["membership"] = result["nets"]["unlearned"]["membership"] | {"tpr_at_1_percent": 0.5}
    text = summary(result)
    assert "random initialisation 0.500; unlearned: true-positive rate 1.2% at 1 %" in text


def test_with_nothing_to_compare_with_the_table_has_dashes(result, tmp_path):
    result["nets"] = {"unlearned": result["nets"]["unlearned"]}
    result["nets"]["unlearned"]["gaps"] = {"reference": None, "attacks": {}}
    result["nets"]["unlearned"]["kept_changes"] = {"since": None, "heads": {}}
    assert cells_of(summary(result).splitlines()[4]) == ["linear", "layer4", "0.810", "-", "-", "-", "-"]
    write_audit(tmp_path, result)
    assert {path.name for path in tmp_path.glob("*.png")} == {"audit_Bald_roc.png", "audit_Bald_relearning.png"}


def test_a_results_line_keeps_values_intervals_and_counts(result):
    line = results_line({"Bald": result})
    assert line["audit"] == {"Bald": main_figures(result)}
    # of the attacks that found something the names: their figures are among the gaps
    found = ["linear at layer4", "kept_labels at unpooled layer3"]
    assert line["verdict"] == {"Bald": result["verdict"] | {"numbers": {"found": found}}}
    kept = line["audit"]["Bald"]
    assert kept["level"] == "quick" and kept["kept_labels"] == figure(0.55)
    assert kept["nets"]["original"]["head_auc"] == figure(0.99)
    assert kept["nets"]["unlearned"]["attacks"]["linear"]["layer4"] == {"value": 0.81, "interval": [0.71, 0.91]}
    assert kept["nets"]["oracle"]["attacks"]["relearning_head"] == {"all sizes": {"value": 0.7}}
    gaps = kept["nets"]["unlearned"]["gaps"]
    assert gaps["reference"] == "oracle" and "gaps" not in kept["nets"]["original"]
    known = {"value": 0.01, "interval": [-0.09, 0.11], "p": 0.0004, "information": 0.125}
    assert gaps["attacks"]["linear"]["layer4"] == known
    assert kept["nets"]["oracle"]["membership"] is None and kept["nets"]["oracle"]["verdict"] == "SILENCED"
    assert kept["nets"]["original"]["membership"]["tpr_at_1_percent"] == 0.012
    assert kept["nets"]["oracle"]["relearning"] == {
        "head": {"curve": [[8, 0.75]], "area": 0.25},
        "whole_net": {"curve": [], "area": None},
    }


def test_a_results_line_of_two_targets_stays_short(result):
    places = [f"a place {n} layer{m}" for n in range(11) for m in range(5)]  # more than all attacks at full level
    values = dict(zip(places, np.random.default_rng(0).random(len(places)).tolist(), strict=True))
    for record in result["nets"].values():
        for figures in (record["attacks"], record["gaps"]["attacks"]):
            figures["linear"] = {place: figure(value, p=value, information=value) for place, value in values.items()}
    result["nets"] |= {name: copy.deepcopy(result["nets"]["original"]) for name in ("random", "drop_head")}
    result["verdict"]["numbers"]["found"] = [{"attack": "linear", "place": place} | figure(0.1) for place in places]
    assert len(json.dumps(results_line({"Bald": result, "Smiling": result}))) < 60_000


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
    assert pictures == {f"audit_Bald_{name}.png" for name in ("roc", "attacks", "relearning", "kept")}
