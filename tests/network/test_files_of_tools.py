"""Files as other tools write them: their weights are found and named, or the line says how to get at them."""

import re
from argparse import Namespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from models import build_model
from models.heads import AttributeHeads
from models.state_dicts import load_weights
from utils.common.errors import InputError
from utils.network import weight_files
from utils.network.checkpoint import Checkpoint, read_state_dict, save_checkpoint
from utils.network.loading import load_network
from utils.report.run_record import describe_network

NAMES = ("Bald", "Smiling", "Young")


class Small(nn.Module):
    """A convolution, a batch norm and heads."""

    def __init__(self, names=NAMES):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), AttributeHeads(4, names)

    def forward(self, images):
        return self.fc(self.norm(self.conv(images)).mean((2, 3)))


STATE = {name: torch.rand(value.shape) if value.ndim else value for name, value in Small().state_dict().items()}
OTHER = {name: value + 1 for name, value in STATE.items()}
ARGS = Namespace(lr=0.1, model="resnet18")


def equal(found, state=STATE):
    return found.keys() == state.keys() and all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    "content",
    [
        {"model": STATE, "optimizer": {"state": {}}, "epoch": 3, "args": ARGS, "model_ema": OTHER},  # torchvision's
        {"epoch": 3, "arch": "resnet18", "state_dict": STATE, "args": ARGS, "state_dict_ema": OTHER},  # timm's
        {"module": STATE, "ds_version": "0.15", "global_steps": 9},  # DeepSpeed's
        {"state": {"model": STATE, "timestamp": {}}, "rng": []},  # Composer's
        {"params_ema": STATE},
        {"model": {"name": "resnet18", "depth": 18}, "ema": STATE},  # a configuration under a usual key
        {**STATE, "epoch": 3, "best": 0.9},
    ],
    ids=["torchvision", "timm", "deepspeed", "composer", "params", "configuration", "mixed"],
)
def test_the_weights_are_found_among_what_a_training_script_keeps(content, tmp_path):
    torch.save(content, tmp_path / "a.pth")
    assert equal(read_state_dict(tmp_path / "a.pth"))


def prefixed(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


def with_head(name):
    return {key.replace("fc.", f"{name}."): value for key, value in STATE.items()}


@pytest.mark.parametrize(
    "state",
    [
        prefixed("resnet."),
        {**prefixed("model."), "criterion.pos_weight": torch.ones(3)},
        {**prefixed("_forward_module.net._orig_mod."), "loss.weight": torch.ones(3, 3)},
        with_head("fc.1"),
        with_head("classifier"),
        {f"backbone.{key}" if "head" not in key else key: value for key, value in with_head("head.fc").items()},
    ],
    ids=["its own name", "loss", "wrapped", "dropout", "another name", "beside the backbone"],
)
def test_names_are_found_behind_any_prefix_and_a_head_under_another_name(state):
    assert equal(load_weights(Small(), state, "a.pth").state_dict())


def test_masks_of_a_pruning_are_applied():
    model = Small()
    load_weights(model, STATE, "a.pth")
    prune.l1_unstructured(model.conv, "weight", amount=0.5)
    found = load_weights(Small(), model.state_dict(), "a.pth").conv.weight
    assert torch.equal(found, model.conv.weight) and (found == 0).sum() == 6


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({**prefixed("student."), **prefixed("teacher.", OTHER)}, "a.pth holds 2 such networks (student, teacher)"),
        ({**STATE, **prefixed("online.", OTHER)}, "a.pth holds 2 such networks (no name, online)"),
        ({**with_head("fc.0"), "fc.2.weight": torch.ones(3, 3), "fc.2.bias": torch.ones(3)}, "missing: fc.weight"),
        ({**STATE, "fc.weight": torch.ones(5, 4), "fc.bias": torch.ones(5)}, "or by --weights_labels"),
    ],
    ids=["two networks", "an average", "a head of two layers", "other heads"],
)
def test_what_is_not_one_network_with_these_heads_is_refused(state, said):
    with pytest.raises(InputError, match=re.escape(said)):
        load_weights(Small(), state, "a.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (Small(), "holds more than tensors, test_files_of_tools.Small for one"),
        ({"epoch": 1, "model": Small()}, "holds more than tensors"),
        (
            {"pytorch-lightning_version": "2.5", "state_dict": STATE, "callbacks": {"best": np.float64(0.5)}},
            "Lightning",
        ),
        ({"net": STATE, "data": np.arange(3)}, "holds more than tensors, numpy"),
        ({**STATE, "best": np.float64(0.5)}, "holds more than tensors, numpy"),
    ],
    ids=["network", "network under a key", "lightning", "array", "mixed"],
)
def test_the_line_that_converts_a_file_converts_it(content, said, tmp_path):
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=said) as error:
        read_state_dict(tmp_path / "a.ckpt")
    exec(str(error.value).partition("save only its weights: ")[2])
    found = read_state_dict(tmp_path / "a_weights.pth")
    assert equal(found) if "Small" not in repr(content) else found.keys() == STATE.keys()


