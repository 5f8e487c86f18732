import hashlib

import pytest
import torch
from conftest import STEP_1, STEP_3, run_command, run_step, stir_batch_norms

from models import build_model
from utils.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from utils.dataflow import trace_dataflow
from utils.errors import InputError
from utils.network import open_network
from utils.pruning import zero_channels
from utils.undo import changed_rows, read_undo, restore_original, write_original, write_undo

CHANNELS = {"layer4.0.conv1": [0, 7, 200], "layer4.0.conv2": [3], "layer3.1.conv2": [1, 2]}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Folder of an original ResNet-18, the same pruned, and the undo file."""
    folder = tmp_path_factory.mktemp("undo")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = stir_batch_norms(build_model("resnet18", ["Bald", "Smiling"]))
    model.layer4[0].conv1.weight.data[7, 0] = -0.0  # zero already, but not the same bits as what pruning writes
    about = {"model": "resnet18", "attributes": ("Bald", "Smiling"), "img_size": 64, "seed": 5, "epoch": 2}
    save_checkpoint(folder / "original.pth", Checkpoint(model.state_dict(), **about, arguments={"lr": 0.1}))
    source = open_network(folder / "original.pth", ["Bald", "Smiling"])
    before = {name: value.clone() for name, value in source.model.state_dict().items()}
    zero_channels(source.model, CHANNELS, trace_dataflow(source.model).batch_norm)
    unlearned = Checkpoint(source.model.state_dict(), **about, parent_sha256=source.sha256, kind="unlearned_Bald")
    save_checkpoint(folder / "unlearned_Bald.pth", unlearned)
    write_undo(folder / "undo.pth", source, before, folder / "unlearned_Bald.pth")
    return folder


def same_bits(one, other):
    return one.numpy().tobytes() == other.numpy().tobytes()


def test_the_undo_of_a_pruning_brings_back_every_bit_and_the_file_itself(pair, tmp_path):
    original, undo = restore_original(pair / "unlearned_Bald.pth", pair / "undo.pth")
    expected = load_checkpoint(pair / "original.pth")
    assert list(original.state_dict) == list(expected.state_dict)
    assert all(same_bits(value, original.state_dict[name]) for name, value in expected.state_dict.items())
    assert write_original(tmp_path / "again.pth", original, undo)
    assert (tmp_path / "again.pth").read_bytes() == (pair / "original.pth").read_bytes()


def test_an_undo_file_holds_the_removed_rows_and_little_else(pair):
    undo = read_undo(pair / "undo.pth")
    widths = {"layer4.0.conv1": 256 * 9, "layer4.0.conv2": 512 * 9, "layer3.1.conv2": 256 * 9}
    removed = sum(len(rows) * (widths[layer] + 2) for layer, rows in CHANNELS.items())  # filter, scale and shift
    assert sum(value.numel() for value in undo.values.values()) == removed
    assert 4 * removed < (pair / "undo.pth").stat().st_size < 4 * removed + 20_000
    assert undo.rows["layer4.0.conv1.weight"].tolist() == [0, 7, 200]


def test_another_unlearned_checkpoint_is_refused_with_exit_code_2(pair, tmp_path):
    words = ["--unlearned", pair / "original.pth", "--undo_file", pair / "undo.pth", "--out", tmp_path / "out.pth"]
    answer = run_command("restore_network", *words, folder=tmp_path)
    assert answer.returncode == 2 and len(answer.stderr.splitlines()) == 1
    assert "belongs to an unlearned checkpoint of sha256" in answer.stderr
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["values"]["layer4.0.conv2.weight"].add_(1), "what it restores is not the original"),
        (lambda content: content["rows"].pop("layer4.0.conv2.weight"), "must name the same tensors as"),
        (lambda content: content["rows"]["layer4.0.conv2.weight"].add_(600), "is damaged"),
        (lambda content: content.pop("values"), "is no undo file"),
    ],
)
def test_a_damaged_undo_file_is_refused(pair, tmp_path, change, message):
    content = torch.load(pair / "undo.pth", weights_only=True)
    change(content)
    torch.save(content, tmp_path / "undo.pth")
    with pytest.raises(InputError, match=message):
        restore_original(pair / "unlearned_Bald.pth", tmp_path / "undo.pth")


def test_a_difference_of_the_whole_network_is_refused_with_its_size(pair, tmp_path):
    source = open_network(pair / "original.pth", ["Bald", "Smiling"])
    moved = {name: value + 1 for name, value in source.model.state_dict().items()}
    with pytest.raises(InputError, match=r"whole difference, 44\.\d MB: the original itself, .*original.pth"):
        write_undo(tmp_path / "undo.pth", source, moved, pair / "unlearned_Bald.pth")
    assert not (tmp_path / "undo.pth").exists()


def test_rows_are_compared_bit_by_bit_and_numbers_count_as_rows():
    before = {"a": torch.tensor([[0.0, 1.0], [-0.0, 2.0]]), "n": torch.tensor(3), "same": torch.ones(2)}
    after = {"a": torch.tensor([[0.0, 1.0], [0.0, 2.0]]), "n": torch.tensor(4), "same": torch.ones(2)}
    rows, values = changed_rows(before, after)
    assert {name: found.tolist() for name, found in rows.items()} == {"a": [1], "n": [0]}
    assert same_bits(values["a"], torch.tensor([[-0.0, 2.0]])) and values["n"].tolist() == [3]


def test_step_3_writes_an_undo_file_only_on_request(tiny_celeba, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shared = ["--task", "Bald", "Eyeglasses", "--data_path", tiny_celeba, "--device", "cpu"]
    run_step(STEP_1, *shared, "--epoch", 1, "--batch_size", 30, "--img_size", 32)
    run_step("unlearning_multi_celeba_resnet18_generate_graph", *shared, "--target", "Bald")
    run_step(STEP_3, *shared, "--target", "Bald")
    folder = tmp_path / "checkpoints" / "Bald_Eyeglasses"
    assert not list(tmp_path.rglob("*undo*"))
    plain = (folder / "unlearned_Bald.pth").read_bytes()
    run_step(STEP_3, *shared, "--target", "Bald", "--undo_file", "undo.pth")
    assert (folder / "unlearned_Bald.pth").read_bytes() == plain  # nothing in it tells that it can be undone
    words = ["--unlearned", folder / "unlearned_Bald.pth", "--undo_file", "undo.pth", "--out", "back.pth"]
    run_step("restore_network", *words)
    digests = {
        hashlib.sha256(file.read_bytes()).hexdigest() for file in (folder / "original.pth", tmp_path / "back.pth")
    }
    assert len(digests) == 1 and "the file equals the original's, too" in capsys.readouterr().out
    run_step(STEP_3, *shared, "--target", "Bald", "--method", "erase", "--undo_file", "undo.pth")
    run_step("restore_network", *words)
    assert (tmp_path / "back.pth").read_bytes() == (folder / "original.pth").read_bytes()
    undo = read_undo(tmp_path / "undo.pth")
    edited = {name: rows.tolist() for name, rows in undo.rows.items() if "conv2" in name}
    middles = {name: rows for name, rows in edited.items() if name.endswith("@taps")}
    assert len(edited) == 8 and len(middles) == 6 and all(rows == [4] for rows in middles.values())
    assert set(edited) - set(middles) == {"layer1.0.conv2.weight", "layer1.1.conv2.weight"}  # the whole kernel
    assert set(undo.codes) == set(edited) and (tmp_path / "undo.pth").stat().st_size < 1_300_000
