"""What erasure learns from: batches, weights and the contrast of the targets given the kept outputs."""

import numpy as np
import pytest
import torch
from plain_faces import labels_of

from utils.common.errors import InputError
from utils.erasure.samples import choose_images, make_contrast, residuals, summarise


def test_residuals_do_not_tell_the_confounders():
    generator = torch.Generator().manual_seed(0)
    confounders = torch.randn(200, 2, generator=generator)
    weights = torch.rand(200, generator=generator)
    weights = weights / weights.sum()
    values = confounders @ torch.tensor([[1.0, -2], [0.5, 3]]) + 0.1 * torch.randn(200, 2, generator=generator)
    left = residuals(values, confounders, weights)
    assert ((weights[:, None] * left).T @ confounders).abs().max() < 1e-3
    assert left.std() < 0.15


def test_what_the_kept_outputs_imply_is_no_shift():
    labels = labels_of(0.5)
    choice = choose_images(np.arange(400), labels, 400, 400)
    implied = torch.from_numpy(choice.labels).float() * 8 - 4 + 0.5 * torch.randn(400, 1)
    maps = torch.from_numpy(choice.labels).float()[:, :, None, None].expand(-1, -1, 2, 2)
    told, left = (make_contrast(choice, implied, conditional) for conditional in (False, True))
    assert told.wanted.std() > 0.45 and left.wanted.std() < 0.05
    assert told.shift(maps).shape == (1, 1, 2, 2) and told.shift(maps).mean() == pytest.approx(1.0, abs=1e-3)


def test_batches_have_the_target_often_enough_and_weights_undo_it():
    labels = labels_of(0.05)
    choice = choose_images(np.arange(400), labels, 320, 32, positives=0.25)
    shares = choice.labels.reshape(10, 32).mean(1)
    assert (shares == 0.25).all() and len(choice.rows) == 320
    assert np.average(choice.labels[:, 0], weights=choice.weights) == pytest.approx(labels.mean(), abs=1e-5)
    assert np.array_equal(labels[choice.rows], choice.labels) and choice.base_rates == labels.mean()
    common = choose_images(np.arange(400), labels_of(0.48), 320, 32)
    assert abs(common.labels.mean() - 0.48) < 0.05


def test_a_target_on_no_or_every_image_is_refused():
    for rate in (0, 1):
        with pytest.raises(InputError, match="images with and without each target"):
            choose_images(np.arange(9), np.full((9, 1), rate), 32, 8)


def test_many_kept_heads_are_summed_up_in_thirty_two_columns():
    logits, weights = torch.randn(200, 39), torch.full((200,), 1 / 200)
    assert summarise(logits, weights).shape == (200, 32)
    assert summarise(logits[:, :3], weights).shape == (200, 6)
