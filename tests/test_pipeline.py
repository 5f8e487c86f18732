"""The three scripts, one after the other, as a person runs them."""

import json
import shutil

import pytest
import torch
from conftest import (
    STEP_1,
    STEP_2,
    STEP_3,
    audit_without_costly_attacks,
    erase_with_few_images,
    run_command,
    run_here,
    run_step,
    same_values_share,
)

from utils.graph.essential_graph import read_graph
from utils.network.checkpoint import load_checkpoint

TASK = ["Bald", "Eyeglasses"]
NAME = "Bald_Eyeglasses"
SMALL = "shufflenet_v2_x0_5"  # where another network would do
TRAINING = {"img_size": 32, "epoch": 1, "batch_size": 30, "scheduler": "onecycle", "lr": "1e-3"}


def flags(data, **more):
    """Flags that every step shares: two heads, 32 px, one thread."""
    words = ["--task", *TASK, "--data_path", data, "--device", "cpu"]
    return words + [word for name, value in more.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="module")
def trained(tiny_celeba, tmp_path_factory):
    """A folder in which step 1 has run for one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    done = run_here(STEP_1, *flags(tiny_celeba, **TRAINING), folder=folder)
    assert done.returncode == 0, done.stderr
    assert "Bald" in done.stdout and "epoch 1/1" in done.stdout
    return folder


@pytest.fixture(scope="module")
def made(trained, tiny_celeba, tmp_path_factory):
    """A folder in which all three steps have run, the last two as processes of their own, and what step 3 said."""
    folder = tmp_path_factory.mktemp("made")
    copy(trained, folder)
    second = run_command(STEP_2, *flags(tiny_celeba, num_images=8), "--released_txt", folder=folder)
    assert second.returncode == 0, second.stderr
    third = run_command(STEP_3, *flags(tiny_celeba), folder=folder)
    assert third.returncode == 0, third.stderr
    return folder, third.stdout


@pytest.fixture
def unlearned(made, tmp_path, monkeypatch):
    """A copy of that folder, which is the working folder."""
    copy(made[0], tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def copy(folder, other):
    """Copy what steps 2 and 3 read and write; the states of trainings are large."""
    shutil.copytree(folder, other, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*_state.pth", "*_best.pth"))


def test_three_commands_train_score_and_unlearn(made):
    trained, said = made
    assert "Bald (forgotten)" in said and "AUC" in said

    original = load_checkpoint(trained / "checkpoints" / NAME / "original.pth")
    unlearned = load_checkpoint(trained / "checkpoints" / NAME / "pruned_Bald.pth")
    graph = read_graph(trained / "graphs" / NAME / "Bald.json")
    assert unlearned.parent_sha256 == graph.made_by["parent_sha256"]
    changed = {k for k, v in original.state_dict.items() if not torch.equal(v, unlearned.state_dict[k])}
    assert changed <= {f"{layer}.weight" for layer in graph.layers} | {
        f"layer{stage}.{what}"
        for stage in ("3.1.bn2", "4.0.bn1", "4.0.bn2", "4.0.downsample.1", "4.1.bn1")
        for what in ("weight", "bias")
    }
    for layer, channels in graph.prune.items():
        assert torch.count_nonzero(unlearned.state_dict[f"{layer}.weight"][channels]) == 0

    line = json.loads((trained / "results" / "results.jsonl").read_text().splitlines()[-1])
    wanted = {"run", "attributes", "forgotten", "method", "model", "img_size", "seed", "heads", "pruned", "seconds"}
    wanted |= {"peak_rss_bytes", "arguments", "versions", "commit", "date", "checkpoint_sha256"}
    assert wanted <= set(line)
    assert line["forgotten"] == ["Bald"] and line["attributes"] == TASK
    figures = {"n", "auc", "average_precision", "balanced_accuracy", "accuracy", "tpr", "tnr"}
    assert figures | {"tpr_all_positive", "n_all_positive"} <= set(line["heads"]["Bald"]["after"])
    assert line["pruned"] == {layer: len(channels) for layer, channels in graph.prune.items()}
    assert (trained / "results" / NAME / "Bald" / "pruned" / "before_after.png").is_file()
    assert (trained / "important" / f"{NAME}_celeba_0_target_important_dict.txt").is_file()
    assert not [path for path in trained.rglob("*.tmp")]


def test_equal_seeds_give_byte_equal_files(trained, made, tiny_celeba, tmp_path, monkeypatch):
    files = ["checkpoints/Bald_Eyeglasses/original.pth", "graphs/Bald_Eyeglasses/Bald.json"]
    files += ["graphs/Bald_Eyeglasses/Bald.graphml", "graphs/Bald_Eyeglasses/Bald.png"]
    files += ["checkpoints/Bald_Eyeglasses/pruned_Bald.pth", "results/Bald_Eyeglasses/Bald/pruned/before_after.png"]
    monkeypatch.chdir(tmp_path)
    run_step(STEP_1, *flags(tiny_celeba, **TRAINING))
    run_step(STEP_2, *flags(tiny_celeba, num_images=8))
    run_step(STEP_3, *flags(tiny_celeba))
    assert [(tmp_path / file).read_bytes() == (made[0] / file).read_bytes() for file in files] == [True] * len(files)


def test_step_2_scores_several_targets_by_name_and_draws_on_request(trained, tiny_celeba, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--task", "Bald", "Eyeglasses", "Smiling", "--data_path", tiny_celeba, "--img_size", 32, "--epoch", 1]
    run_step(STEP_1, *words, "--batch_size", 30, "--model", SMALL)
    words = words[:6]
    run_step(STEP_2, *words, "--target", "Eyeglasses", "Bald", "--num_images", 3, "--show_cams", 2, "--layers", 1)
    graph = read_graph(tmp_path / "graphs" / "Bald_Eyeglasses_Smiling" / "Bald_Eyeglasses.json")
    assert graph.forgotten == ("Bald", "Eyeglasses") and list(graph.layers) == ["stage4.3.branch2.5"]
    assert (tmp_path / "results/Bald_Eyeglasses_Smiling/Bald_Eyeglasses/cams_stage4.3.branch2.5.png").is_file()
    run_step(STEP_3, *words, "--target_class", 0, 1)
    run_step(STEP_2, *words, "--target_class", 2, "--num_images", 3, "--layers", 1, "--importance_curve")
    curve = (tmp_path / "results/Bald_Eyeglasses_Smiling/Smiling/importance_curve.csv").read_text().splitlines()
    assert len(curve) == 1 + 3 * 21 * 3  # header; orders x shares x heads


def test_evaluate_only_evaluates_what_is_there_and_changes_nothing(unlearned, tiny_celeba, capsys):
    network = unlearned / "checkpoints" / NAME / "pruned_Bald.pth"
    before, lines = network.read_bytes(), (unlearned / "results/results.jsonl").read_text().splitlines()
    run_step(STEP_3, *flags(tiny_celeba), "--evaluate_only")
    again = (unlearned / "results/results.jsonl").read_text().splitlines()
    assert len(again) == len(lines) + 1 and network.read_bytes() == before
    assert json.loads(again[-1])["heads"] == json.loads(lines[-1])["heads"]
    capsys.readouterr()
    run_step(STEP_1, *flags(tiny_celeba, img_size=32), "--evaluate_only")
    assert "Eyeglasses" in capsys.readouterr().out


def test_released_text_and_json_prune_the_same_channels(unlearned, tiny_celeba):
    network = unlearned / "checkpoints" / NAME / "pruned_Bald.pth"
    by_json = load_checkpoint(network).state_dict
    network.unlink()
    votes = unlearned / "important" / f"{NAME}_celeba_0_target_important_dict.txt"
    run_step(STEP_3, *flags(tiny_celeba), "--graph", votes)
    by_text = load_checkpoint(network).state_dict
    assert all(torch.equal(by_json[name], by_text[name]) for name in by_json)


@pytest.fixture(scope="module")
def oracle(trained, tiny_celeba, tmp_path_factory):
    """The checkpoint of a network that step 1 trained without a head."""
    folder = tmp_path_factory.mktemp("oracle")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_step(STEP_1, *flags(tiny_celeba, **TRAINING), "--leave_out", "Bald")
    return folder / "checkpoints" / NAME / "oracle_Bald.pth"


def test_an_oracle_lacks_the_head_and_shares_no_values_with_the_original(trained, oracle):
    from models import build_model
    from utils.common.run import seed_everything
    from utils.network.checkpoint import restore
    from utils.training.recipe import first_weights_seed

    oracle = load_checkpoint(oracle)
    assert oracle.attributes == ("Eyeglasses",) and oracle.kind == "oracle_Bald"

    seed_everything(first_weights_seed(0, ["Bald"]))
    at_step_0 = build_model("resnet18", ["Eyeglasses"])
    trained_original = restore(load_checkpoint(trained / "checkpoints" / NAME / "original.pth"))
    assert same_values_share(trained_original, at_step_0) < 1e-3
    seed_everything(0)
    assert same_values_share(build_model("resnet18", TASK), at_step_0) < 1e-3  # nor with where the original began
    assert same_values_share(at_step_0, at_step_0) == 1.0


def test_steps_2_and_3_take_the_users_own_state_dict_of_another_architecture(tiny_celeba, tmp_path, monkeypatch):
    import torchvision

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(torchvision.models.mobilenet_v3_small(num_classes=2).state_dict(), "mine.pth")
    words = [*flags(tiny_celeba, img_size=32, weights="mine.pth", model="mobilenet_v3_small")]
    run_step(STEP_2, *words, "--num_images", 4)
    run_step(STEP_3, *words)
    unlearned = load_checkpoint(tmp_path / "checkpoints" / NAME / "pruned_Bald.pth")
    graph = read_graph(tmp_path / "graphs" / NAME / "Bald.json")
    assert unlearned.model == "mobilenet_v3_small" and sum(map(len, graph.prune.values())) > 0
    for layer, channels in graph.prune.items():
        assert torch.count_nonzero(unlearned.state_dict[f"{layer}.weight"][channels]) == 0


def test_an_audit_in_step_3_and_on_its_own_writes_the_same_figures(oracle, unlearned, tiny_celeba, monkeypatch, capsys):
    audit_without_costly_attacks(monkeypatch, but=("stitching", "quantisation"))
    shutil.copy(oracle, unlearned / "checkpoints" / NAME)
    run_step(STEP_3, *flags(tiny_celeba), "--audit", "quick", "--results", "audited/results.jsonl")
    said = capsys.readouterr().out
    assert "verdict: " in said and "finds more at" in said and "proof" not in said
    folder = unlearned / "audited" / NAME / "Bald" / "pruned"
    found = json.loads((folder / "audit_Bald.json").read_text())
    line = json.loads((unlearned / "audited" / "results.jsonl").read_text())
    assert line["verdict"]["Bald"]["word"] == found["verdict"]["word"]
    assert line["audit"]["Bald"]["nets"]["unlearned"]["head_auc"]["value"] == line["heads"]["Bald"]["after"]["auc"]
    assert {path.name for path in folder.glob("*.png")} >= {f"audit_Bald_{x}.png" for x in ("roc", "attacks", "kept")}

    networks = [
        "--original",
        f"checkpoints/{NAME}/original.pth",
        "--unlearned",
        f"checkpoints/{NAME}/pruned_Bald.pth",
    ]
    networks += ["--oracle", oracle]
    run_step("tools.audit", *flags(tiny_celeba), *networks, "--out", "alone")
    alone = json.loads((unlearned / "alone" / "audit_Bald.json").read_text())
    assert {k: v for k, v in alone.items() if k != "timing"} == {k: v for k, v in found.items() if k != "timing"}


def test_erase_needs_no_graph_and_writes_what_step_3_writes(tiny_celeba, tmp_path, monkeypatch):
    done = run_here(STEP_3, *flags(tiny_celeba, method="erase"), folder=tmp_path)
    assert done.returncode == 2 and "no checkpoint" in done.stderr
    done = run_here(STEP_1, *flags(tiny_celeba, **TRAINING, model=SMALL), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    words = flags(tiny_celeba, method="erase", strength=2)
    done = run_here(STEP_3, *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the head ranks no better than chance" in done.stdout
    line = json.loads((tmp_path / "results" / "results.jsonl").read_text().splitlines()[-1])
    assert line["method"] == "erase, strength 2"
    assert line["graph"]["images"] == 1792 and line["pruned"] == {}
    assert line["heads"]["Bald"]["after"]["auc"] == 0.5 and line["seconds"]["erase"] > 0
    # the checkpoint says how strong it was
    evaluated = run_here(STEP_3, *flags(tiny_celeba, method="erase"), "--evaluate_only", folder=tmp_path)
    assert evaluated.returncode == 0 and "0.500" in evaluated.stdout
    erase_with_few_images(monkeypatch)
    written = []
    for _ in range(2):
        assert run_here(STEP_3, *words, folder=tmp_path).returncode == 0
        written.append((tmp_path / "checkpoints" / NAME / "erased_Bald.pth").read_bytes())
    assert written[0] == written[1]
