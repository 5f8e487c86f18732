"""Unlearnings that follow one another: what was made first is kept, and each line says what its checkpoint is."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import STEP_1, STEP_2, STEP_3, erase_with_few_images, run_step

from utils.common.errors import InputError
from utils.network.checkpoint import load_checkpoint, save_checkpoint
from utils.network.tensor_files import sha256_of

TASK = ["Bald", "Eyeglasses"]
FOLDER = "checkpoints/Bald_Eyeglasses"


@pytest.fixture(scope="module")
def trained(tiny_celeba, tmp_path_factory):
    """A folder in which step 1 has run for one epoch."""
    folder = tmp_path_factory.mktemp("sequences")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["--task", *TASK, "--data_path", tiny_celeba, "--device", "cpu"]
        words += ["--model", "shufflenet_v2_x0_5", "--img_size", 32]
        run_step(STEP_1, *words, "--epoch", 1, "--batch_size", 30)
    return folder


@pytest.fixture
def step(trained, tiny_celeba, tmp_path, monkeypatch):
    """A function that runs a step in a copy of the trained folder; returns the last line of results or None."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    erase_with_few_images(monkeypatch)

    def run(script, *words):
        run_step(script, "--task", *TASK, "--data_path", tiny_celeba, "--device", "cpu", *words)
        lines = tmp_path / "results" / "results.jsonl"
        return json.loads(lines.read_text().splitlines()[-1]) if lines.is_file() else None

    return run


def test_an_evaluation_says_what_the_checkpoint_is(step, capsys):
    step(STEP_2, "--num_images", 4)
    pruned = step(STEP_3)
    capsys.readouterr()
    erased = step(STEP_3, "--method", "erase", "--strength", 2)
    assert "erase, strength 2" in capsys.readouterr().out.split("wrote")[0]
    for made, words in ((pruned, []), (erased, ["--method", "erase"])):
        line = step(STEP_3, "--evaluate_only", *words)
        assert "empty before" not in capsys.readouterr().out
        for same in ("method", "pruned", "heads", "graph", "checkpoint_sha256", "parent_sha256", "proportion"):
            assert line[same] == made[same], same
        assert line["seconds"] == {} and {**line["arguments"], **made["arguments"]} == line["arguments"]
    assert pruned["method"] == "prune" and sum(pruned["pruned"].values()) and "erase" not in pruned["seconds"]
    assert erased["method"] == "erase, strength 2" and erased["pruned"] == {} and "prune" not in erased["seconds"]
    assert erased["arguments"]["strength"] == 2
    shutil.copy(f"{FOLDER}/erased_Bald.pth", f"{FOLDER}/pruned_Bald.pth")  # under another method's name
    line = step(STEP_3, "--evaluate_only")
    assert line["method"] == "erase, strength 2" and line["pruned"] == {} and line["arguments"]["method"] == "erase"


def test_an_attribute_after_another_keeps_what_was_made_of_the_original(step, capsys):
    step(STEP_3, "--method", "erase")
    own = ["--method", "erase", "--target", "Eyeglasses"]
    shutil.copy(f"{FOLDER}/erased_Bald.pth", "first.pth")
    direct = load_checkpoint(f"{FOLDER}/erased_Bald.pth")
    save_checkpoint(f"{FOLDER}/erased_Eyeglasses.pth", direct)  # stands for one that was made of the original
    before = Path(f"{FOLDER}/erased_Eyeglasses.pth").read_bytes()
    with pytest.raises(InputError, match="erased_Eyeglasses.pth holds what another network gave.*pass --run_name"):
        step(STEP_3, *own, "--weights", "first.pth")
    assert Path(f"{FOLDER}/erased_Eyeglasses.pth").read_bytes() == before
    capsys.readouterr()
    line = step(STEP_3, *own, "--weights", "first.pth", "--run_name", "both")
    assert "Bald (answers the same whatever it sees)" in capsys.readouterr().out
    assert line["parent_sha256"] == sha256_of("first.pth") and line["graph"]["targets"] == ["Eyeglasses", "Bald"]
