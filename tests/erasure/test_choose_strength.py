"""--estimate, --frontier and --strength auto of step 3, as a person runs them."""

import json

import pytest
from conftest import STEP_1, STEP_3, run_command, run_step
from test_pipeline import NAME, flags

from utils.network.checkpoint import load_checkpoint

ERASE = ("--method", "erase", "--erase_images", "64")


@pytest.fixture(scope="module")
def folder(tiny_celeba, tmp_path_factory):
    """A folder in which step 1 has run for one epoch."""
    folder = tmp_path_factory.mktemp("dial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_step(STEP_1, *flags(tiny_celeba, img_size=32, epoch=1, batch_size=30, scheduler="onecycle", lr="1e-3"))
    return folder


def last_line(path):
    return json.loads(path.read_text().splitlines()[-1])


def test_auto_erases_with_what_the_sweep_chose_and_the_line_says_so(folder, tiny_celeba, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    words = [*flags(tiny_celeba, results="auto/results.jsonl"), *ERASE, "--strength", "auto", "--frontier", 2, 0.5]
    run_step(STEP_3, *words)
    said = capsys.readouterr().out
    assert "18 images of the training part" in said and "strength | head AUC" in said
    found = last_line(folder / "auto" / "results.jsonl")
    swept = found["frontier"]
    assert [point["strength"] for point in swept["points"]] == [0.5, 2.0] and swept["reference"] == "random"
    assert found["graph"]["strength"] == swept["chosen"] == swept["used"]
    assert {path.name for path in (folder / "auto" / NAME / "Bald").iterdir()} >= {"frontier.json", "frontier.png"}
    chosen = load_checkpoint(folder / "checkpoints" / NAME / "unlearned_Bald.pth").state_dict
    run_step(STEP_3, *flags(tiny_celeba, results="auto/results.jsonl"), *ERASE, "--strength", swept["chosen"])
    again = load_checkpoint(folder / "checkpoints" / NAME / "unlearned_Bald.pth").state_dict
    assert all((value == again[name]).all() for name, value in chosen.items())
    assert "frontier" not in last_line(folder / "auto" / "results.jsonl")


def test_a_sweep_with_a_number_keeps_the_number(folder, tiny_celeba, monkeypatch):
    monkeypatch.chdir(folder)
    run_step(STEP_3, *flags(tiny_celeba, results="both/results.jsonl"), *ERASE, "--strength", 3, "--frontier", 1)
    found = last_line(folder / "both" / "results.jsonl")
    assert found["graph"]["strength"] == found["frontier"]["used"] == 3 and found["frontier"]["chosen"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--frontier"], "--frontier and --strength auto need --method erase"),
        (["--strength", "auto"], "--frontier and --strength auto need --method erase"),
        ([*ERASE, "--strength", "auto", "--evaluate_only"], "no --evaluate_only"),
        ([*ERASE, "--strength", "much"], "expected a number above 0, or auto, got 'much'"),
        ([*ERASE, "--strength", "-1"], "expected a number above 0, or auto, got '-1'"),
        ([*ERASE, "--frontier", "1", "0"], "expected a number above 0, got '0'"),
    ],
)
def test_mistakes_are_one_line(folder, tiny_celeba, words, said):
    done = run_command(STEP_3, *flags(tiny_celeba), *words, folder=folder)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
