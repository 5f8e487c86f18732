"""Image files to pixels by PyTorch's operators, several times faster than Pillow, and by Pillow where they cannot."""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import __version__ as pillow_version

from utils.datasets.decoding import load_rgb

VERSIONS = f"Pillow {pillow_version.split('.')[0]}, torch {'.'.join(torch.__version__.split('.')[:2])}"
RULE = f"RGB, square, bilinear (antialiased) on bytes, {VERSIONS}"  # what pixels depend on beside file and size


def decode(path):
    """Decode an image file: (3, H, W) uint8 tensor, equal to `load_rgb`'s pixels. Raises: see `load_rgb`."""
    pixels = _decode_jpeg(path)
    return torch.from_numpy(np.array(load_rgb(path))).permute(2, 0, 1) if pixels is None else pixels


def load_resized(path, size):
    """Decode an image and resize it to a square, as torchvision's Resize((size, size)) does, within one level.

    PyTorch's resize of bytes follows Pillow's with shorter integers, several times faster; weights and sums rounded to
    16 bits make some values one level (1/255) higher or lower.
    Returns: (size, size, 3) uint8 array
    Raises: see `load_rgb`
    """
    pixels = decode(path)[None].contiguous(memory_format=torch.channels_last)
    resized = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).contiguous().numpy()


def _decode_jpeg(path):
    """Pixels of an ordinary colour JPEG; None for what Pillow must judge: other kinds, damaged and missing files."""
    decoder = _jpeg_decoder()
    if decoder is None:
        return None
    try:
        data = np.fromfile(path, np.uint8)
        if data[:2].tolist() != [0xFF, 0xD8]:
            return None
        pixels = decoder(torch.from_numpy(data), 0, False)  # as it is stored, in the orientation of the file
    except (OSError, RuntimeError):
        return None
    return pixels if len(pixels) == 3 else None


@cache
def _jpeg_decoder():
    """torchvision's operator, imported once an image is decoded as that takes seconds; None where it has none.

    Its public wrapper warns that later versions leave decoding to others; with those, Pillow gives the same pixels.
    """
    try:
        import torchvision.io  # noqa: F401  registers the operators

        return torch.ops.image.decode_jpeg
    except (ImportError, AttributeError):
        return None
