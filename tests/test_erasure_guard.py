"""The guard of an erasure: kept outputs that an edit may not move, held to first order image by image."""

import copy

import numpy as np
import pytest
import torch

from models import build_model
from utils.erasure_edit import Edited, edit_site
from utils.erasure_notes import between, map_sizes, output_gradients, take_notes
from utils.erasure_plan import choose_images, make_contrast
from utils.erasure_sites import Runner, find_sites

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
    middle = between(notes)
    assert middle and all(smallest < areas[name] < largest for name in middle)
    assert len(middle) < len(plan.sites)


def test_the_gradients_say_how_the_kept_outputs_answer_to_a_small_change(noted):
    model, plan, notes = noted
    name, kept = between(notes)[-1], [1, 2]
    gradients = output_gradients(model, plan, notes, [name], kept, IMAGES, 0, amp=False)[name]
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


def test_no_guard_is_taken_where_nothing_is_kept_or_no_image_is_allowed(noted):
    model, plan, notes = noted
    assert output_gradients(model, plan, notes, between(notes), [], IMAGES, 0, False) == {}
    assert output_gradients(model, plan, notes, between(notes), [1], 0, 0, False) == {}


def test_a_guarded_edit_moves_the_outputs_less_and_still_takes_the_shift_out():
    generator = torch.Generator().manual_seed(0)
    labels = (np.random.default_rng(0).random((400, 1)) < 0.4).astype(np.uint8)
    choice = choose_images(np.arange(400), labels, 400, 400, positives=0.1)
    contrast = make_contrast(choice, torch.zeros(400, 0))
    inputs = torch.randn(400, 12, 3, 3, generator=generator)
    inputs[:, :2] += torch.from_numpy(choice.labels[:, 0]).float()[:, None, None, None]
    answers = torch.randn(40, 8, 3, 3, generator=generator)
    moved, left = [], []
    for guard in (None, answers):
        conv = torch.nn.Conv2d(12, 8, 1)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(8, 12, 1, 1, generator=torch.Generator().manual_seed(2)))
            value = conv(inputs)
            new = edit_site(
                Edited(conv),
                inputs,
                value,
                value,
                contrast,
                [0.01],
                lambda c=conv: c(inputs),
                repair=False,
                guard=guard,
            )
            moved.append(((new - value)[:40] * answers).sum((1, 2, 3)).square().mean().sqrt())
            left.append(contrast.shift(new).norm() / contrast.shift(value).norm())
    assert moved[1] < 0.2 * moved[0] and max(left) < 0.35
