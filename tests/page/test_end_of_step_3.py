import pytest

from utils.audit.verdict import NEXT_STEPS
from utils.page.page import finish_unlearning


@pytest.mark.parametrize("full", [False, True])
def test_the_verdict_and_what_follows_from_it_come_last_and_figures_are_told_even_where_they_cannot_be_kept(
    full, tmp_path, monkeypatch, capsys
):
    figures = {"n": 9, "tpr": 0.5, "auc": 0.5, "tpr_all_positive": 0.5, "accuracy": 0.5, "balanced_accuracy": 0.5}
    line = {"heads": {"Bald": {"before": figures, "after": figures}}, "forgotten": ["Bald"], "model": "m"}
    line |= {"method": "erase", "verdict": {"Bald": {"word": "UNDECIDED", "reason": "too few images"}}}
    results = tmp_path / "r.jsonl"
    flags = {"results": results, "audit": None, "report": None}
    if full:
        results.mkdir()
        with pytest.raises(OSError):
            finish_unlearning(line, None, {}, None, tmp_path, flags)
        assert "Bald (forgotten)" in capsys.readouterr().out
        return
    finish_unlearning(line, None, {}, None, tmp_path, flags)
    said = capsys.readouterr().out
    assert said.splitlines()[-3:] == [
        f"look at {tmp_path}",
        "verdict on Bald: UNDECIDED: too few images",
        f"next: {NEXT_STEPS['UNDECIDED']}",
    ]
    assert "takes an audit" not in said
    finish_unlearning({**line, "verdict": {}}, None, {}, None, tmp_path, flags)
    said = capsys.readouterr().out
    assert "takes an audit" in said and said.splitlines()[-1].endswith("--audit quick")
