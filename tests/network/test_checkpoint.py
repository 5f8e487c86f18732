"""Networks on disk: what is written is what is read, and nothing else is."""

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models import build_model
from utils.common.errors import InputError
from utils.network.checkpoint import (
    Checkpoint,
    check_matches,
    load_checkpoint,
    read_state_dict,
    restore,
    save_checkpoint,
)
from utils.network.loading import load_network
from utils.network.records import says_how
from utils.network.tensor_files import sha256_of

SMALL = "shufflenet_v2_x0_5"
HEADS = ("Bald", "Smiling")


def some(**changes):
    """A checkpoint of a few numbers."""
    state = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.zeros(2), "steps": torch.tensor(3)}
    given = {"state_dict": state, "model": "resnet18", "attributes": HEADS, "img_size": 64, "seed": 1, "epoch": 2}
    given |= {"arguments": {"lr": 0.1, "task_labels": list(HEADS)}, "versions": {"torch": "2"}}
    return Checkpoint(**{**given, **changes})


def test_what_is_saved_is_what_is_loaded(tmp_path):
    saved = some(parent_sha256="ab" * 32, kind="pruned_Bald")
    save_checkpoint(tmp_path / "new" / "a.pth", saved)
    loaded = load_checkpoint(tmp_path / "new" / "a.pth")
    for field in dataclasses.fields(Checkpoint):
        if field.name != "state_dict":
            assert getattr(loaded, field.name) == getattr(saved, field.name), field.name
    assert loaded.state_dict.keys() == saved.state_dict.keys()
    for name, value in saved.state_dict.items():
        assert torch.equal(loaded.state_dict[name], value) and loaded.state_dict[name].dtype == value.dtype


def test_the_returned_digest_is_that_of_the_file(tmp_path):
    digest = save_checkpoint(tmp_path / "a.pth", some())
    by_hand = hashlib.sha256((tmp_path / "a.pth").read_bytes()).hexdigest()
    assert digest == by_hand == sha256_of(tmp_path / "a.pth")


def test_any_program_can_open_it_with_weights_only(tmp_path):
    save_checkpoint(tmp_path / "a.pth", some())
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    expected = "state_dict model attributes img_size normalisation seed epoch arguments versions parent_sha256 kind"
    assert type(content) is dict and set(content) == set(expected.split())


def test_equal_content_gives_equal_bytes_whatever_the_file_the_memory_layout_and_the_order_of_arguments(tmp_path):
    first = save_checkpoint(tmp_path / "first.pth", some())
    whole = torch.arange(60.0).reshape(10, 6)[:1].reshape(2, 3).t().contiguous().t()  # a strided part of something big
    state = {"".join(["fc.", "weight"]): whole, "fc.bias": torch.zeros(2), "steps": torch.tensor(3)}
    arguments = {"task_labels": (HEADS[0], "Smi" + "ling"), "lr": np.float64(0.1)}
    other = some(state_dict=state, arguments=arguments, attributes=list(HEADS))
    assert save_checkpoint(tmp_path / "elsewhere" / "b.pth", other) == first
    assert save_checkpoint(tmp_path / "c.pth", load_checkpoint(tmp_path / "first.pth")) == first


def test_paths_devices_and_workers_stay_out_of_the_file(tmp_path):
    first = save_checkpoint(tmp_path / "a.pth", some())
    here = {"data_path": "/here", "device": "cuda", "num_workers": 9, "results": "x", "weights": None}
    assert save_checkpoint(tmp_path / "b.pth", some(arguments={**some().arguments, **here})) == first


def test_arguments_of_any_kind_become_plain_values(tmp_path):
    odd = {"p": Path("a") / "b", "n": np.int64(3), "t": torch.tensor(2.5), "s": {"b", "a"}, "d": {"x": (1, None, True)}}
    save_checkpoint(tmp_path / "a.pth", some(arguments=odd))
    plain = {"p": "a/b", "n": 3, "t": 2.5, "s": ["a", "b"], "d": {"x": [1, None, True]}}
    assert load_checkpoint(tmp_path / "a.pth").arguments == plain


def test_a_view_does_not_take_its_whole_storage_into_the_file(tmp_path):
    big = torch.zeros(1_000_000)
    save_checkpoint(tmp_path / "a.pth", some(state_dict={"w": big[:3]}))
    assert (tmp_path / "a.pth").stat().st_size < 10_000


