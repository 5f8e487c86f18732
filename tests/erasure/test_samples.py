"""What erasure learns from: batches, weights and the shift of the targets given the kept outputs."""

import numpy as np
import pytest
import torch
from plain_faces import labels_of

from utils.common.errors import InputError
from utils.erasure.samples import (
    AT_A_TIME,
    TrainingSample,
    choose_images,
    combine_images,
    make_conditional_shift,
    number_combinations,
    regress_out,
    summarise_logits,
    weighted_columns,
)


def test_what_is_regressed_out_is_gone():
    generator = torch.Generator().manual_seed(0)
    confounders = torch.randn(200, 2, generator=generator)
    weights = torch.rand(200, generator=generator)
    weights = weights / weights.sum()
    values = confounders @ torch.tensor([[1.0, -2], [0.5, 3]]) + 0.1 * torch.randn(200, 2, generator=generator)
    left = regress_out(values, confounders, weights)
    assert ((weights[:, None] * left).T @ confounders).abs().max() < 1e-3
    assert left.std() < 0.15


def test_what_the_kept_outputs_imply_is_no_shift():
    labels = labels_of(0.5)
    sample = choose_images(np.arange(400), labels, 400, 400)
    implied = torch.from_numpy(sample.labels).float() * 8 - 4 + 0.5 * torch.randn(400, 1)
    maps = torch.from_numpy(sample.labels).float()[:, :, None, None].expand(-1, -1, 2, 2)
    alone, given_kept = (make_conditional_shift(sample, kept) for kept in (implied[:, :0], implied))
    assert alone.gram.item() ** 0.5 > 0.45 and given_kept.gram.item() ** 0.5 < 0.05
    assert alone.of_targets(maps).shape == (1, 1, 2, 2)
    assert alone.of_targets(maps).mean() == pytest.approx(1.0, abs=1e-3)


def test_batches_have_the_target_often_enough_and_weights_undo_it():
    labels = labels_of(0.05)
    sample = choose_images(np.arange(400), labels, 320, 32, positives=0.25)
    shares = sample.labels.reshape(10, 32).mean(1)
    assert (shares == 0.25).all() and len(sample.rows) == 320
    assert np.average(sample.labels[:, 0], weights=sample.weights) == pytest.approx(labels.mean(), abs=1e-5)
    assert np.array_equal(labels[sample.rows], sample.labels) and sample.base_rates == labels.mean()
    common = choose_images(np.arange(400), labels_of(0.48), 320, 32)
    assert abs(common.labels.mean() - 0.48) < 0.05


def test_all_images_asked_for_are_used_where_each_image_has_a_target():
    labels = np.tile([[0, 1], [1, 0]], (50, 1))
    sample = choose_images(np.arange(100), labels, 128, 64)
    assert len(sample.rows) == 128 and (sample.labels.sum(1) == 1).all()
    assert np.average(sample.labels[:, 0], weights=sample.weights) == pytest.approx(0.5)


def test_the_weights_of_forty_targets_need_no_table_of_their_combinations():
    labels = np.random.default_rng(0).random((300, 40)) < 0.3
    sample = choose_images(np.arange(300), labels, 256, 64)
    assert len(sample.rows) == 256 and np.isfinite(sample.weights).all()
    assert sample.weights.mean() == pytest.approx(1.0, abs=1e-5)


def test_equal_rows_of_labels_have_equal_numbers():
    assert number_combinations(np.array([[1, 0], [0, 0], [1, 0], [0, 1]])).tolist() == [2, 0, 2, 1]


def test_a_target_on_no_or_every_image_is_refused():
    for rate in (0, 1):
        with pytest.raises(InputError, match="images with and without each target"):
            choose_images(np.arange(9), np.full((9, 1), rate), 32, 8)


def test_many_kept_heads_are_summed_up_in_thirty_two_columns():
    logits, weights = torch.randn(200, 39), torch.full((200,), 1 / 200)
    assert summarise_logits(logits, weights).shape == (200, 32)
    assert summarise_logits(logits[:, :3], weights).shape == (200, 6)


def test_each_of_more_targets_than_a_batch_has_places_is_drawn():
    labels = np.eye(100, dtype=np.uint8)[np.arange(3000) % 120 % 100]  # no image has two of them
    sample = choose_images(np.arange(3000), labels, 640, 64)
    assert len(sample.rows) == 640 and (sample.labels.sum(0) > 0).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_targets_that_say_the_same_share_the_shift_and_it_is_said(sign, capsys):
    one = (np.arange(200) % 4 == 0).astype(np.uint8)[:, None]
    labels = np.concatenate([one, one if sign == 1 else 1 - one], 1)
    sample = TrainingSample(np.arange(200), labels, np.ones(200, np.float32), np.zeros(200, bool), labels.mean(0))
    kept = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    shift = make_conditional_shift(sample, kept)
    assert "warning: targets follow from one another" in capsys.readouterr().err
    values = torch.from_numpy(one).float()[:, :, None, None]  # the value is the label: its slope of 1 is shared out
    slopes = shift.of_targets(values - values.mean()).flatten()
    assert torch.allclose(slopes, torch.tensor([0.5, 0.5 * sign]), atol=0.03)


def test_a_target_that_the_kept_outputs_imply_has_no_shift(capsys):
    label = (np.arange(200) % 4 == 0).astype(np.uint8)[:, None]
    sample = TrainingSample(np.arange(200), label, np.ones(200, np.float32), np.zeros(200, bool), label.mean(0))
    shift = make_conditional_shift(sample, torch.from_numpy(label).float() * 6 - 3)
    assert "or from the kept outputs" in capsys.readouterr().err
    noise = torch.randn(200, 5, 1, 1, generator=torch.Generator().manual_seed(0))
    assert shift.of_targets(noise).abs().max() < 0.1


@pytest.mark.parametrize("kept, targets, spread", [(0, 1, 1.0), (1, 2, 8.0), (40, 2, 3.0)])
def test_shifts_are_read_off_moments_as_off_the_values(kept, targets, spread):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (600, targets), generator=generator).numpy()
    sample = choose_images(np.arange(600), labels, 512, 64, positives=0.4)
    logits = spread * torch.randn(512, kept, generator=generator)
    logits[:, : kept // 2] = logits[:, kept - kept // 2 :] + 1e-3 * logits[:, : kept // 2]  # columns that nearly agree
    values = (
        torch.randn(512, 3, 4, 4, generator=generator) + torch.from_numpy(sample.labels).sum(1)[:, None, None, None]
    )
    shift = make_conditional_shift(sample, logits)
    moments = combine_images(weighted_columns(sample, logits).T, values)
    assert torch.allclose(shift.on_moments.of_targets(moments), shift.of_targets(values), atol=1e-4)
    assert torch.allclose(shift.on_moments.of_kept(moments), shift.of_kept(values), atol=1e-4)
    assert torch.allclose(shift.on_moments.mean(moments), shift.mean(values), atol=1e-5)


def test_images_are_combined_a_few_at_a_time_and_through_a_function():
    generator = torch.Generator().manual_seed(0)
    maps, readout = torch.randn(300, 2, 3, 3, generator=generator), torch.randn(4, 300, generator=generator)
    seen = []

    def through(part):
        seen.append(len(part))
        return part.relu()

    assert torch.allclose(
        combine_images(readout, maps, through), torch.einsum("tn,nchw->tchw", readout, maps.relu()), atol=1e-4
    )
    assert sum(seen) == 300 and max(seen) == AT_A_TIME
