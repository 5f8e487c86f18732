"""What an untouched network says of itself: sizes of maps, and how its kept outputs answer to an edit."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import build_model
from utils.erasure.reference_activations import (
    SHARE_EVEN,
    before_last_stage,
    map_sizes,
    output_curvature,
    output_gradients,
    take_notes,
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
def noted():
    """(a residual net, its plan, the notes on a few images)."""
    torch.manual_seed(0)
    model, data = build_model("resnet18", Noise.attributes).eval(), Noise()
    choice = choose_images(np.arange(64), data.labels[:, :1], 64, 64)
    plan = find_sites(model)
    with torch.no_grad():
        return model, plan, take_notes(model, plan, data, choice, "cpu", amp=False)


def test_sites_are_told_apart_by_the_size_of_their_maps(noted):
    _, plan, notes = noted
    areas = map_sizes(notes)
    assert areas[plan.sites[0].conv] == 16 * 16 and areas[plan.sites[-1].conv] == 2 * 2
    largest, smallest = max(areas.values()), min(areas.values())
    spared = before_last_stage(notes)
    assert [areas[name] > smallest for name in areas] == [name in spared for name in areas] and largest > smallest
    alike = replace(notes, values={name: torch.zeros(1, 1, 4, 4) for name in "abc"})
    assert before_last_stage(alike) == ["a", "b"]


def test_the_gradients_say_how_the_kept_outputs_answer_to_a_small_change(noted):
    model, plan, notes = noted
    name, kept = before_last_stage(notes)[-1], [1, 2]
    (chunk,) = output_gradients(model, plan, notes, [name], kept, IMAGES, 0, amp=False)
    gradients = chunk[name]
    assert gradients.shape == notes.values[name][:IMAGES].shape
    other = copy.deepcopy(model)
    norm = other.get_submodule(next(site.norm for site in plan.sites if site.conv == name))
    step = 1e-3 * torch.randn(norm.num_features, generator=torch.Generator().manual_seed(1))
    changes = []
    with torch.no_grad():
        for sign in (1, -1):
            norm.bias += sign * step
            changes.append(_logits(other, plan, notes))
            norm.bias -= sign * step
    measured = (changes[0] - changes[1])[:IMAGES, kept].double() / 2 / (notes.logits[:, kept].std(0) + 1e-6)
    said = (gradients * step[:, None, None]).sum((1, 2, 3)).double()
    signed = torch.stack([measured @ torch.tensor(s).double() for s in ((1, 1), (1, -1), (-1, 1), (-1, -1))], 1)
    nearest = (signed - said[:, None]).abs().min(1).values
    assert nearest.max() < 0.02 * signed.abs().max()


def _logits(model, plan, notes):
    """Logits of a network from where the first edit begins."""
    runner = Runner(model, plan.graph)
    return runner.run({node: value.clone() for node, value in notes.begin.items()}, start=plan.first)[runner.output]


def test_the_curvature_is_largest_where_the_kept_outputs_mind_most(noted):
    model, plan, notes = noted
    name = before_last_stage(notes)[-1]
    asked = model, plan, notes, [name], [1, 2], IMAGES, 0, False
    curvature = output_curvature(*asked)[name]
    assert torch.equal(curvature, curvature.T) and curvature.diagonal().mean() == pytest.approx(1.0, abs=1e-5)
    least, directions = torch.linalg.eigh(curvature)
    assert least.min() >= SHARE_EVEN - 1e-4
    (gradients,) = output_gradients(*asked)
    answers = (gradients[name] * directions[:, [0, -1], None, None].unsqueeze(0).movedim(2, 0)).sum((2, 3, 4))
    assert answers[1].square().mean() > 10 * answers[0].square().mean()


def test_no_curvature_is_taken_where_nothing_is_kept_or_no_image_is_allowed(noted):
    model, plan, notes = noted
    names = before_last_stage(notes)
    assert output_curvature(model, plan, notes, names, [], IMAGES, 0, False) == {}
    assert output_curvature(model, plan, notes, names, [1], 0, 0, False) == {}
