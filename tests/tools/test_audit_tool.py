"""The audit as a command: which networks go together, and what it leaves behind."""

import json

import pytest
import torch
from conftest import audit_without_costly_attacks, run_step

from models import build_model
from utils.audit.verdict import NEXT_STEPS
from utils.common.errors import InputError
from utils.network.checkpoint import Checkpoint, save_checkpoint

TASK = ("Bald", "Eyeglasses")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a checkpoint of 32 px, another of 64 px, and the plain state dict of the first."""
    folder = tmp_path_factory.mktemp("networks")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state_dict = build_model("resnet18", TASK).state_dict()
    for size in (32, 64):
        save_checkpoint(folder / f"{size}.pth", Checkpoint(state_dict, "resnet18", TASK, size))
    torch.save(state_dict, folder / "plain.pth")
    return folder


@pytest.fixture
def audit(files, tiny_celeba, tmp_path, monkeypatch):
    """A function that runs the command on two files in an empty folder, and returns its results line."""

    def run(unlearned, original, *words):
        monkeypatch.chdir(tmp_path)
        audit_without_costly_attacks(monkeypatch)
        words = ["--unlearned", files / unlearned, "--original", files / original, *words]
        run_step("tools.audit", "--task", *TASK, "--data_path", tiny_celeba, "--device", "cpu", *words)
        return json.loads((tmp_path / "results" / "results.jsonl").read_text())

    return run


def test_networks_of_different_image_sizes_are_refused(audit, tmp_path):
    with pytest.raises(InputError, match=r"differ \(unlearned resnet18 at 64 px, original resnet18 at 32 px\)"):
        audit("64.pth", "32.pth")
    with pytest.raises(InputError, match=r"unlearned resnet18 at 224 px, original resnet18 at 32 px.*pass --model and"):
        audit("plain.pth", "32.pth")
    assert not (tmp_path / "results").exists()


def test_a_state_dict_of_the_size_that_is_named_goes_with_a_checkpoint(audit, tmp_path, capsys):
    line = audit("plain.pth", "32.pth", "--img_size", "32", "--method_name", "copied")
    assert (line["method"], line["model"], line["img_size"]) == ("copied", "resnet18", 32)
    assert line["heads"]["Eyeglasses"]["before"] == line["heads"]["Eyeglasses"]["after"]  # one and the same network
    found = json.loads((tmp_path / "results" / "audit" / "audit_Bald.json").read_text())
    assert found["verdict"] == line["verdict"]["Bald"] and found["verdict"]["qualifier"] == "no oracle"
    last = capsys.readouterr().out.splitlines()[-3:]
    assert last[0] == "look at results/audit" and last[1].startswith("verdict on Bald: ")
    assert last[2] == f"next: {NEXT_STEPS[found['verdict']['word']]}"
    changes = line["audit"]["Bald"]["nets"]["unlearned"]["kept_changes"]["Eyeglasses"]
    assert changes["auc"]["value"] == changes["accuracy"]["value"] == 0