def test_a_checkpoint_in_many_files_names_the_command_that_joins_them(tmp_path):
    (tmp_path / ".metadata").touch()
    with pytest.raises(InputError, match=f"format_utils dcp_to_torch {tmp_path} NEW"):
        read_state_dict(tmp_path)


def test_the_safetensors_library_writes_what_is_read(tmp_path):
    pytest.importorskip("safetensors.torch").save_file(STATE, tmp_path / "a.safetensors", {"format": "pt"})
    assert weight_files.is_safetensors(tmp_path / "a.safetensors")
    assert equal(read_state_dict(tmp_path / "a.safetensors"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same network of three heads, as a checkpoint and as a plain state dict."""
    folder = tmp_path_factory.mktemp("heads")
    state = build_model("shufflenet_v2_x0_5", NAMES).state_dict()
    save_checkpoint(folder / "own.pth", Checkpoint(state, "shufflenet_v2_x0_5", NAMES, 32))
    torch.save(state, folder / "plain.pth")
    return folder


def opened(path, attributes, **options):
    options = {"name": "shufflenet_v2_x0_5", "img_size": 32, "pick": True} | options
    return load_network(None, attributes, weights=path, **options)


@pytest.mark.parametrize(("file", "labels"), [("own.pth", None), ("plain.pth", NAMES), ("own.pth", NAMES)])
def test_heads_are_picked_by_their_names(file, labels, files):
    whole, some = opened(files / "plain.pth", NAMES), opened(files / file, ["Young", "Bald"], labels=labels)
    assert torch.equal(some.model.fc.weight, whole.model.fc.weight[[2, 0]])
    assert torch.equal(some.model.fc.bias, whole.model.fc.bias[[2, 0]])
    assert some.attributes == some.model.attributes == ("Young", "Bald")
    assert describe_network(some)["heads taken"] == "rows 2 0 of the file's 3 (Bald Smiling Young)"
    assert "heads taken" not in describe_network(whole)


@pytest.mark.parametrize(
    ("file", "attributes", "options", "said"),
    [
        ("own.pth", ["Bald"], {"pick": False}, "has attributes Bald Smiling Young, asked for is Bald"),
        ("own.pth", ["Bald", "Old"], {}, "asked for is Bald Old: pass --task_labels Bald Smiling Young"),
        ("own.pth", ["Bald"], {"labels": ["Bald"]}, "says itself that its heads are Bald Smiling Young; leave it out"),
        ("plain.pth", ["Bald"], {"labels": ["Smiling", "Young"]}, "lacks Bald, a head that --task_labels asks for"),
        ("plain.pth", ["Bald"], {"labels": ["Bald", "Smiling"]}, "the file has 3 heads, asked for are 2"),
        (None, ["Bald"], {"labels": ["Bald"]}, "names the heads in the file of --weights: pass that, too"),
    ],
)
def test_heads_that_cannot_be_picked_are_said(file, attributes, options, said, files):
    with pytest.raises(InputError, match=re.escape(said)):
        if file:
            opened(files / file, attributes, **options)
        else:
            load_network(files / "own.pth", attributes, **options)
