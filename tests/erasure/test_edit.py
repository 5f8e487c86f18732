"""The closed-form edit of one convolution, on values whose shift is known."""

import numpy as np
import pytest
import torch
from plain_faces import labels_of

from utils.erasure.edit import Edited, _read, edit_site, takes_whole_kernel
from utils.erasure.samples import choose_images, make_contrast


def contrast_of(labels, kept=0):
    choice = choose_images(np.arange(len(labels)), labels, len(labels), len(labels), positives=0.1)
    return choice, make_contrast(choice, torch.zeros(len(choice.rows), kept))


def test_without_a_ridge_the_values_class_means_agree_at_every_place():
    generator = torch.Generator().manual_seed(0)
    choice, contrast = contrast_of(labels_of(0.4))
    has = torch.from_numpy(choice.labels[:, 0]).float()
    inputs = torch.randn(len(has), 6, 5, 5, generator=generator)
    inputs[:, :2] += has[:, None, None, None] * torch.randn(2, 5, 5, generator=generator)
    conv = torch.nn.Conv2d(6, 4, 1)
    with torch.no_grad():
        value = conv(inputs)
        assert contrast.shift(value).abs().max() > 0.5
        new = edit_site(Edited(conv), inputs, value, value, contrast, [1e-6], lambda: conv(inputs))
        assert torch.allclose(new, conv(inputs), atol=1e-4)
        assert contrast.shift(new).abs().max() < 0.1 * contrast.shift(value).abs().max()
        assert torch.allclose(contrast.mean(new), contrast.mean(value), atol=1e-4)


def test_an_edit_repairs_what_an_earlier_one_disturbed():
    generator = torch.Generator().manual_seed(0)
    choice, contrast = contrast_of(labels_of(0.5))
    inputs, conv = torch.randn(len(choice.rows), 6, 3, 3, generator=generator), torch.nn.Conv2d(6, 4, 1)
    with torch.no_grad():
        wanted = conv(inputs)
        conv.weight += 0.3
        missed = (conv(inputs) - wanted).abs().mean()
        edit_site(Edited(conv), inputs, conv(inputs), wanted, contrast, [1.0], lambda: conv(inputs))
        assert (conv(inputs) - wanted).abs().mean() < 0.2 * missed


def test_what_goes_with_a_kept_output_is_held():
    generator = torch.Generator().manual_seed(0)
    labels = labels_of(0.5)
    choice = choose_images(np.arange(400), labels, 400, 400, positives=0.1)
    kept = torch.randn(400, 1, generator=generator)
    contrast = make_contrast(choice, kept)
    has = torch.from_numpy(choice.labels).float()
    inputs = torch.randn(400, 4, 2, 2, generator=generator)
    inputs[:, 0] += (2 * has + 2 * kept)[:, :, None]  # one channel tells both
    losses = []
    for hold in (0.0, 100.0):
        conv = torch.nn.Conv2d(4, 3, 1)
        with torch.no_grad():
            conv.weight.fill_(1.0)
            value = conv(inputs)
            new = edit_site(Edited(conv), inputs, value, value, contrast, [0.1], lambda c=conv: c(inputs), hold=hold)
            before, after = (contrast.shift(maps, held=True).mean() for maps in (value, new))
        losses.append((before - after).abs() / before.abs())
    assert losses[1] < 0.3 * losses[0] and losses[0] > 0.05


def disturbed(values, change):
    """Root mean square of a change of values (N, C, H, W) along some directions (C,)."""
    return (values * change[:, None, None]).sum(1).square().mean().sqrt()


def test_the_shift_is_taken_out_where_the_kept_outputs_mind_it_least():
    generator = torch.Generator().manual_seed(0)
    choice, contrast = contrast_of(labels_of(0.4))
    inputs = torch.randn(400, 12, 3, 3, generator=generator)
    inputs[:, :2] += torch.from_numpy(choice.labels[:, 0]).float()[:, None, None, None]
    minded = torch.nn.functional.normalize(torch.randn(8, generator=generator), dim=0)
    curvature = 8 * 0.8 * minded[:, None] * minded + 0.2 * torch.eye(8)
    moved, left = [], []
    for minds in (None, curvature):
        conv = torch.nn.Conv2d(12, 8, 1)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(8, 12, 1, 1, generator=torch.Generator().manual_seed(2)))
            value = conv(inputs)
            asked = inputs, value, value, contrast, [0.3], lambda c=conv: c(inputs)
            new = edit_site(Edited(conv), *asked, repair=False, curvature=minds)
            moved.append(disturbed(new - value, minded))
            left.append(contrast.shift(new).norm() / contrast.shift(value).norm())
    assert moved[1] < 0.6 * moved[0] and left[1] < left[0] + 0.1


def shifted_patches(choice, generator):
    """Maps in which a target shows at one place and what goes along with it at its neighbour."""
    inputs = torch.randn(len(choice.rows), 4, 6, 6, generator=generator)
    has = torch.from_numpy(choice.labels[:, 0]).float()
    noise = torch.randn(len(has), 6, 6, generator=generator)
    inputs[:, 0] = has[:, None, None] + 0.1 * inputs[:, 0] + 2 * noise
    inputs[:, 1, :, 1:] = 2 * noise[:, :, :-1]  # the same noise, one column to the right
    return inputs


def test_a_whole_kernel_takes_the_shift_out_and_moves_less_else():
    choice, contrast = contrast_of(labels_of(0.4))
    inputs = shifted_patches(choice, torch.Generator().manual_seed(0))
    moved, left = [], []
    for wide in (False, True):
        conv = torch.nn.Conv2d(4, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(3, 4, 3, 3, generator=torch.Generator().manual_seed(2)))
            value = conv(inputs)
            if wide:
                assert takes_whole_kernel(conv)
                new = edit_site(Edited(conv), inputs, value, value, contrast, [0.05], lambda c=conv: c(inputs))
            else:
                point = torch.nn.Conv2d(4, 3, 1)
                torch.nn.init.zeros_(point.weight), torch.nn.init.zeros_(point.bias)
                asked = inputs, value, value, contrast, [0.05], lambda p=point, v=value: v + p(inputs)
                new = edit_site(Edited(point), *asked)
        moved.append((new - value).std())
        left.append((contrast.shift(new)[:, :, 1:-1, 1:-1].norm() / contrast.shift(value).norm()).item())
    assert left[1] < left[0] and moved[1] < moved[0]


@pytest.mark.parametrize("stride, dilation, size", [(1, 1, 7), (2, 1, 7), (2, 1, 6), (1, 2, 8)])
def test_patches_are_read_as_the_convolution_reads_them(stride, dilation, size):
    conv = torch.nn.Conv2d(3, 5, 3, stride=stride, dilation=dilation, padding=dilation, bias=False)
    maps = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        value = conv(maps)
        for step in (1, 2):
            patches = _read(maps, conv, True, step)
            answer = torch.einsum("oi,nihw->nohw", conv.weight.flatten(1), patches)
            assert torch.allclose(answer, value[:, :, ::step, ::step], atol=1e-5)
            assert torch.equal(_read(maps, conv, False, step), maps[:, :, :: stride * step, :: stride * step])


def test_a_kernel_with_many_inputs_or_another_padding_is_edited_in_its_middle():
    assert takes_whole_kernel(torch.nn.Conv2d(64, 8, 3)) and not takes_whole_kernel(torch.nn.Conv2d(65, 8, 3))
    assert not takes_whole_kernel(torch.nn.Conv2d(8, 8, 1))
    assert not takes_whole_kernel(torch.nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"))
