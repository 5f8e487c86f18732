"""The closed-form edit of one convolution, on values whose shift is known."""

import numpy as np
import pytest
import torch
from plain_faces import labels_of

from utils.erasure import edit
from utils.erasure.edit import EditedConvolution, edit_site, edits_full_kernel
from utils.erasure.reference_activations import record_value
from utils.erasure.samples import choose_images, make_conditional_shift, weighted_columns


def sample_and_shift(labels, kept=0):
    sample = choose_images(np.arange(len(labels)), labels, len(labels), len(labels), positives=0.1)
    return sample, make_conditional_shift(sample, torch.zeros(len(sample.rows), kept))


def edit_alone(conv, inputs, sample, shift, ridge, *, reference=None, beside=0.0, **options):
    """The value of a convolution that nothing is before, edited in place.

    reference: (N, C, H, W) of the untouched network, if not the value; beside: what a sum adds to the convolution
    """
    value = conv(inputs) + beside
    kept = options.pop("kept", torch.zeros(len(inputs), shift.kept_readout.shape[0] // 2))
    recorded = record_value(conv, value if reference is None else reference, weighted_columns(sample, kept))

    def rerun(part):
        return conv(inputs[part]) + (beside if isinstance(beside, float) else beside[part])

    return edit_site(EditedConvolution(conv), inputs, value, recorded, shift, ridge, rerun, **options)


def test_without_a_ridge_the_values_class_means_agree_at_every_place():
    generator = torch.Generator().manual_seed(0)
    sample, shift = sample_and_shift(labels_of(0.4))
    has = torch.from_numpy(sample.labels[:, 0]).float()
    inputs = torch.randn(len(has), 6, 5, 5, generator=generator)
    inputs[:, :2] += has[:, None, None, None] * torch.randn(2, 5, 5, generator=generator)
    conv = torch.nn.Conv2d(6, 4, 1)
    with torch.no_grad():
        value = conv(inputs)
        assert shift.of_targets(value).abs().max() > 0.5
        new = edit_alone(conv, inputs, sample, shift, 1e-6)
        assert torch.allclose(new, conv(inputs), atol=1e-4)
        assert shift.of_targets(new).abs().max() < 0.1 * shift.of_targets(value).abs().max()
        assert torch.allclose(shift.mean(new), shift.mean(value), atol=1e-4)


def values_of_a_spread(sample, generator):
    """Values (N, 1, 6, 6) around 0 that spread further with a target: no shift in front of a ReLU, one behind it."""
    has = torch.from_numpy(sample.labels[:, 0]).float()[:, None, None, None]
    return has, (0.5 + has) * torch.randn(len(has), 1, 6, 6, generator=generator)


@pytest.mark.parametrize("activation", [torch.relu, torch.nn.functional.silu, torch.nn.functional.hardswish])
def test_a_shift_that_only_an_activation_makes_is_taken_out_behind_it(activation):
    generator = torch.Generator().manual_seed(0)
    sample, shift = sample_and_shift(labels_of(0.4, 2000))
    has, spread = values_of_a_spread(sample, generator)
    level = has + 0.3 * torch.randn(len(has), 1, 6, 6, generator=generator)  # an input that tells the target
    inputs, left = torch.cat([spread, level], 1), {}
    for activate in (None, activation):
        conv = torch.nn.Conv2d(2, 1, 1, bias=True)
        with torch.no_grad():
            conv.weight.copy_(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)), conv.bias.zero_()
            value = conv(inputs)
            new = edit_alone(conv, inputs, sample, shift, 0.05, activate=activate)
            before, left[activate] = (shift.of_targets(activation(maps)).mean() for maps in (value, new))
    assert left[None] > 0.8 * before > 0.05 and left[activation].abs() < 0.3 * before


def test_of_a_channel_that_hardly_passes_no_more_is_taken_than_ten_shifts():
    sample, shift = sample_and_shift(labels_of(0.4))
    has = torch.from_numpy(sample.labels[:, 0]).float()[:, None, None, None]
    value = (has - 0.5 - torch.tensor([0.0, 10.0])[:, None, None]).expand(-1, 2, 3, 3).contiguous()
    value[0, 1] = 5.0  # of the second channel one image passes
    goal = edit._shift_behind(value, shift, torch.relu)
    assert torch.allclose(goal[0, 0], torch.full((3, 3), 0.5 / share_of_residuals(shift, has)), rtol=0.02)
    assert torch.allclose(goal[0, 1], shift.of_targets(torch.relu(value))[0, 1] / edit.LEAST_SLOPE, rtol=1e-4)


def share_of_residuals(shift, has):
    """Share of the squared residual labels that images with the target have: the slope of a channel they alone pass."""
    squares = (shift.readout[0].square() / shift.weights)[: edit.SLOPE_IMAGES]
    return float(squares @ has[: edit.SLOPE_IMAGES].flatten() / squares.sum())


def test_an_edit_repairs_what_an_earlier_one_disturbed():
    generator = torch.Generator().manual_seed(0)
    sample, shift = sample_and_shift(labels_of(0.5))
    inputs, conv = torch.randn(len(sample.rows), 6, 3, 3, generator=generator), torch.nn.Conv2d(6, 4, 1)
    with torch.no_grad():
        reference = conv(inputs)
        conv.weight += 0.3
        missed = (conv(inputs) - reference).abs().mean()
        edit_alone(conv, inputs, sample, shift, 1.0, reference=reference)
        assert (conv(inputs) - reference).abs().mean() < 0.2 * missed


def test_what_goes_with_a_kept_output_is_kept():
    generator = torch.Generator().manual_seed(0)
    labels = labels_of(0.5)
    sample = choose_images(np.arange(400), labels, 400, 400, positives=0.1)
    kept = torch.randn(400, 1, generator=generator)
    shift = make_conditional_shift(sample, kept)
    has = torch.from_numpy(sample.labels).float()
    inputs = torch.randn(400, 4, 2, 2, generator=generator)
    inputs[:, 0] += (2 * has + 2 * kept)[:, :, None]  # one channel shows both
    losses = []
    for kept_weight in (0.0, 100.0):
        conv = torch.nn.Conv2d(4, 3, 1)
        with torch.no_grad():
            conv.weight.fill_(1.0)
            value = conv(inputs)
            new = edit_alone(conv, inputs, sample, shift, 0.1, kept=kept, kept_weight=kept_weight)
            before, after = (shift.of_kept(maps).mean() for maps in (value, new))
        losses.append((before - after).abs() / before.abs())
    assert losses[1] < 0.3 * losses[0] and losses[0] > 0.05


@pytest.mark.parametrize("bias", [True, False])
def test_the_value_is_what_the_edited_convolution_gives_and_keeps_its_mean_without_a_bias_too(bias):
    generator = torch.Generator().manual_seed(0)
    sample, shift = sample_and_shift(labels_of(0.4))
    has = torch.from_numpy(sample.labels[:, 0]).float()
    inputs = 1.0 + 0.5 * torch.randn(len(has), 8, 5, 5, generator=generator)
    inputs[:, :2] += has[:, None, None, None]
    conv = torch.nn.Conv2d(8, 4, 1, bias=bias)
    torch.nn.init.normal_(conv.weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        value = conv(inputs)
        new = edit_alone(conv, inputs, sample, shift, 0.02)
        assert torch.allclose(new, conv(inputs), atol=1e-5)
        assert (shift.mean(new) - shift.mean(value)).abs().max() < (1e-4 if bias else 0.1) * value.std()
        assert shift.of_targets(new).norm() < 0.3 * shift.of_targets(value).norm()


def disturbed(values, change):
    """Root mean square of a change of values (N, C, H, W) along some directions (C,)."""
    return (values * change[:, None, None]).sum(1).square().mean().sqrt()


def test_the_shift_is_taken_out_where_it_changes_the_kept_outputs_least():
    generator = torch.Generator().manual_seed(0)
    sample, shift = sample_and_shift(labels_of(0.4))
    inputs = torch.randn(400, 12, 3, 3, generator=generator)
    inputs[:, :2] += torch.from_numpy(sample.labels[:, 0]).float()[:, None, None, None]
    steepest = torch.nn.functional.normalize(torch.randn(8, generator=generator), dim=0)
    curvature = 8 * 0.8 * steepest[:, None] * steepest + 0.2 * torch.eye(8)
    moved, left = [], []
    for metric in (None, curvature):
        conv = torch.nn.Conv2d(12, 8, 1)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(8, 12, 1, 1, generator=torch.Generator().manual_seed(2)))
            value = conv(inputs)
            new = edit_alone(conv, inputs, sample, shift, 0.3, curvature=metric)
            moved.append(disturbed(new - value, steepest))
            left.append(shift.of_targets(new).norm() / shift.of_targets(value).norm())
    assert moved[1] < 0.6 * moved[0] and left[1] < left[0] + 0.1


def shifted_patches(sample, generator):
    """Maps in which a target shows at one place and what goes along with it at its neighbour."""
    inputs = torch.randn(len(sample.rows), 4, 6, 6, generator=generator)
    has = torch.from_numpy(sample.labels[:, 0]).float()
    noise = torch.randn(len(has), 6, 6, generator=generator)
    inputs[:, 0] = has[:, None, None] + 0.1 * inputs[:, 0] + 2 * noise
    inputs[:, 1, :, 1:] = 2 * noise[:, :, :-1]  # the same noise, one column to the right
    return inputs


def test_a_full_kernel_takes_the_shift_out_and_moves_less_else():
    sample, shift = sample_and_shift(labels_of(0.4))
    inputs = shifted_patches(sample, torch.Generator().manual_seed(0))
    moved, left = [], []
    for full in (False, True):
        conv = torch.nn.Conv2d(4, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(3, 4, 3, 3, generator=torch.Generator().manual_seed(2)))
            value = conv(inputs)
            if full:
                assert edits_full_kernel(conv)
                new = edit_alone(conv, inputs, sample, shift, 0.05)
            else:
                point = torch.nn.Conv2d(4, 3, 1)
                torch.nn.init.zeros_(point.weight), torch.nn.init.zeros_(point.bias)
                new = edit_alone(point, inputs, sample, shift, 0.05, beside=value)
        moved.append((new - value).std())
        left.append((shift.of_targets(new)[:, :, 1:-1, 1:-1].norm() / shift.of_targets(value).norm()).item())
    assert left[1] < left[0] and moved[1] < moved[0]


@pytest.mark.parametrize("stride, dilation, size", [(1, 1, 7), (2, 1, 7), (2, 1, 6), (1, 2, 8)])
def test_patches_are_read_as_the_convolution_reads_them(stride, dilation, size):
    conv = torch.nn.Conv2d(3, 5, 3, stride=stride, dilation=dilation, padding=dilation, bias=False)
    maps = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        value = conv(maps)
        for step in (1, 2):
            patches = EditedConvolution(conv).read(maps, step)
            product = torch.einsum("oi,nihw->nohw", conv.weight.flatten(1), patches)
            assert torch.allclose(product, value[:, :, ::step, ::step], atol=1e-5)
    middle = EditedConvolution(torch.nn.Conv2d(3, 5, 3, stride, padding=1, padding_mode="reflect"))
    assert torch.equal(middle.read(maps, 2), maps[:, :, :: 2 * stride, :: 2 * stride])


def test_a_kernel_with_many_inputs_or_another_padding_is_edited_in_its_middle():
    assert edits_full_kernel(torch.nn.Conv2d(128, 8, 3)) and not edits_full_kernel(torch.nn.Conv2d(129, 8, 3))
    assert not edits_full_kernel(torch.nn.Conv2d(8, 8, 1))
    assert not edits_full_kernel(torch.nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"))


def test_where_images_are_few_an_edit_is_held_back_so_that_others_are_hardly_moved(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    sample, shift = sample_and_shift(labels_of(0.5, 40))
    assert shift.images == 40
    has, moved = torch.from_numpy(sample.labels).float(), []
    inputs, others = (torch.randn(count, 64, 1, 1, generator=generator) for count in (len(has), 2000))
    inputs[:, 0] += 2 * has[:, :, None]
    for enough in (1e-9, edit.ENOUGH):
        monkeypatch.setattr(edit, "ENOUGH", enough)
        conv = torch.nn.Conv2d(64, 64, 1)
        torch.nn.init.dirac_(conv.weight), torch.nn.init.zeros_(conv.bias)
        with torch.no_grad():
            edit_alone(conv, inputs, sample, shift, 0.1)
            moved.append((conv(others) - others).square().mean() / others.square().mean())
    assert moved[1] < 0.2 < moved[0]
