import json
import os
from types import SimpleNamespace

import pytest
from matplotlib.text import Text
from small_audit import small_audit

from tools.compare import main
from utils.common.errors import InputError
from utils.report import style


def test_a_folder_without_audits_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="run step 3 with --audit quick first"):
        main(SimpleNamespace(folders=[str(tmp_path)]))


def test_a_picture_that_cannot_be_written_names_the_folder_not_a_flag(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.compare.read_audit", lambda path: {"target": "Bald", "method": "prune"})
    (tmp_path / "pruned").mkdir()
    (tmp_path / "pruned" / "audit_Bald.json").touch()
    (tmp_path / "comparison_Bald.png").mkdir()
    with pytest.raises(InputError, match="^DIR: can't write .*comparison_Bald.png: a folder or a device stands there"):
        main(SimpleNamespace(folders=[str(tmp_path)]))


def test_a_damaged_audit_is_named(tmp_path):
    (tmp_path / "erased").mkdir()
    (tmp_path / "erased" / "audit_Bald.json").write_text('{"nets": {', encoding="utf-8")
    with pytest.raises(InputError, match="audit_Bald.json is no audit"):
        main(SimpleNamespace(folders=[str(tmp_path)]))


def test_a_pipe_is_no_audit_and_nobody_waits_for_it(tmp_path):
    (tmp_path / "erased").mkdir()
    os.mkfifo(tmp_path / "erased" / "audit_Bald.json")
    with pytest.raises(InputError, match="audit_Bald.json is no audit"):
        main(SimpleNamespace(folders=[str(tmp_path)]))


@pytest.fixture
def compared(tmp_path, monkeypatch, capsys):
    """A function that compares audits {folder: audit}; it returns the table's rows and the words in the picture."""

    def run(audits):
        for folder, audit in audits.items():
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "audit_Bald.json").write_text(json.dumps(audit))
        figures = []
        save = style.Figure.savefig
        monkeypatch.setattr(style.Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
        main(SimpleNamespace(folders=[str(tmp_path)]))
        heading, _, _, *rows = capsys.readouterr().out.splitlines()
        cells = [[cell.strip() for cell in row.split("|")] for row in rows]
        words = "\n".join(text.get_text() for text in figures[0].findobj(Text))
        return heading, {row[0]: row[1:] for row in cells if len(row) > 1}, words

    return run


def audit_of(word, found):
    """`small_audit` with a verdict's word, and the places that found the target."""
    audit = small_audit()
    audit["verdict"] |= {"word": word}
    pairs = [{"attack": attack, "place": place} for attack, place in found]
    audit["nets"]["unlearned"]["verdict"] |= {"word": word, "numbers": {"found": pairs}}
    for record in audit["nets"].values():
        for head in record["heads"].values():
            head |= {"tpr": 0.25, "accuracy": 0.9}
    return audit


def test_methods_stand_side_by_side_with_their_worst_attack_and_their_verdict(compared):
    erased = audit_of("ERASED", [])
    erased["nets"]["unlearned"]["gaps"]["attacks"]["linear"]["layer3"]["value"] = 0.015
    heading, rows, words = compared({"pruned": audit_of("SILENCED", [("linear", "layer4")]), "erased": erased})
    assert heading == "forget Bald (worst attack: AUC above the oracle's; the lower, the more is forgotten)"
    assert list(rows) == ["original", "pruned", "erased", "oracle"]
    # kept labels find 0.02 more, but not beyond chance: what is beyond it counts first
    assert rows["pruned"] == ["0.500", "+0.010 linear at layer4", "+0.1", "-0.010", "SILENCED"]
    assert rows["erased"][1] == "+0.020 kept_labels at linear layer4" and rows["erased"][-1] == "ERASED"
    assert rows["original"][1].startswith("+0.190 kept_labels") and rows["original"][-1] == "-"
    assert rows["oracle"][:2] == ["no head", "+0.010 kept_labels at linear layer4"]
    assert "pruned\nSILENCED" in words and "+0.010\nlinear at layer4" in words
    assert "worst attack, above the oracle's" in words


def test_where_references_differ_each_row_names_its_own_and_there_is_an_original_for_each(compared):
    alone = audit_of("SILENCED", [("linear", "layer4")])
    alone["nets"].pop("oracle")
    for record in alone["nets"].values():
        record["gaps"]["reference"] = "random"
        record["gaps"]["attacks"]["kept_labels"]["linear layer4"]["value"] += 0.5
    heading, rows, words = compared({"pruned": alone, "erased": audit_of("ERASED", [])})
    assert "AUC above its own reference" in heading and "above its own reference" in words
    assert "against the\nuntrained network" in words and "ERASED, against the\noracle" in words
    random, oracle = "above a random initialisation's", "above the oracle's"
    assert rows["original, against the untrained network"][1] == f"+0.690 kept_labels at linear layer4, {random}"
    assert rows["original, against the oracle"][1] == f"+0.190 kept_labels at linear layer4, {oracle}"
    assert rows["erased"][1] == f"+0.020 kept_labels at linear layer4, {oracle}" and "oracle" in rows


def test_without_a_reference_there_is_no_worst_attack(compared):
    audit = audit_of("UNDECIDED", [])
    audit["nets"] = {"unlearned": audit["nets"]["unlearned"]}
    audit["nets"]["unlearned"]["gaps"] = {"reference": None, "attacks": {}}
    audit["nets"]["unlearned"]["kept_changes"] = {"since": None, "heads": {}}
    _, rows, _ = compared({"erased": audit})
    assert rows == {"erased": ["0.500", "-", "-", "-", "UNDECIDED"]}


def test_an_audit_of_an_earlier_version_is_refused_in_a_line(tmp_path):
    audit = small_audit()
    for record in audit["nets"].values():
        record["probes"] = record.pop("attacks")["linear"]
        record["probe_gaps"] = record.pop("gaps")
    (tmp_path / "erased").mkdir()
    (tmp_path / "erased" / "audit_Bald.json").write_text(json.dumps(audit))
    with pytest.raises(InputError, match="^[^\n]*audit_Bald.json is no audit .*of an earlier version.*run step 3 with"):
        main(SimpleNamespace(folders=[str(tmp_path)]))


def test_several_runs_come_in_one_picture_and_the_page_is_named_last(tmp_path, capsys):
    audit = json.dumps(audit_of("SILENCED", [("linear", "layer4")]))
    for run in ("one", "two"):
        (tmp_path / run / "Bald" / "pruned").mkdir(parents=True)
        (tmp_path / run / "Bald" / "pruned" / "audit_Bald.json").write_text(audit)
    (tmp_path / "two" / "Bald" / "report.html").touch()
    main(SimpleNamespace(folders=[str(tmp_path / run / "Bald") for run in ("one", "two")]))
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(": forget Bald")[0] for line in said if "forget Bald" in line] == [
        str(tmp_path / run / "Bald") for run in ("one", "two")
    ]
    assert (
        said[-1] == f"  {tmp_path / 'two' / 'Bald' / 'report.html'}   everything on one page"
        and f"  {tmp_path / 'comparison.png'}" in said
    )
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
