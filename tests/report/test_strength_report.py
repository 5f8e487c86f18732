"""The files and sentences of a strength sweep, from figures written down by hand."""

import copy
import json

import pytest

from tools.choose_strength import choice_in_words, summary, write_strengths

VERDICT = {"word": "SILENCED", "qualifier": "no oracle", "reason": ""}


def point(strength, gap, loss, word="SILENCED"):
    target = {
        "head_auc": {"value": 0.5},
        "gaps": {"linear": {"layer1": {"value": gap}}},
        "verdict": {**VERDICT, "word": word},
    }
    figures = {"worst_gap": gap, "kept_loss": loss, "head_distance": 0.0}
    return {"strength": strength, "seconds": 1.0, **figures, "targets": {"Bald": target}}


@pytest.fixture()
def sweep():
    original = point(0, 0.3, 0.0, "NOT FORGOTTEN")
    del original["seconds"]
    validation = {"part": "train", "learnt_from": 1200, "rows": 1300, "positives": {"Bald": 120}}
    points = [point(0.5, 0.06, 0.002), point(1.0, 0.01, 0.004, "ERASED")]
    about = {"targets": ["Bald"], "reference": "random", "validation": validation, "original": original}
    return {**about, "points": points, "chosen": 1.0, "reached": True}


def test_the_files_are_written_and_equal_for_equal_sweeps(tmp_path, sweep):
    for name in ("one", "two"):
        write_strengths(tmp_path / name, sweep)
    assert json.loads((tmp_path / "one" / "strength.json").read_text()) == sweep
    assert (tmp_path / "one" / "strength.png").read_bytes() == (tmp_path / "two" / "strength.png").read_bytes()


def test_the_choice_in_words_says_whether_it_reached_the_verdict(sweep):
    assert choice_in_words(sweep).startswith("strength 1 is the mildest that reaches ERASED")
    other = {**sweep, "points": sweep["points"][:1], "chosen": 0.5, "reached": False}
    words = "no oracle says how far to go; 0.5 is the strongest that the kept heads can afford: SILENCED"
    assert choice_in_words(other).startswith(words)
    assert choice_in_words({**other, "reference": "oracle"}).startswith("no strength reaches ERASED; 0.5 is the strong")
    costly = [{**sweep["points"][0], "kept_loss": 0.02}]
    assert "0.5 is the mildest, and each costs" in choice_in_words({**other, "points": costly})


def test_undefined_figures_leave_gaps_in_the_picture_and_dashes_in_the_table(tmp_path, sweep):
    hollow = copy.deepcopy(sweep)
    hollow["points"][0] |= {"worst_gap": None}
    hollow["points"][0]["targets"]["Bald"]["gaps"]["linear"]["layer1"]["value"] = None
    hollow["original"]["worst_gap"] = None
    write_strengths(tmp_path, hollow)
    assert (tmp_path / "strength.png").read_bytes()[:4] == b"\x89PNG"
    row = next(line for line in summary(hollow).splitlines() if line.startswith("0.5"))
    assert row.split(" | ")[2].strip() == "-"
