"""Killed at a random moment or out of disk, the same command again makes good: a few times here."""

import json

import pytest
import torch
from conftest import run_command

from benchmarks import kill
from data.make_synthetic_celeba import make_dataset
from utils.training.resume import save_training_state

pytest.importorskip("resource")


def test_what_is_killed_or_out_of_disk_is_made_good_by_the_same_command(tmp_path_factory, tmp_path):
    rates = {"Bald": 0.4, "Eyeglasses": 0.4}
    faces = make_dataset(tmp_path_factory.mktemp("few"), 48, seed=0, rates=rates, workers=1, progress=False)
    words = ["--data_path", faces, "--limit_files", "--out", tmp_path / "kill.jsonl"]
    # a process of its own: a fork of one that has gone back through a network can't do so again
    done = run_command("benchmarks/kill", "--kills", 2, 1, 1, 1, "--full", 1, 0, 0, 1, *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "kill.jsonl").read_text().splitlines()]
    assert {(line["work"], line["harm"]): line["runs"] for line in lines} == {
        **{("step 1", "SIGKILL"): 2, ("step 1", "RLIMIT_FSIZE"): 1, ("step 2", "SIGKILL"): 1},
        **{("step 3", "SIGKILL"): 1, ("cache", "SIGKILL"): 1, ("cache", "RLIMIT_FSIZE"): 1},
    }
    for line in lines:
        assert line["found"] == [] and not any(line[fault] for fault in kill.FAULTS), line
    assert sum(line["struck"] for line in lines) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["kill.jsonl"]


def test_a_half_file_is_seen_and_what_was_there_is_none(tmp_path):
    for name, content, whole in (
        ("original.pth", b"PK", False),
        ("original_training_state.pth", b"PK", False),
        ("Bald.json", b"{", False),
        ("results.jsonl", b'{"a": 1}\n{"b"', False),
        ("results.jsonl", b'{"a": 1}\n{"b": 2}\n', True),
        (".original.pth.host.7.tmp", b"PK", True),  # that it goes later is looked at then
        ("before.png", b"before", True),
        ("after.png", b"after", True),
    ):
        (tmp_path / name).write_bytes(content)
        assert kill.is_whole(tmp_path / name, content, {"x": b"before"}, {"x": b"after"}) is whole, name


def test_training_states_are_compared_by_their_bits(tmp_path):
    state = {"epoch": 1, "model": {"a": torch.zeros(2)}, "optimizer": [], "scheduler": {}, "settings": {"lr": "auto"}}
    files = [tmp_path / f"{place}_state.pth" for place in range(3)]
    again = {"".join(list(name)): value for name, value in state.items()} | {"settings": {"lr": "".join("auto")}}
    for path, content in zip(files, (state, again, state | {"model": {"a": torch.tensor([0.0, -0.0])}}), strict=True):
        save_training_state(path, content)
    assert kill.is_same_state(*files[:2]) and not kill.is_same_state(*files[1:])
    assert not kill.is_same_state(tmp_path / "a.pth", tmp_path / "b.pth")


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_that_fails_again_is_a_fault(code, tmp_path, monkeypatch):
    ends = iter([(-9, ""), (code, "")])
    monkeypatch.setattr(kill, "run_apart", lambda *_, **__: next(ends))
    found = kill.disturbed("step 2", None, tmp_path / "trial", {}, {}, False, seconds=1.0)
    assert found["words"] == ([] if code == 0 else ["exit code -9, then 1: "])


def test_every_fault_is_counted_and_kept_with_its_moment():
    fine = {"struck": True, "half": [], "unequal": [], "left": [], "words": [], "seconds": 0.5}
    line = kill.summary(
        "step 2", "seconds", [fine, fine | {"left": [".lock"], "seconds": 0.7, "struck": False}], 1.5, True
    )
    assert (line["runs"], line["struck"], line["left"], line["half"], line["at"]) == (2, 1, 1, 0, [0.5, 0.7])
    assert line["found"] == [{"seconds": 0.7, "half": [], "unequal": [], "left": [".lock"], "words": []}]
