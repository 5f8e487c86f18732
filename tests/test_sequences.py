"""Unlearnings that follow one another: what was made first is kept, and each line says what its checkpoint is."""

import json
import shutil

import pytest
import torch
from conftest import STEP_1, STEP_2, STEP_3, erase_with_few_images, run_step

from utils.common.errors import InputError
from utils.network.checkpoint import load_checkpoint

TASK = ["Bald", "Eyeglasses"]
FOLDER = "checkpoints/Bald_Eyeglasses"


@pytest.fixture(scope="module")
def trained(tiny_celeba, tmp_path_factory):
    """A folder in which step 1 has run for one epoch."""
    folder = tmp_path_factory.mktemp("sequences")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["--task", *TASK, "--data_path", tiny_celeba, "--device", "cpu"]
        run_step(STEP_1, *words, "--img_size", 32, "--epoch", 1, "--batch_size", 30)
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
    for made, words in ((pruned, []), (erased, ["--method", "erase"]), (pruned, ["--method", "prune"])):
        line = step(STEP_3, "--evaluate_only", *words)
        for same in ("method", "pruned", "heads", "graph", "checkpoint_sha256", "parent_sha256", "proportion"):
            assert line[same] == made[same], same
        assert line["seconds"] == {} and {**line["arguments"], **made["arguments"]} == line["arguments"]
    assert pruned["method"] == "prune" and sum(pruned["pruned"].values()) and "erase" not in pruned["seconds"]
    assert erased["method"] == "erase, strength 2" and erased["pruned"] == {} and "prune" not in erased["seconds"]
    assert erased["arguments"]["strength"] == 2


def test_a_checkpoint_under_another_method_s_name_is_called_what_it_is(step):
    made = step(STEP_3, "--method", "erase", "--strength", 0.5)
    shutil.copy(f"{FOLDER}/erased_Bald.pth", f"{FOLDER}/pruned_Bald.pth")
    line = step(STEP_3, "--evaluate_only")
    assert line["method"] == made["method"] == "erase, strength 0.5" and line["pruned"] == {}
    assert line["arguments"]["method"] == "erase" and line["arguments"]["strength"] == 0.5


def test_what_another_network_gave_is_not_overwritten(step, capsys):
    own = ["--method", "erase", "--target", "Eyeglasses"]
    direct = step(STEP_3, *own)
    step(STEP_3, "--method", "erase")
    before = open(f"{FOLDER}/erased_Eyeglasses.pth", "rb").read()
    follow = [*own, "--weights", f"{FOLDER}/erased_Bald.pth"]
    with pytest.raises(InputError, match="erased_Eyeglasses.pth holds what another network gave.*pass --run_name"):
        step(STEP_3, *follow)
    assert open(f"{FOLDER}/erased_Eyeglasses.pth", "rb").read() == before
    capsys.readouterr()
    second = step(STEP_3, *follow, "--run_name", "both")
    assert "empty before" in capsys.readouterr().out and second["parent_sha256"] != direct["parent_sha256"]
    assert step(STEP_3, *follow, "--run_name", "both")["checkpoint_sha256"] == second["checkpoint_sha256"]
    assert step(STEP_3, *own, "--strength", 2)["checkpoint_sha256"] != direct["checkpoint_sha256"]  # of one parent
    line = step(STEP_3, *follow, "--run_name", "both", "--evaluate_only")
    assert line["method"] == "erase" and line["checkpoint_sha256"] == second["checkpoint_sha256"]
    shutil.copy(f"{FOLDER}/original.pth", "checkpoints/both/original.pth")
    with pytest.raises(InputError, match="holds what another network gave"):  # nor the other way round
        step(STEP_3, *own, "--run_name", "both")


def test_a_run_that_was_trained_again_may_be_unlearned_again(step):
    first = step(STEP_3, "--method", "erase")
    step(STEP_1, "--img_size", 32, "--epoch", 1, "--batch_size", 30, "--seed", 1, "--force")
    second = step(STEP_3, "--method", "erase")
    assert second["parent_sha256"] != first["parent_sha256"]
    assert load_checkpoint(f"{FOLDER}/erased_Bald.pth").parent_sha256 == second["parent_sha256"]


def test_a_graph_of_another_network_is_not_overwritten_by_one_of_weights(step):
    step(STEP_2, "--num_images", 4)
    graph = open("graphs/Bald_Eyeglasses/Bald.json", "rb").read()
    checkpoint = load_checkpoint(f"{FOLDER}/original.pth")
    torch.save({name: value + 0 for name, value in checkpoint.state_dict.items()}, "own.pth")
    own = ["--num_images", 4, "--weights", "own.pth", "--model", checkpoint.model, "--img_size", 32]
    with pytest.raises(InputError, match="is the graph of another network than own.pth: pass --run_name"):
        step(STEP_2, *own)
    assert open("graphs/Bald_Eyeglasses/Bald.json", "rb").read() == graph
    step(STEP_2, *own, "--run_name", "own")
    step(STEP_2, *own, "--run_name", "own")
    step(STEP_2, "--num_images", 4)
    assert open("graphs/Bald_Eyeglasses/Bald.json", "rb").read() == graph


def test_votes_in_the_released_text_are_named_as_released(step, capsys):
    step(STEP_2, "--num_images", 4, "--released_txt")
    capsys.readouterr()
    line = step(STEP_3, "--graph", "important/Bald_Eyeglasses_celeba_0_target_important_dict.txt")
    assert "prune, as released" in capsys.readouterr().out.split("test images")[0]
    assert line["method"] == "prune, as released"
