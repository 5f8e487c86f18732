"""What is tried of a network, and what is told of it."""

from pathlib import Path

import pytest

from results.make_tables import make_tables
from tools import try_networks
from utils.common.errors import InputError
from utils.common.run import append_result

WORKS, REFUSED = {"seconds": 3.2}, {"line": "no convolution", "code": 2}


def test_a_step_whose_files_are_lacking_is_not_run(monkeypatch):
    run = []

    def answer(module, words, folder):
        run.append((module.rpartition("_")[2], words[words.index("--model") + 1] if "--model" in words else None))
        return REFUSED if module.endswith("graph") else WORKS

    monkeypatch.setattr(try_networks, "run_step", answer)
    found = try_networks.try_network("alexnet", 64, 0, Path("nowhere"), ("train", "score", "prune", "audit"))
    assert found == {"train": WORKS, "score": REFUSED, "audit": WORKS}
    assert run == [("original", "alexnet"), ("graph", None), ("tools.audit", None)]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task", "a"], "refused: "),
        (["--help"], "works, "),
    ],
)
def test_a_step_gives_its_seconds_or_the_line_it_ended_in(flags, words, tmp_path):
    found = try_networks.run_step("tools.export", flags, tmp_path)
    assert try_networks.words_of(found).startswith(words) and "\n" not in str(found)
    assert found.get("code", 0) == (2 if words == "refused: " else 0)


@pytest.mark.parametrize("steps", [["prune"], ["train", "prune"], ["train", "erase_weights"], ["audit", "score"]])
def test_a_step_without_the_one_before_it_is_refused(steps, tmp_path):
    args = try_networks.get_args_parser().parse_args(["--out", str(tmp_path / "a.jsonl"), "--steps", *steps])
    with pytest.raises(InputError, match=r"--steps (prune|erase_weights|audit) reads what (score|erase|train) writes"):
        try_networks.main(args)
    assert not (tmp_path / "a.jsonl").exists()


def test_an_error_that_is_no_users_is_told_as_broken():
    assert try_networks.words_of({"line": "KeyError: 'x'", "code": 1}) == "broke: KeyError: 'x'"


def test_the_table_shows_seconds_and_reasons(tmp_path):
    steps = {"train": WORKS, "score": REFUSED, "erase": WORKS}
    append_result(tmp_path / "a.jsonl", {"steps": steps, "model": "net", "img_size": 64, "commit": "a1", "seed": 0})
    table = make_tables([tmp_path / "a.jsonl"])["networks_tried"]
    assert "| network | px | step 1 | erase | step 2: why not |" in table
    assert "| net | 64 | 3 | 3 | no convolution |" in table