@pytest.mark.parametrize("changes", [{"attributes": ()}, {"attributes": ("Bald", "Bald")}, {"state_dict": {}}])
def test_a_checkpoint_that_makes_no_sense_is_not_built(changes):
    with pytest.raises(ValueError, match="must"):
        some(**changes)


def test_an_absent_checkpoint_names_the_step_that_writes_it(tmp_path):
    step_1 = r"no checkpoint at .*original.pth: run step 1 first \(python unlearning_multi_celeba_resnet18_original.py"
    with pytest.raises(InputError, match=step_1):
        load_checkpoint(tmp_path / "original.pth")
    with pytest.raises(InputError, match="run step 3 first"):
        load_checkpoint(tmp_path / "pruned_Bald.pth")
    with pytest.raises(InputError, match="train the oracle first .* --leave_out"):
        load_checkpoint(tmp_path / "oracle_Bald.pth")


@pytest.mark.parametrize("keep", [0, 1, 100, 700, -1])
def test_a_damaged_file_is_one_clear_line(keep, tmp_path):
    save_checkpoint(tmp_path / "a.pth", some())
    whole = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(whole[:keep])
    for read in (load_checkpoint, read_state_dict):
        with pytest.raises(InputError, match="a.pth is damaged"):
            read(tmp_path / "a.pth")


def test_a_text_file_is_no_checkpoint(tmp_path):
    (tmp_path / "a.pth").write_text("hello, this is a text of some length\n" * 20)
    with pytest.raises(InputError, match="damaged or no PyTorch file"):
        load_checkpoint(tmp_path / "a.pth")


def test_a_plain_state_dict_is_no_checkpoint_and_the_flag_for_it_is_named(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(
        InputError, match="not a checkpoint of these scripts: a plain state dict is passed with --weights"
    ):
        load_checkpoint(tmp_path / "a.pth")


def test_a_checkpoint_of_another_normalisation_is_refused(tmp_path):
    save_checkpoint(tmp_path / "a.pth", some())
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    torch.save({**content, "normalisation": "x / 255"}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="is not valid: normalisation must be"):
        load_checkpoint(tmp_path / "a.pth")


def test_a_mismatch_names_both_sides_and_the_cure():
    message = (
        "checkpoint ck/original.pth has attributes Bald Smiling, asked for is Smiling Bald: "
        r"pass --task_labels Bald Smiling, or run step 1 first \(python .*_original.py"
    )
    with pytest.raises(InputError, match=message):
        check_matches(some(), "ck/original.pth", attributes=["Smiling", "Bald"])
    with pytest.raises(InputError, match="has img size 64, asked for is 224: pass --img_size 64"):
        check_matches(some(), "ck/original.pth", attributes=HEADS, img_size=224)
    with pytest.raises(InputError, match="has model resnet18, asked for is vgg16: pass --model resnet18"):
        check_matches(some(), "ck/original.pth", model="vgg16")


def test_what_matches_passes_and_an_unknown_field_is_a_bug():
    check_matches(some(), "p", attributes=list(HEADS), model="resnet18", img_size=64, seed=1)
    with pytest.raises(KeyError, match="no 'size'"):
        check_matches(some(), "p", size=64)


def test_a_restored_network_answers_as_the_saved_one(tmp_path):
    model = build_model(SMALL, HEADS).eval()
    save_checkpoint(tmp_path / "a.pth", some(state_dict=model.state_dict(), model=SMALL))
    images = torch.rand(2, 3, 32, 32)
    drawn = torch.get_rng_state()
    restored = restore(load_checkpoint(tmp_path / "a.pth"), "cpu")
    assert torch.equal(torch.get_rng_state(), drawn)  # building it did not shift anyone's seed
    assert restored.attributes == HEADS and not restored.training
    with torch.no_grad():
        assert torch.equal(restored(images), model(images))


def test_tensors_that_do_not_fit_the_architecture_are_listed(tmp_path):
    model = build_model(SMALL, ("Bald",))
    with pytest.raises(InputError, match="original checkpoint do not fit .* of another shape: fc.weight"):
        restore(some(state_dict=model.state_dict(), model=SMALL))


def test_a_state_dict_is_found_plain_wrapped_and_in_a_checkpoint(tmp_path):
    state = {"fc.weight": torch.ones(2, 3)}
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "wrapped.pth")
    torch.save({"model": state, "optimizer": {"lr": 1.0}}, tmp_path / "model.pth")
    save_checkpoint(tmp_path / "own.pth", some(state_dict=state))
    for name in ("plain", "wrapped", "model", "own"):
        found = read_state_dict(tmp_path / f"{name}.pth")
        assert found.keys() == state.keys() and torch.equal(found["fc.weight"], state["fc.weight"]), name


