"""Random flips and rotations of a whole batch at once, on the device that holds it."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

BLACK = -1.0  # a pixel of 0 after (x / 255 - 0.5) / 0.5: what comes into the picture from outside


@dataclass(frozen=True)
class Augmentation:
    """Each image flipped with probability 1/2 and turned by a uniform angle in [-degrees, degrees], corners black.

    The numbers are drawn on the CPU, so that they do not depend on the device.
    """

    hflip: bool = True
    vflip: bool = False
    degrees: float = 30.0

    def __post_init__(self):
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"degrees must be in [0, 180], got {self.degrees}")

    def __call__(self, images, generator=None):
        """Augment a batch.

        Args:
            images: (N, C, H, W) float, normalised to [-1, 1]; not changed
            generator: CPU torch.Generator, None = torch's own
        Returns: (N, C, H, W) on the same device, in the same memory format
        """
        drawn = torch.rand(3, len(images), generator=generator)  # always three rows: switches do not shift the numbers
        across, down = (drawn[0] < 0.5) & self.hflip, (drawn[1] < 0.5) & self.vflip
        if self.degrees:
            return flip_and_rotate(images, across, down, (2 * drawn[2] - 1) * self.degrees)
        for chosen, switch, axis in ((across, self.hflip, 3), (down, self.vflip, 2)):
            if switch:
                images = torch.where(_to_device(chosen, images)[:, None, None, None], images.flip(axis), images)
        return images


def flip_and_rotate(images, across, down, angles):
    """Flip some images, then turn each about its centre; bilinear, black outside.

    Args:
        images: (N, C, H, W) float, normalised to [-1, 1]
        across: (N,) bool on the CPU, left-right flips
        down: (N,) bool on the CPU, top-bottom flips
        angles: (N,) degrees on the CPU, counter-clockwise
    Returns: (N, C, H, W) in the memory format of `images`
    """
    height, width = images.shape[2:]
    radians = angles * (math.pi / 180)
    cos, sin = torch.cos(radians), torch.sin(radians)
    flip_x, flip_y = 1 - 2 * across.float(), 1 - 2 * down.float()
    # for each output point in [-1, 1]² the point of the unflipped image that it shows; y points down
    to_x = torch.stack((cos, -sin * (height / width), torch.zeros_like(cos)), 1) * flip_x[:, None]
    to_y = torch.stack((sin * (width / height), cos, torch.zeros_like(cos)), 1) * flip_y[:, None]
    theta = _to_device(torch.stack((to_x, to_y), 1), images).to(images.dtype)  # (N, 2, 3)
    grid = F.affine_grid(theta, images.shape, align_corners=False)
    # grid_sample pads with 0, so black must be 0 while it samples
    turned = F.grid_sample(images - BLACK, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return torch.add(turned, BLACK, out=torch.empty_like(images))


def _to_device(numbers, images):
    """Move a small CPU tensor to where the images are, without the host waiting for it."""
    if images.device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(images.device, non_blocking=True)
