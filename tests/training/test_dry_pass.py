"""What training would fail on is found before an image is decoded."""

import numpy as np
import pytest
import torch

from utils.common import distributed
from utils.common.errors import InputError
from utils.training import dry_pass
from utils.training.dry_pass import check_training
from utils.training.recipe import TrainingSettings

ROWS = np.arange(40)


def check(model="resnet18", size=64, **settings):
    check_training(model, ("Bald", "Smiling"), size, ROWS, TrainingSettings(**settings))


@pytest.mark.parametrize(
    ("model", "size", "cure"),
    [("vit_b_16", 64, 224), ("alexnet", 32, 64), ("inception_v3", 64, 96), ("vgg11", 16, 32)],
)
def test_a_size_that_a_network_does_not_take_names_the_nearest_that_it_does(model, size, cure):
    line = rf"{model} takes no images of {size} px \(.+\): use --img_size {cure}$"
    with pytest.raises(InputError, match=line) as refused:
        check(model, size)
    assert "\n" not in str(refused.value)
    check(model, cure)


def test_single_images_are_refused_only_where_batch_norm_sees_one_number():
    with pytest.raises(InputError, match=r"resnet18 cannot train on one image at a time .*--batch_size of at least 2$"):
        check(size=32, batch_size=1)
    check(size=64, batch_size=1)
    check("vgg11", size=64, batch_size=1)
    check(size=32, batch_size=2)


def test_processes_may_have_an_image_each_as_they_share_their_batch_norms(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    check(size=32, batch_size=2)
    with pytest.raises(InputError, match="can't be shared by 2 processes"):
        check(batch_size=5)


def test_networks_of_every_build_pass_and_no_generator_moves():
    state = torch.get_rng_state()
    for model in ("customresnet", "regnet_y_400mf", "mnasnet0_5", "swin_t"):
        check(model, 64)
    assert torch.equal(torch.get_rng_state(), state)


def test_compiling_without_a_compiler_is_told(monkeypatch):
    def fail(_):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nlong\ntext")

    monkeypatch.setattr(dry_pass.torch, "compile", fail)
    check()
    with pytest.raises(InputError, match=r"--compile: .*No working C\+\+ compiler found\): install a C\+\+ compiler"):
        check(compile=True)
