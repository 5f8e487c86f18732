"""The schedule, the choices of a recipe, and where bfloat16 is used."""

import pytest
import torch
from torch import nn

import unlearning_multi_celeba_resnet18_original as original
from utils.common.errors import InputError
from utils.training import recipe as recipe_module
from utils.training.recipe import (
    TrainingSettings,
    cosine_restarts,
    make_scheduler,
    resolve_amp,
    settings_from_flags,
)


def test_the_published_schedule_at_the_points_that_define_it():
    lr = {epoch: 2e-4 * cosine_restarts(epoch) for epoch in (0, 0.5, 1, 3, 5, 6, 8, 11, 16)}
    assert lr[0] == lr[5] == pytest.approx(5e-6)
    assert lr[1] == pytest.approx(2e-4) and lr[6] == pytest.approx(1e-4)
    assert lr[0.5] == pytest.approx((2e-4 + 5e-6) / 2) == pytest.approx(lr[3])  # half a line, half a cosine
    assert lr[8] == pytest.approx((1e-4 + 5e-6) / 2)
    assert lr[11] == pytest.approx(5e-5) and lr[16] == pytest.approx(2.5e-5)


def test_the_schedule_never_falls_below_its_floor():
    assert min(cosine_restarts(epoch / 7) for epoch in range(7 * 60)) == pytest.approx(1 / 40)


@pytest.mark.parametrize(("name", "first", "peak_at"), [("constant", 1, 0), ("onecycle", 1 / 25, 3)])
def test_other_schedules_start_and_peak_where_they_should(name, first, peak_at):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5, momentum=0.9)
    scheduler, rates = make_scheduler(name, optimizer, 0.5, epochs=2, steps_per_epoch=6), []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(0.5 * first) and rates.index(max(rates)) == peak_at
    assert max(rates) == pytest.approx(0.5, rel=0.02)


def test_an_unknown_choice_is_a_bug_of_the_caller():
    for wrong in ({"optimizer": "lion"}, {"scheduler": "steps"}, {"amp": "fp8"}):
        with pytest.raises(ValueError, match="unknown choice"):
            TrainingSettings(**wrong)
    with pytest.raises(ValueError, match="must be positive"):
        TrainingSettings(epochs=0)


def test_automatic_precision_follows_what_the_device_has(monkeypatch):
    for has_it in (True, False):
        monkeypatch.setattr(recipe_module, "has_bfloat16", lambda device, has_it=has_it: has_it)
        assert resolve_amp("auto", "cpu") is has_it
        assert resolve_amp("off", "cpu") is False and resolve_amp("bf16", "cpu") is True
    with pytest.raises(InputError, match="--amp bf16: this GPU computes no bfloat16; use --amp off"):
        resolve_amp("bf16", "cuda")
    with pytest.raises(ValueError, match="unknown choice 'fp16'"):
        resolve_amp("fp16", "cpu")


def test_a_cpu_whose_instructions_are_not_known_counts_as_without(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert resolve_amp("auto", "cpu") is False


def flags_of(*words):
    """The flags of step 1."""
    return vars(original.get_args_parser().parse_args(words))


def test_images_that_become_maps_of_one_pixel_train_in_float32():
    assert settings_from_flags(**flags_of("--img_size", "16")).amp == "off"
    assert settings_from_flags(**flags_of("--img_size", "32")).amp == "auto"
    assert settings_from_flags(**flags_of("--img_size", "32", "--amp", "bf16")).amp == "bf16"
    with pytest.raises(InputError, match="--amp bf16 with --img_size 16: it is for 32 px and more; leave it out"):
        settings_from_flags(**flags_of("--img_size", "16", "--amp", "bf16"))