def test_a_whole_pickled_network_is_refused_with_the_way_to_save_its_weights(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "net.pth")
    cure = r'net.pth holds more than tensors, .* save only its weights: .*\).state_dict\(\), ".*net_weights.pth"\)'
    for read in (read_state_dict, load_checkpoint):
        with pytest.raises(InputError, match=cure):
            read(tmp_path / "net.pth")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path(self.file),))


def test_nothing_in_a_file_is_run(tmp_path):
    trap = Trap()
    trap.file = str(tmp_path / "sprung")
    torch.save({"w": torch.ones(1), "x": trap}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="holds more than tensors"):
        read_state_dict(tmp_path / "a.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}, torch.ones(2), {1: torch.ones(1)}])
def test_a_file_without_a_state_dict_says_so(content, tmp_path):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match="holds no state dict: save one with"):
        read_state_dict(tmp_path / "a.pth")


def test_absent_weights_and_folders_are_told(tmp_path):
    with pytest.raises(InputError, match="no weights at .*w.pth: name a file"):
        read_state_dict(tmp_path / "w.pth")
    with pytest.raises(InputError, match="no checkpoint at"):
        load_checkpoint(tmp_path)
    with pytest.raises(InputError, match="cannot read .*: Is a directory"):
        sha256_of(tmp_path)


def test_a_flipped_bit_anywhere_is_one_clear_line(tmp_path):
    save_checkpoint(tmp_path / "a.pth", some())
    whole, file = (tmp_path / "a.pth").read_bytes(), tmp_path / "b.pth"
    for place in [*range(0, len(whole), 97), *range(len(whole) - 110, len(whole))]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(InputError, match="b.pth is damaged"):
            load_checkpoint(file)
    file.write_bytes(whole)
    assert load_checkpoint(file).img_size == 64


def test_files_without_a_checksum_are_opened_as_they_are(tmp_path):
    save_checkpoint(tmp_path / "a.pth", some())
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    torch.save(content, tmp_path / "earlier.pth")
    assert load_checkpoint(tmp_path / "earlier.pth").attributes == HEADS


def test_the_checksum_is_the_comment_of_the_zip_archive(tmp_path):
    save_checkpoint(tmp_path / "a.pth", some())
    whole = (tmp_path / "a.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        assert archive.comment == b"sha256:" + hashlib.sha256(whole[:-71]).hexdigest().encode()
        assert archive.testzip() is None


def test_weights_of_ones_own_are_refused_at_a_size_that_the_network_does_not_take(tmp_path):
    for model, size, cure in (("vit_b_16", 64, 224), ("alexnet", 32, 64)):
        torch.save({"w": torch.ones(1)}, tmp_path / "mine.pth")
        with pytest.raises(InputError, match=rf"{model} takes no images of {size} px \(.*\): use --img_size {cure}"):
            load_network(None, HEADS, weights=tmp_path / "mine.pth", name=model, img_size=size)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_though_no_output_may_show_it(value, tmp_path):
    state = build_model(SMALL, HEADS).state_dict()
    state["conv5.0.weight"][0] = state["fc.bias"][1] = value
    save_checkpoint(tmp_path / "original.pth", some(state_dict=state, model=SMALL))
    line = r"original.pth are not finite \(192 of 196,608 values of conv5.0.weight\): the training diverged"
    for given in ({"path": tmp_path / "original.pth"}, {"path": None, "weights": tmp_path / "original.pth"}):
        with pytest.raises(InputError, match=line):
            load_network(attributes=HEADS, **given)


@pytest.mark.parametrize(
    "made",
    [
        *(None, "erase", [], {}, {"rule": 1}, {"rule": "erase"}, {"rule": "erase", "strength": "2"}),
        *({"rule": "erase", "strength": wrong} for wrong in (float("nan"), float("inf"), -1, 10**400)),
        *(
            {"rule": "balance", "pruned": []},
            {"rule": "balance", "pruned": {"x": 3}},
            {"rule": "balance", "pruned": {"x": ["3"]}},
            {"rule": "balance", "layers": "x"},
        ),
    ],
)
def test_a_record_that_says_not_how_a_checkpoint_was_unlearned_is_told(made):
    assert not says_how(made)
    assert says_how({"rule": "erase", "strength": 2}) and says_how({"rule": "balance", "pruned": {"x": [3]}})
