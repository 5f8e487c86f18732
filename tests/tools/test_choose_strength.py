"""Choosing the strength: on networks whose answers are known, by its own command, and by step 3's --strength auto."""

import copy
import json
from hashlib import sha256

import numpy as np
import pytest
import torch
from conftest import STEP_1, STEP_3, erase_with_few_images, run_here, run_step
from plain_faces import NAMES, PlainFaces, plain_net
from test_pipeline import NAME, flags
from wide_net import SETTINGS, train_wide_net

from utils.audit.validation import sweep_on_validation
from utils.common import locks
from utils.common.errors import InputError
from utils.network.checkpoint import load_checkpoint
from utils.probes import setup

ERASE = ("--method", "erase")
MILD, STRONG = 10.0, 1000.0
SMALL_TRAINING = {"img_size": 16, "amp": "off", "epoch": 1, "batch_size": 30, "scheduler": "onecycle", "lr": "1e-3"}


@pytest.fixture(scope="module")
def networks():
    """A trained wide net, and an oracle whose features never saw the target."""
    return {"original": train_wide_net(), "oracle": plain_net(NAMES[1:], sees=NAMES[1:])}


def sweep(networks, data=None, strengths=(STRONG, MILD)):
    options = {"stages": ("top",), "resamples": 100, "progress": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(setup.LEVELS, "quick", setup.AuditLevel("quick", 600, (16, 64), ()))
        data = PlainFaces(2500, 1500) if data is None else data
        return sweep_on_validation(networks, data, ["Bald"], SETTINGS, strengths, **options)


@pytest.fixture(scope="module")
def swept(networks):
    state = copy.deepcopy(networks["original"].state_dict())
    found = sweep(networks)
    assert all(torch.equal(value, state[name]) for name, value in networks["original"].state_dict().items())
    assert json.loads(json.dumps(found)) == found
    return found


def test_a_stronger_erasure_forgets_more_and_the_sweep_says_what_each_did(swept):
    assert [one["strength"] for one in swept["points"]] == [MILD, STRONG] and swept["reference"] == "oracle"
    mild, strong = swept["points"]
    assert strong["worst_gap"] < mild["worst_gap"] < swept["original"]["worst_gap"]
    assert swept["validation"] == {"part": "train", "learnt_from": 1200, "rows": 300, "positives": {"Bald": 120}}
    assert all(one["seconds"] > 0 for one in swept["points"]) and "strength" not in swept["settings"]


@pytest.mark.parametrize("test_part", ["as it is", "upside down"])
def test_the_same_sweep_gives_the_same_figures_whatever_the_test_images(networks, swept, test_part):
    data = PlainFaces(2500, 1500)
    if test_part == "upside down":
        data.labels[1500:] = 1 - data.labels[1500:]
        data.images = torch.cat([data.images[:1500], -data.images[1500:]])
    again = sweep(networks, data, (MILD, STRONG))
    for one, same in zip(again["points"], swept["points"], strict=True):
        assert {**one, "seconds": 0} == {**same, "seconds": 0}
    assert again["chosen"] == swept["chosen"]


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    erase_with_few_images(monkeypatch)


@pytest.fixture(scope="module")
def folder(tiny_celeba, tmp_path_factory):
    """A folder in which step 1 has run for one epoch."""
    folder = tmp_path_factory.mktemp("strength")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_step(STEP_1, *flags(tiny_celeba, **SMALL_TRAINING))
    return folder


def last_line(path):
    return json.loads(path.read_text().splitlines()[-1])


def test_auto_erases_with_what_the_sweep_chose_and_the_line_says_so(folder, tiny_celeba, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("utils.erasure.strength.STRENGTHS", (2.0, 0.5))
    run_step(STEP_3, *flags(tiny_celeba, results="auto/results.jsonl"), *ERASE, "--strength", "auto")
    printed = capsys.readouterr().out
    assert "18 images of the training part" in printed and "strength | head AUC" in printed
    line, left = last_line(folder / "auto" / "results.jsonl"), folder / "auto" / NAME / "Bald" / "erased"
    found = json.loads((left / "strength.json").read_text())
    assert [point["strength"] for point in found["points"]] == [0.5, 2.0]
    assert found["reference"] == "random" and line["graph"]["strength"] == found["chosen"]
    assert (left / "strength.png").is_file()
    chosen = load_checkpoint(folder / "checkpoints" / NAME / "erased_Bald.pth").state_dict
    run_step(STEP_3, *flags(tiny_celeba, results="auto/results.jsonl"), *ERASE, "--strength", found["chosen"])
    again = load_checkpoint(folder / "checkpoints" / NAME / "erased_Bald.pth").state_dict
    assert all((value == again[name]).all() for name, value in chosen.items())


def test_its_own_command_sweeps_the_strengths_named_and_changes_no_network(folder, tiny_celeba, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = {path: sha256(path.read_bytes()).digest() for path in (folder / "checkpoints").rglob("*.pth")}
    run_step("tools.choose_strength", *flags(tiny_celeba, results="own/results.jsonl"), "--strengths", 1)
    found = json.loads((folder / "own" / NAME / "Bald" / "erased" / "strength.json").read_text())
    assert [point["strength"] for point in found["points"]] == [1.0] and np.isfinite(found["points"][0]["kept_loss"])
    assert "strength.json and strength.png" in capsys.readouterr().out
    assert {path: sha256(path.read_bytes()).digest() for path in (folder / "checkpoints").rglob("*.pth")} == before


def test_its_own_command_waits_for_no_other_program_on_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with locks.locked(tmp_path / "checkpoints" / NAME):
        with pytest.raises(InputError, match="another process works on the run in"):
            run_step("tools.choose_strength", *flags(tmp_path))


def test_an_oracle_that_is_there_is_the_reference(folder, tiny_celeba, monkeypatch):
    monkeypatch.chdir(folder)
    words = flags(tiny_celeba, **SMALL_TRAINING)
    run_step(STEP_1, *words, "--leave_out", "Bald")
    run_step("tools.choose_strength", *flags(tiny_celeba, results="oracle/results.jsonl"), "--strengths", 1)
    found = json.loads((folder / "oracle" / NAME / "Bald" / "erased" / "strength.json").read_text())
    assert found["reference"] == "oracle"
    (folder / "checkpoints" / NAME / "oracle_Bald.pth").unlink()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--strength", "auto"], "--strength is for --method erase"),
        (["--strength", "2"], "--strength is for --method erase"),
        ([*ERASE, "--graph", "a.json"], "--graph is for --method prune"),
        ([*ERASE, "--strength", "2", "--evaluate_only"], "--strength does nothing with --evaluate_only"),
        (["--graph", "a.json", "--evaluate_only"], "--graph does nothing with --evaluate_only"),
        ([*ERASE, "--strength", "much"], "expected a number above 0, or auto, got 'much'"),
        ([*ERASE, "--strength", "-1"], "expected a number above 0, or auto, got '-1'"),
    ],
)
def test_mistakes_are_one_line(folder, tiny_celeba, words, message):
    done = run_here(STEP_3, *flags(tiny_celeba), *words, folder=folder)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
