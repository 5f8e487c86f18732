"""Weights as people have them are opened, or refused in one line that names the way out."""

import io
import json
import sys
import zipfile
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models import build_model
from utils.common.errors import InputError
from utils.network import tensor_files, weight_files
from utils.network.checkpoint import Checkpoint, load_checkpoint, read_state_dict, save_checkpoint
from utils.network.loading import load_network

SMALL = "shufflenet_v2_x0_5"
HEADS = ("Bald", "Smiling")


@pytest.fixture(scope="module")
def state():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(SMALL, HEADS).state_dict()


def opened(path, heads=HEADS, **options):
    return load_network(None, heads, weights=path, **{"name": SMALL, **options})


def refused(path, **options):
    with pytest.raises(InputError) as error:
        opened(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def same(network, state):
    found = network.model.state_dict()
    return all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    "keys",
    ["state_dict", "model_state_dict", "model", "net", "network", "weights", "ema", "model_ema state_dict"],
)
def test_a_state_dict_is_found_under_the_usual_keys(keys, state, tmp_path):
    content = state
    for key in reversed(keys.split()):
        content = {key: content, "epoch": 3}
    torch.save(content, tmp_path / "a.pth")
    assert same(opened(tmp_path / "a.pth"), state)


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "_orig_mod.",
        "model.",
        "net.",
        "backbone.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "model.module._orig_mod.",
        "model.net.",
    ],
)
def test_the_prefixes_of_wrappers_are_taken_off(prefix, state, tmp_path):
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "a.pth")
    assert same(opened(tmp_path / "a.pth"), state)


def test_compiled_parts_and_averaged_weights_load(state, tmp_path):
    names = {"module." + name.replace("stage2.0.", "stage2.0._orig_mod."): value for name, value in state.items()}
    torch.save({"n_averaged": torch.tensor(7), **names}, tmp_path / "a.pth")
    assert same(opened(tmp_path / "a.pth"), state)


