"""Image files to pixels, by PyTorch's operators where they can, several times faster than Pillow; work on threads."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.io  # noqa: F401  registers the decoder
from PIL import Image
from PIL import __version__ as pillow_version

from utils.common.errors import InputError

PIECE = 8  # images that a thread takes at a time
VERSIONS = f"Pillow {pillow_version.split('.')[0]}, torch {'.'.join(torch.__version__.split('.')[:2])}"
RULE = f"RGB, square, bilinear (antialiased) on bytes, {VERSIONS}"  # what pixels depend on beside file and size


def load_rgb(path):
    """Decode an image file to a PIL image in RGB. Raises: InputError naming the file if it is damaged or gone."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"unreadable image {path} ({reason}): fetch it again, or delete it and train with --allow_missing"
        ) from None


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


def load_exact(path, size, mean=0.5, std=0.5):
    """Decode an image, scale it to [0, 1], resize it as floats (bilinear, antialiased), normalise it.

    Args: mean, std: numbers, or (3, 1, 1) tensors with one for each colour

    Returns: (3, size, size) float32 array
    Raises: see `load_rgb`
    """
    image = decode(path)[None].contiguous().float() / 255
    image = F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return ((image - mean) / std)[0].numpy()


def fingerprint(paths, size):
    """Digest, 16 hex digits, of all that `load_resized` depends on: names, sizes and times of the files, size, rule.

    Raises: InputError if an image is gone
    """
    digest = hashlib.sha256(f"{RULE}, {size} px".encode())
    try:
        for path in paths:
            status = os.stat(path)
            digest.update(os.fsencode(f"{path}\0{status.st_size} {status.st_mtime_ns}\n"))
    except FileNotFoundError as error:
        raise InputError(f"image {error.filename} is gone: add it, or train with --allow_missing") from None
    return digest.hexdigest()[:16]


def run_on_threads(step, count, workers, bar=None):
    """Call step(0) … step(count - 1) on threads and advance a tqdm bar; the first error ends the rest and is raised.

    Decoders and resizers work outside the interpreter's lock.
    """

    def run_piece(start):
        stop = min(start + PIECE, count)
        for index in range(start, stop):
            step(index)
        return stop - start

    with ThreadPoolExecutor(max(1, int(workers))) as pool:
        try:
            for done in pool.map(run_piece, range(0, count, PIECE)):
                if bar is not None:
                    bar.update(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # else everything that was queued is done before the error is seen
            raise


def _decode_jpeg(path):
    """Pixels of an ordinary colour JPEG; None for what Pillow decides on: other kinds, damaged and missing files."""
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


def _jpeg_decoder():
    """torchvision's operator, None where it has none: Pillow then gives the same pixels.

    Its public wrapper warns that later versions leave decoding to others.
    """
    return getattr(torch.ops.image, "decode_jpeg", None)
