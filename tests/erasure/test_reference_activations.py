"""What an untouched network computes: sizes of maps, and how its kept outputs change with an edit."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import build_model
from utils.erasure import reference_activations
from utils.erasure.reference_activations import (
    IDENTITY_SHARE,
    RecordedValue,
    output_curvature,
    output_gradients,
    record_activations,
    record_value,
)
from utils.erasure.samples import choose_images
from utils.erasure.sites import Runner, find_sites

IMAGES, SIZE = 24, 64


class Noise:
    """64 images of noise, half of them with the first of three attributes."""

    attributes, labels = ("a", "b", "c"), np.tile([[0, 0, 1], [1, 1, 0]], (32, 1)).astype(np.uint8)

    def batches(self, rows, batch_size, device):
        images = torch.randn(64, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            yield images[part].to(device), torch.from_numpy(self.labels[part]).float()


@pytest.fixture(scope="module")
def recorded():
    """(a runner of a residual network, its reference activations on a few images)."""
    torch.manual_seed(0)
    model, data = build_model("resnet18", Noise.attributes).eval(), Noise()
    runner = Runner(model, find_sites(model))
    with torch.no_grad():
        sample = choose_images(np.arange(64), data.labels[:, :1], 64, 64)
        return runner, record_activations(runner, data, sample, [1, 2], "cpu")


def test_sites_are_told_apart_by_the_size_of_their_maps(recorded):
    runner, reference = recorded
    areas = reference.areas
    assert areas[runner.sites[0].conv] == 16 * 16 and areas[runner.sites[-1].conv] == 2 * 2
    assert reference.shrunk()[runner.sites[0].conv] == 1.0 and reference.shrunk()[runner.sites[-1].conv] == 2 / 16
    largest, smallest = max(areas.values()), min(areas.values())
    spared = reference.before_last_stage()
    assert [areas[name] > smallest for name in areas] == [name in spared for name in areas] and largest > smallest
    alike = replace(reference, values={name: RecordedValue(*[torch.zeros(1, 1, 4, 4)] * 2) for name in "abc"})
    assert alike.before_last_stage() == ["a", "b"]


def test_the_gradients_are_what_a_small_change_does_to_the_kept_outputs(recorded):
    runner, reference = recorded
    name, kept = reference.before_last_stage()[-1], [1, 2]
    (chunk,) = output_gradients(runner, reference, [name], kept, IMAGES, 0)
    gradients = chunk[name]
    assert gradients.shape[1:] == reference.values[name].moments.shape[1:] and len(gradients) == IMAGES
    other = Runner(copy.deepcopy(runner.model), runner.sites)
    norm = other.model.get_submodule(next(site.norm for site in runner.sites if site.conv == name))
    step = 1e-3 * torch.randn(norm.num_features, generator=torch.Generator().manual_seed(1))
    changes = []
    with torch.no_grad():
        for sign in (1, -1):
            norm.bias += sign * step
            start = {node: value.clone() for node, value in reference.begin.items()}
            changes.append(other.run_rest(start, lambda node, output, values: output))
            norm.bias -= sign * step
    measured = (changes[0] - changes[1])[:IMAGES, kept].double() / 2 / (reference.logits[:, kept].std(0) + 1e-6)
    predicted = (gradients * step[:, None, None]).sum((1, 2, 3)).double()
    signed = torch.stack([measured @ torch.tensor(s).double() for s in ((1, 1), (1, -1), (-1, 1), (-1, -1))], 1)
    nearest = (signed - predicted[:, None]).abs().min(1).values
    assert nearest.max() < 0.02 * signed.abs().max()


def test_the_curvature_is_largest_where_the_kept_outputs_change_most(recorded):
    runner, reference = recorded
    name = reference.before_last_stage()[-1]
    given = runner, reference, [name], [1, 2], IMAGES, 0
    curvature = output_curvature(*given)[name]
    assert torch.equal(curvature, curvature.T) and curvature.diagonal().mean() == pytest.approx(1.0, abs=1e-5)
    least, directions = torch.linalg.eigh(curvature)
    assert least.min() >= IDENTITY_SHARE - 1e-4
    (gradients,) = output_gradients(*given)
    slopes = (gradients[name] * directions[:, [0, -1], None, None].unsqueeze(0).movedim(2, 0)).sum((2, 3, 4))
    assert slopes[1].square().mean() > 10 * slopes[0].square().mean()


def test_no_curvature_is_taken_where_nothing_is_kept_or_no_image_is_allowed(recorded):
    runner, reference = recorded
    names = reference.before_last_stage()
    assert output_curvature(runner, reference, names, [], IMAGES, 0) == {}
    assert output_curvature(runner, reference, names, [1], 0, 0) == {}


def test_what_is_recorded_of_a_value_in_parts_is_that_of_all_its_images(recorded, monkeypatch):
    runner, whole = recorded
    monkeypatch.setattr(reference_activations, "CHUNK", 24)
    sample = choose_images(np.arange(64), Noise.labels[:, :1], 64, 64)
    with torch.no_grad():
        parts = record_activations(runner, Noise(), sample, [1, 2], "cpu")
    for name, value in whole.values.items():
        assert torch.allclose(value.moments, parts.values[name].moments, atol=1e-3)
        assert torch.allclose(value.sampled, parts.values[name].sampled, atol=1e-3)


@pytest.mark.parametrize("kernel, images, positions", [(1, 300, 64), (3, 128, 64)])
def test_of_a_large_map_few_positions_are_recorded(kernel, images, positions):
    value = torch.randn(300, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    value = record_value(torch.nn.Conv2d(4, 8, kernel), value, torch.ones(300, 5))
    assert value.sampled.shape == (images, 8, 8, 8) and value.sampled[0, 0].numel() == positions
    assert value.moments.shape == (5, 8, 32, 32)
