"""Image files to pixels, by PyTorch's operators where they can, several times faster than Pillow; work on threads."""

import hashlib
import io
import os
import stat
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.io  # noqa: F401  registers the decoder
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import __version__ as pillow_version

from utils.common.errors import InputError, no_memory
from utils.layouts.text import shown

PIECE, MAX_THREADS = 8, 256  # images that a thread takes at a time; more threads than any machine has use for
MAX_PIXELS, MAX_BYTES = 64_000_000, 1 << 29  # of an image and of its file: a small file may unfold to any size
VERSIONS = f"Pillow {pillow_version.split('.')[0]}, torch {'.'.join(torch.__version__.split('.')[:2])}"
RULE = f"RGB, upright, square, bilinear (antialiased) on bytes, {VERSIONS}"  # what pixels depend on beside file, size
KINDS = "JPEG PNG BMP GIF TIFF WEBP PPM JPEG2000 AVIF".split()  # others start foreign programs, or match any bytes
CURE = "fetch it again, or delete it and train with --allow_missing"

Image.init()
KINDS = [kind for kind in KINDS if kind in Image.OPEN]
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged files; those that can't be read are an error below


def load_rgb(path):
    """Decode an image file to a PIL image in RGB, upright: the first picture, if there are several.

    Raises: InputError naming the file if it is damaged, gone, too large or of a kind without a meaning as a picture
    """
    return _read_pillow(path, _read_file(path))


def decode(path):
    """Decode an image file: (3, H, W) uint8 tensor, equal to `load_rgb`'s pixels. Raises: see `load_rgb`."""
    data = _read_file(path)
    pixels = _decode_jpeg(data)
    return torch.from_numpy(np.array(_read_pillow(path, data))).permute(2, 0, 1) if pixels is None else pixels


def to_rgb(image):
    """A PIL image of any mode in RGB; 16 bits are scaled to 8, transparency is left out.

    Raises: ValueError for 32 bits and for floats, whose white is not known
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):  # both in 0 … 65535
        return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        what = "whole numbers" if image.mode == "I" else "floats"
        raise ValueError(f"32-bit {what}, of which it is not known what is white: save it with 8 or 16 bits")
    plain = {"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)  # colours that were multiplied with the opacity
    return image.convert(plain).convert("RGB")


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
    """Digest, 16 hex digits, of which images `load_resized` makes to what: their names, the size, the rule."""
    digest = hashlib.sha256(f"{RULE}, {size} px".encode())
    for path in paths:
        digest.update(os.fsencode(f"{path}\0"))
    return digest.hexdigest()[:16]


def stamps_of(paths):
    """A number above 0 for the state of each file, from its size and time: (N,) uint32.

    Raises: InputError if an image is gone
    """
    stamps = np.empty(len(paths), np.uint32)
    try:
        for place, path in enumerate(paths):
            status = os.stat(path)
            stamps[place] = zlib.crc32(b"%d %d" % (status.st_size, status.st_mtime_ns)) or 1
    except OSError as error:
        raise InputError(
            f"image {shown(error.filename)} is gone ({error.strerror}): add it, or train with --allow_missing"
        ) from None
    return stamps


def run_on_threads(step, count, workers, bar=None, stopped=None):
    """Call step(0) … step(count - 1) on threads and advance a tqdm bar; the first error ends the rest and is raised.

    Decoders and resizers work outside the interpreter's lock. With 0 workers this thread does it. Once somebody sets
    `stopped`, a threading.Event, what is not begun is left out.
    """
    stopped = threading.Event() if stopped is None else stopped

    def run_piece(start):
        stop = min(start + PIECE, count)
        for index in range(start, stop):
            if stopped.is_set():
                break
            step(index)
        return stop - start

    def follow(pieces):
        for done in pieces:
            if bar is not None:
                bar.update(done)

    starts = range(0, count, PIECE)
    if workers < 1:
        return follow(map(run_piece, starts))
    with ThreadPoolExecutor(min(int(workers), MAX_THREADS)) as pool:
        try:
            follow(pool.map(run_piece, starts))
        except BaseException:
            stopped.set()  # Ctrl-C does not wait for the pieces begun
            pool.shutdown(cancel_futures=True)  # else everything that was queued is done before the error is seen
            raise


@contextmanager
def set_at_end(event):
    """Set a threading.Event when the block ends, however it does."""
    try:
        yield
    finally:
        event.set()


def _read_file(path):
    """Bytes of an image file, (n,) uint8 array; raises InputError for what is no file of bytes (a pipe never ends)."""
    try:
        status = os.stat(path)
        kind = "no file but a folder" if stat.S_ISDIR(status.st_mode) else "no file but a pipe or a device"
        if stat.S_ISREG(status.st_mode):
            kind = f"{status.st_size / 1e6:,.0f} MB in size" if status.st_size > MAX_BYTES else None
        data = None if kind else np.fromfile(path, np.uint8)
    except (OSError, ValueError) as error:
        kind = getattr(error, "strerror", None) or str(error)
    if kind:
        raise InputError(f"unreadable image {shown(path)} ({kind}): {CURE}")
    return data


def _open(data):
    """Open an image in memory by Pillow, which reads its head only; raises for what is no image, or too large."""
    image = Image.open(io.BytesIO(data), formats=KINDS)
    if image.width * image.height > MAX_PIXELS:  # Pillow itself refuses twice as many
        raise Image.DecompressionBombError
    return image


def _read_pillow(path, data):
    try:
        if not len(data):
            raise EOFError("an empty file")
        with _open(data) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return to_rgb(image)
    except Exception as error:  # Pillow's readers raise what a hostile file makes of them
        if no_memory(error):
            raise
        reason = shown(" ".join(str(error).split())) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"none of {', '.join(KINDS)}"
        elif isinstance(error, Image.DecompressionBombError):
            reason = f"more than {MAX_PIXELS:,} pixels: make it smaller"
        raise InputError(f"unreadable image {shown(path)} ({reason}): {CURE}") from None


def _decode_jpeg(data):
    """Pixels of an ordinary colour JPEG; None for what Pillow decides on: other kinds, turned and damaged ones."""
    decoder = _jpeg_decoder()
    if decoder is None or not _is_plain_jpeg(data[:65536].tobytes()):
        return None
    try:
        return decoder(torch.from_numpy(data), 0, False)
    except RuntimeError:  # Pillow says what it is
        return None


def _is_plain_jpeg(head):
    """Whether the first bytes are those of a JPEG in three colours, not too large, without EXIF or XMP to turn it."""
    place, plain = 2 * head.startswith(b"\xff\xd8"), False
    while place and head[place : place + 1] == b"\xff" and len(head) > place + 9:
        marker, length = head[place + 1], int.from_bytes(head[place + 2 : place + 4], "big")
        if marker == 0xDA:  # the pixels
            return plain
        if marker in (0xC0, 0xC1, 0xC2):  # the frame
            height, width = (int.from_bytes(head[place + at : place + at + 2], "big") for at in (5, 7))
            plain = 0 < height * width <= MAX_PIXELS and head[place + 9] == 3
        elif length < 2 or not (marker in (0xC4, 0xDB, 0xDD, 0xE0, 0xFE) or 0xE2 <= marker <= 0xEF):
            return False  # 0xE1 holds EXIF and XMP; others are rare, or no segment with a length
        place += 2 + length
    return False


def _jpeg_decoder():
    """torchvision's operator, None where it has none: Pillow then gives the same pixels.

    Its public wrapper warns that later versions leave decoding to others.
    """
    return getattr(torch.ops.image, "decode_jpeg", None)
