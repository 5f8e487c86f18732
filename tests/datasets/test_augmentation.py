"""Flips and rotations of a whole batch against torchvision's, one image at a time."""

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from utils.datasets.augmentation import Augmentation, flip_and_rotate

NO, YES = torch.zeros(2, dtype=torch.bool), torch.ones(2, dtype=torch.bool)


def smooth_images(count=2, height=32, width=32):
    """Waves without sharp edges, in [-1, 1]."""
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 5, width), indexing="ij")
    return torch.stack([torch.stack([torch.sin(x + k), torch.cos(y - k), torch.sin(x * y / 4)]) for k in range(count)])


@pytest.mark.parametrize("shape", [(32, 32), (24, 40)])
@pytest.mark.parametrize("angle", [-30.0, 12.5, 90.0])
def test_rotation_equals_torchvisions_inside_and_is_black_outside(shape, angle):
    images = smooth_images(2, *shape)
    ours = flip_and_rotate(images, NO, NO, torch.full((2,), angle))
    theirs = rotate(images, angle, InterpolationMode.BILINEAR, fill=-1.0)
    weight = rotate(torch.ones_like(images), angle, InterpolationMode.BILINEAR, fill=0.0)  # 1 where all is inside
    assert (weight > 0.999).float().mean() > 0.4
    assert torch.allclose(ours[weight > 0.999], theirs[weight > 0.999], atol=2e-3)
    assert torch.allclose(ours[weight == 0], torch.tensor(-1.0), atol=1e-4)  # within rounding of the border


@pytest.mark.parametrize("shape", [(24, 24), (16, 28)])
def test_the_nearest_filter_takes_the_pixels_that_torchvision_takes(shape):
    images = torch.rand(6, 3, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    angles, none = torch.tensor([-30.0, 7.3, 90.0, 0.0, 45.0, 180.0]), torch.zeros(6, dtype=torch.bool)
    ours = flip_and_rotate(images, none, none, angles, "nearest")
    theirs = [rotate(one, angle.item(), fill=-1.0) for one, angle in zip(images, angles, strict=True)]
    same = torch.isclose(ours, torch.stack(theirs), atol=1e-6).all(1).float().mean((1, 2))
    assert same.min() > 0.97  # points half way between two pixels may fall to either
    augmented = Augmentation(nearest=True)(images, torch.Generator().manual_seed(1))
    values = torch.cat([images.flatten(), torch.tensor([-1.0])])
    gaps = torch.cat([(part[:, None] - values).abs().min(1).values for part in augmented.flatten().split(500)])
    assert gaps.max() < 1e-6  # no mixtures: every pixel is one of the input's, or black


def test_a_turn_of_nothing_with_flips_is_a_flip():
    images = torch.rand(2, 3, 8, 6) * 2 - 1
    angles = torch.zeros(2)
    assert torch.allclose(flip_and_rotate(images, NO, NO, angles), images, atol=1e-6)
    assert torch.allclose(flip_and_rotate(images, YES, NO, angles), images.flip(3), atol=1e-6)
    assert torch.allclose(flip_and_rotate(images, NO, YES, angles), images.flip(2), atol=1e-6)


def test_a_flip_comes_before_the_rotation():
    images = smooth_images()
    flipped_first = flip_and_rotate(images.flip(3), NO, NO, torch.full((2,), 20.0))
    assert torch.allclose(flip_and_rotate(images, YES, NO, torch.full((2,), 20.0)), flipped_first, atol=1e-5)


def test_each_image_is_flipped_or_not_and_about_half_are():
    images = torch.arange(6.0).reshape(1, 1, 2, 3).repeat(400, 1, 1, 1)
    across = Augmentation(hflip=True, vflip=False, degrees=0)(images, torch.Generator().manual_seed(0))
    flipped = (across == images.flip(3)).flatten(1).all(1)
    assert ((across == images).flatten(1).all(1) ^ flipped).all() and 150 < flipped.sum() < 250
    down = Augmentation(hflip=False, vflip=True, degrees=0)(images, torch.Generator().manual_seed(0))
    turned = (down == images.flip(2)).flatten(1).all(1)
    assert ((down == images).flatten(1).all(1) ^ turned).all() and 150 < turned.sum() < 250
    assert not torch.equal(flipped, turned)  # drawn apart


def test_all_switched_off_changes_nothing():
    images = smooth_images()
    assert torch.equal(Augmentation(False, False, 0)(images, torch.Generator()), images)


def test_the_same_generator_state_gives_the_same_images_and_the_input_is_kept():
    images = smooth_images(16)
    kept = images.clone()
    first, again = (Augmentation(vflip=True)(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again) and torch.equal(images, kept)
    assert not torch.equal(first, Augmentation(vflip=True)(images, torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("degrees", [0, 30])
def test_memory_format_and_type_are_kept(degrees):
    images = smooth_images(3).contiguous(memory_format=torch.channels_last)
    augmented = Augmentation(degrees=degrees)(images, torch.Generator().manual_seed(0))
    assert augmented.is_contiguous(memory_format=torch.channels_last)
    assert augmented.shape == images.shape and augmented.dtype == images.dtype


def test_angles_outside_half_a_turn_are_refused():
    with pytest.raises(ValueError, match=r"degrees must be in \[0, 180\], got -1"):
        Augmentation(degrees=-1)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_draws_the_same_numbers_as_the_cpu():
    images = smooth_images(8)
    here, there = (Augmentation()(images.to(d), torch.Generator().manual_seed(0)) for d in ("cpu", "cuda"))
    assert torch.allclose(here, there.cpu(), atol=1e-4)
