"""Random flips and rotations of a whole batch at once, on the device that holds it."""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

BLACK = (-1.0, -1.0, -1.0)  # a pixel of 0 after (x / 255 - 0.5) / 0.5: what comes into the picture from outside
CHUNK = 1 << 18  # numbers that the CPU turns at a time: images and grids stay in its cache


@dataclass(frozen=True)
class Augmentation:
    """Each image flipped with probability 1/2 and turned by a uniform angle in [-degrees, degrees], corners black.

    nearest: pixels of the input as they are, as the published code has it, not mixtures of their neighbours (bilinear)
    black: what a black pixel is after the normalisation, a number for each of the C channels
    The numbers are drawn on the CPU, so that they do not depend on the device.
    """

    hflip: bool = True
    vflip: bool = False
    degrees: float = 30.0
    nearest: bool = False
    black: tuple[float, ...] = field(default=BLACK, repr=False)

    def __post_init__(self):
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"degrees must be in [0, 180], got {self.degrees}")

    def __call__(self, images, generator=None, part=None):
        """Augment a batch.

        Args:
            images: (N, C, H, W) float, normalised; not changed
            generator: CPU torch.Generator, None = torch's own
            part: (first, step, n) if they are every step-th image of a batch of n, whose numbers are drawn for all
        Returns: the same on the same device, in the same memory format
        """
        first, step, count = part or (0, 1, len(images))
        drawn = torch.rand(3, count, generator=generator)  # always three rows: switches do not shift the numbers
        drawn = drawn[:, first::step]
        across, down = (drawn[0] < 0.5) & self.hflip, (drawn[1] < 0.5) & self.vflip
        angles = (2 * drawn[2] - 1) * self.degrees
        if self.degrees:
            mode = "nearest" if self.nearest else "bilinear"
            return flip_and_rotate(images, across, down, angles, mode, self.black)
        for chosen, switch, axis in ((across, self.hflip, 3), (down, self.vflip, 2)):
            if switch:
                images = torch.where(_to_device(chosen, images)[:, None, None, None], images.flip(axis), images)
        return images


def flip_and_rotate(images, across, down, angles, mode="bilinear", black=BLACK):
    """Flip some images, then turn each about its centre; black outside.

    Args:
        images: (N, C, H, W) float, normalised
        across: (N,) bool on the CPU, left-right flips
        down: (N,) bool on the CPU, top-bottom flips
        angles: (N,) degrees on the CPU, counter-clockwise
        mode: "bilinear" or "nearest"
        black: what comes in from outside, a number for each channel
    Returns: (N, C, H, W) in the memory format of `images`
    """
    turns = _to_device(_turns(across, down, angles), images).to(images.dtype)
    turned = torch.empty_like(images)
    black = black[0] if len(set(black)) == 1 else _to_device(torch.tensor(black), images)[:, None, None]
    step = len(images) if images.device.type != "cpu" else max(2, CHUNK // max(1, images[:1].numel()))
    for out, part, turn in zip(*(batch.split(max(1, step)) for batch in (turned, images, turns)), strict=True):
        # grid_sample pads with 0, so black must be 0 while it samples; it is fastest with planes in a row
        planes = torch.sub(part, black, out=part.new_empty(part.shape))
        sampled = F.grid_sample(planes, _grid(turn, planes), mode=mode, padding_mode="zeros", align_corners=False)
        torch.add(sampled, black, out=out)
    return turned


def _turns(across, down, angles):
    """(N, 2, 2): how far x and y of the input go with x and y of the output, from the centre; y points down."""
    radians = angles * (math.pi / 180)
    cos, sin = torch.cos(radians), torch.sin(radians)
    flips = torch.stack((1 - 2 * across.float(), 1 - 2 * down.float()), 1)
    return torch.stack((torch.stack((cos, -sin), 1), torch.stack((sin, cos), 1)), 1) * flips[:, :, None]


def _grid(turns, images):
    """Where each output point is found, (N, H, W, 2) in [-1, 1]², as `F.affine_grid` says, without its wide product."""
    height, width = images.shape[2:]
    x, y = (
        torch.arange(1 - size, size, 2, device=images.device, dtype=images.dtype) / size for size in (width, height)
    )
    aspect = height / width
    across, down = turns[:, 0, :, None, None], turns[:, 1, :, None, None]  # (N, 2, 1, 1)
    to_x = across[:, 0] * x + (across[:, 1] * aspect) * y[:, None]
    to_y = (down[:, 0] / aspect) * x + down[:, 1] * y[:, None]
    return torch.stack((to_x, to_y), 3)


def _to_device(numbers, images):
    """Move a small CPU tensor to where the images are, without the host waiting for it."""
    if images.device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(images.device, non_blocking=True)