def test_pretrained_weights_may_carry_a_prefix(state):
    names = {"module." + name: value for name, value in state.items()}
    assert torch.equal(build_model(SMALL, ("a",), names).conv1[0].weight, state["conv1.0.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype, state, tmp_path):
    torch.save({n: v.to(dtype) if v.is_floating_point() else v for n, v in state.items()}, tmp_path / "a.pth")
    model = opened(tmp_path / "a.pth").model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.equal(model.fc.weight, state["fc.weight"].to(dtype).float())


def test_parameters_and_tensors_of_another_device_load(state, tmp_path):
    torch.save(
        {"state_dict": {n: nn.Parameter(v) if v.is_floating_point() else v for n, v in state.items()}},
        tmp_path / "p.pth",
    )
    assert same(opened(tmp_path / "p.pth"), state)
    torch.save(state, tmp_path / "cpu.pth")
    cuda = tmp_path / "cuda.pth"  # what a GPU's file differs in: the device that each storage names
    with zipfile.ZipFile(tmp_path / "cpu.pth") as old, zipfile.ZipFile(cuda, "w") as new:
        for record in old.infolist():
            content = old.read(record)
            if record.filename.endswith("data.pkl"):
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:3")
                assert b"cuda:3" in content
            new.writestr(record, content)
    assert same(opened(cuda), state)


def test_numbers_that_mean_something_else_are_refused(state, tmp_path):
    name = "conv1.0.weight"
    torch.save({**state, name: torch.ones_like(state[name]).to(torch.int8)}, tmp_path / "int.pth")
    assert f"of another kind: {name} int8 instead of float32" in refused(tmp_path / "int.pth")
    torch.save({**state, name: state[name].to("meta")}, tmp_path / "meta.pth")
    assert f"of another kind: {name}" in refused(tmp_path / "meta.pth")
    torch.save({**state, name: state[name].to_sparse()}, tmp_path / "sparse.pth")
    assert "error" not in refused(tmp_path / "sparse.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_no_numbers_are_refused(value, state, tmp_path):
    broken = {name: tensor.clone() for name, tensor in state.items()}
    broken["fc.bias"] = broken["fc.bias"].double()
    broken["fc.bias"][1] = value
    torch.save(broken, tmp_path / "a.pth")
    assert "are not finite (1 of 2 values of fc.bias)" in refused(tmp_path / "a.pth")
    save_checkpoint(tmp_path / "own.pth", Checkpoint(broken, SMALL, HEADS, 32))
    with pytest.raises(InputError, match="are not finite"):
        load_network(tmp_path / "own.pth", HEADS)


@pytest.mark.parametrize(("asked", "said"), [(("A",), "1 (A)"), (("A", "B", "C"), "3 (A B C)")])
def test_another_number_of_heads_is_said(asked, said, state, tmp_path):
    torch.save(state, tmp_path / "a.pth")
    assert f"the file has 2 heads, asked for are {said}" in refused(tmp_path / "a.pth", heads=asked)


def test_weights_of_another_architecture_name_it(tmp_path):
    torch.save({"state_dict": build_model("customresnet", HEADS).state_dict()}, tmp_path / "a.pth")
    assert refused(tmp_path / "a.pth").endswith("it fits --model customresnet")


class Hyperparameters:
    """What a Lightning module keeps beside its weights."""


def test_a_lightning_checkpoint_opens_or_says_how_to_convert_it(state, tmp_path):
    content = Hyperparameters()
    checkpoint = {"pytorch-lightning_version": "2.4", "state_dict": {f"model.{n}": v for n, v in state.items()}}
    torch.save(checkpoint, tmp_path / "plain.ckpt")
    assert same(opened(tmp_path / "plain.ckpt"), state)
    torch.save({**checkpoint, "hyper_parameters": content}, tmp_path / "more.ckpt")
    said = refused(tmp_path / "more.ckpt")
    assert "a Lightning checkpoint" in said and 'weights_only=False)["state_dict"], "' in said
    torch.save({"state_dict": checkpoint["state_dict"], "args": content}, tmp_path / "args.pth")
    assert type(content).__name__ in refused(tmp_path / "args.pth")


def test_safetensors_are_read_where_the_library_is_and_named_where_it_is_not(state, tmp_path, monkeypatch):
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    from utils.network import weight_files

    monkeypatch.setattr(weight_files.util, "find_spec", lambda name: None)
    assert "pip install safetensors" in refused(path)
    library = ModuleType("safetensors.torch")
    library.load_file = lambda path, device: dict(state)
    monkeypatch.setattr(weight_files.util, "find_spec", lambda name: library)
    monkeypatch.setitem(sys.modules, "safetensors", ModuleType("safetensors"))
    monkeypatch.setitem(sys.modules, "safetensors.torch", library)
    assert same(opened(path), state)


def test_whole_networks_and_torchscript_are_refused_with_the_way_out(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "a.pt")
    assert "TorchScript" in (said := refused(tmp_path / "a.pt")) and "torch.jit.load(FILE).state_dict()" in said
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert set(read_state_dict(tmp_path / "old.pth")) == {"weight", "bias"}
    program = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "a.pt2")
    assert "an exported program" in refused(tmp_path / "a.pt2")


def packed():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.pth", b"", "it is empty"),
        ("a.pth", b"hello, a text\n" * 30, "damaged or no PyTorch file"),
        ("a.pth", b'{"attributes": ["Bald"], "layers": {}}', "a graph by --graph"),
        ("a.pth", b"<!DOCTYPE html><html>", "a web page"),
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("a.pth", b"\xff\xd8\xff\xe0\x00\x10JFIF", "is an image"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(50), "is an image"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(50), "a Keras"),
        ("a.npy", b"\x93NUMPY\x01\x00" + bytes(50), "a numpy array"),
        ("a.npz", packed(), "a numpy archive"),
        ("a.onnx", b"\x08\x08\x12\x07pytorch", "an ONNX file"),
        ("a.pth.gz", b"\x1f\x8b\x08" + bytes(50), "unpack it first"),
        ("a.pth", b"PK\x03\x04" + bytes(90), "damaged or no PyTorch file"),
        ("a.pth", b"\x80\x02", "damaged or no PyTorch file"),
    ],
)
def test_other_files_are_named_for_what_they_are(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert said in refused(tmp_path / name)


def test_a_folder_and_an_absent_file_are_named(tmp_path):
    assert "is a folder: name the file" in refused(tmp_path)
    assert "no weights at" in refused(tmp_path / "none.pth")


def test_a_file_without_a_state_dict_lists_its_keys(tmp_path):
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "a.pth")
    assert 'it holds "epoch", "optimizer"' in refused(tmp_path / "a.pth")


class Greedy:
    """Asks for memory when it is opened."""

    def __reduce__(self):
        return (bytearray, (10**12,))


@pytest.mark.parametrize("zipped", [True, False])
def test_no_file_takes_more_memory_than_it_has_bytes(zipped, tmp_path, state):
    torch.save({"w": torch.ones(1), "x": Greedy()}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert "holds more than tensors" in refused(tmp_path / "a.pth")


def test_every_member_of_an_archive_is_looked_at(tmp_path):
    torch.save({"w": torch.ones(1), "x": Greedy()}, tmp_path / "a.pth")
    for decoy in ("a/x/data.pkl", "a/x.pkl", "0/data.pkl", "a/x/DATA.PKL"):
        with zipfile.ZipFile(tmp_path / "a.pth") as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
            new.writestr(decoy, b"\x80\x02}.")
            for record in old.infolist():
                new.writestr(record.filename, old.read(record))
        assert "holds more than tensors" in refused(tmp_path / "b.pth"), decoy


@pytest.mark.parametrize("size", [10**12, 10**16, 2**63 - 1])
def test_a_file_that_asks_for_more_memory_than_any_machine_has_is_damaged(size, tmp_path):
    torch.save({"w": torch.ones(12345)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "a.pth").read_bytes().replace(b"M\x39\x30", b"\x8a\x09" + size.to_bytes(9, "little"))
    (tmp_path / "a.pth").write_bytes(content)
    assert "a.pth is damaged or no PyTorch file" in refused(tmp_path / "a.pth")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_memory_that_is_used_up_is_not_told_as_damage(error, tmp_path, state, monkeypatch):
    def fail(*_, **__):
        raise error

    torch.save(state, tmp_path / "a.pth")
    for where in ("torch.load", "zipfile.ZipFile.testzip"):
        with monkeypatch.context() as patch, pytest.raises(type(error)):
            patch.setattr(where, fail)
            opened(tmp_path / "a.pth")
    monkeypatch.setattr("utils.network.weight_files.import_module", fail)
    with pytest.raises((type(error), InputError)) as raised:
        weight_files.read_safetensors(tmp_path / "a.pth")
    assert raised.value is error or "pip install" in str(raised.value)


def test_a_small_file_does_not_make_a_large_network_be_built(state, tmp_path, monkeypatch):
    monkeypatch.setattr("models.build_model", None)
    monkeypatch.setattr("utils.network.loading.recognise", lambda *_: SMALL)
    torch.save(state, tmp_path / "a.pth")
    said = refused(tmp_path / "a.pth", name="regnet_y_128gf")
    assert "numbers, regnet_y_128gf has more than 636,812,894" in said and said.endswith(f"it fits --model {SMALL}")
    save_checkpoint(tmp_path / "b.pth", Checkpoint(state, "vit_h_14", HEADS, 32))
    with pytest.raises(InputError, match="vit_h_14 has more than"):
        load_network(tmp_path / "b.pth")


def test_names_in_a_file_cannot_write_on_the_screen(tmp_path, state):
    torch.save({**state, "\x1b[31m\nerror": torch.ones(1), "x" * 1000: torch.ones(1)}, tmp_path / "a.pth")
    said = refused(tmp_path / "a.pth")
    assert said.isprintable() and len(said) < 600
    with pytest.raises(ValueError, match="rename the column"):
        Checkpoint(state, SMALL, ("Bald\x1b[31m",), 32)
    with pytest.raises(ValueError, match="at most 10,000"):
        Checkpoint(state, SMALL, [str(place) for place in range(20_000)], 32)


def test_a_packed_archive_is_refused_before_it_is_unpacked(tmp_path):
    torch.save({"w": torch.zeros(1_000_000)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as old,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "is packed, which PyTorch's files never are (4.0 MB in a file of 0.0 MB)" in refused(tmp_path / "b.pth")


def test_a_flipped_byte_among_the_values_is_noticed(tmp_path):
    save_checkpoint(tmp_path / "a.pth", Checkpoint({"w": torch.ones(1000)}, SMALL, HEADS, 32))
    content = bytearray((tmp_path / "a.pth").read_bytes())
    place = content.find(b"\x00\x00\x80\x3f" * 8)
    content[place + 40] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    for read in (load_checkpoint, read_state_dict):
        with pytest.raises(InputError, match="is damaged"):
            read(tmp_path / "a.pth")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Bytes of a checkpoint, of a wrapped state dict, and of one in the older format; and a file to write others to."""
    path, tensors = (
        tmp_path_factory.mktemp("fuzz") / "a.pth",
        {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)},
    )
    contents = []
    for save in (
        lambda: save_checkpoint(path, Checkpoint(tensors, SMALL, HEADS, 32)),
        lambda: torch.save({"state_dict": tensors, "epoch": 1}, path),
        lambda: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    ):
        save()
        contents.append(path.read_bytes())
    return contents, path


@settings(max_examples=200, deadline=None, database=None)
@given(
    kind=st.integers(0, 2),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    keep=st.floats(0, 1),
    cut=st.booleans(),
    into=st.binary(max_size=20),
)
def test_altered_files_are_refused_in_one_line_or_read(written, kind, flips, keep, cut, into):
    contents, path = written
    content = bytearray(contents[kind])
    for place, value in flips:
        content[int(place * len(content))] = value
    place = int(keep * len(content))
    path.write_bytes(content[:place] if cut else bytes(content[:place]) + into + bytes(content[place:]))
    for read in (load_checkpoint, read_state_dict):
        try:
            read(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_a_checkpoint_of_another_version_names_what_is_unknown_and_what_lacks(tmp_path):
    save_checkpoint(tmp_path / "a.pth", Checkpoint({"w": torch.ones(1)}, SMALL, HEADS, 32))
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    torch.save({**content, "quantised": True}, tmp_path / "newer.pth")
    torch.save({name: value for name, value in content.items() if name != "kind"}, tmp_path / "older.pth")
    for name, said in (("newer", "unknown here: quantised"), ("older", "lacking: kind")):
        with pytest.raises(InputError, match=f"another version of these scripts .{said}"):
            load_checkpoint(tmp_path / f"{name}.pth")
        assert said in refused(tmp_path / f"{name}.pth")


HELD, WIDE = [], [0] * 100  # a list that holds itself; one of a few bytes in a file that unfolds to 100**6 values
HELD.append(HELD)
for _ in range(5):
    WIDE = [WIDE] * 100


@pytest.mark.parametrize(
    "change",
    [
        {"img_size": "32"},
        {"img_size": -1},
        {"model": 3},
        {"attributes": (1, 2)},
        {"img_size": 10**9},
        {"arguments": []},
        {"versions": "2"},
        {"parent_sha256": 3},
        {"epoch": "3"},
        {"seed": [1]},
        *(
            {"arguments": record}
            for record in (
                {"limit": "5"},
                {"limit": True},
                {"split": ["x"]},
                {"split": "x"},
                {"allow_missing": 1},
                {"as_released": "no"},
                {"unlearning": [1]},
                {"training_part": {}},
                {"x": {(1, 2): 3}},
                {"x": torch.ones(2)},
                {"x": {1, "a"}},
                {"x": HELD},
                {"x": WIDE},
            )
        ),
    ],
)
def test_fields_of_a_wrong_kind_are_refused(change, tmp_path):
    save_checkpoint(tmp_path / "a.pth", Checkpoint({"w": torch.ones(1)}, SMALL, HEADS, 32))
    torch.save({**torch.load(tmp_path / "a.pth", weights_only=True), **change}, tmp_path / "b.pth")
    with pytest.raises(InputError, match="is not valid: .* must be"):
        load_checkpoint(tmp_path / "b.pth")


def test_versions_of_layers_go_with_the_values(tmp_path):
    with torch.random.fork_rng():
        model = build_model("mnasnet0_5", HEADS)
    save_checkpoint(tmp_path / "a.pth", Checkpoint(model.state_dict(), "mnasnet0_5", HEADS, 32))
    torch.save(OrderedDict(model.state_dict()), tmp_path / "plain.pth")
    assert same(load_network(tmp_path / "a.pth", HEADS), model.state_dict())
    assert same(opened(tmp_path / "plain.pth", name="mnasnet0_5"), model.state_dict())


def test_memory_that_is_used_up_is_not_called_a_damaged_file(tmp_path, monkeypatch):
    torch.save({"w": torch.zeros(2)}, tmp_path / "w.pth")

    def used_up(*_, **__):
        raise MemoryError

    monkeypatch.setattr(torch, "load", used_up)
    with pytest.raises(MemoryError):
        tensor_files.read_tensors(tmp_path / "w.pth", "save it again")
