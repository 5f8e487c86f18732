"""CelebA ready for a network: attributes by name, splits, choices of images, batches made on the device."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F

from utils.common.errors import InputError
from utils.datasets.buffers import keep_freed_memory, recycled
from utils.datasets.cache import ImageCache
from utils.datasets.decoding import run_on_threads
from utils.datasets.layouts import (
    find_image_folder,
    images_present,
    missing_images_message,
    read_attribute_table,
    read_partition,
)
from utils.datasets.pixels import decode

SPLITS = ("released", "official", "all")
CHUNK = 1 << 18  # numbers that are worked on at a time: they stay in the processor's cache from step to step
BLOCK = 1024  # images that are decoded at a time where the cache lacks them: threads wait for each other once a block


def open_dataset(
    data_path,
    attributes,
    *,
    img_size=64,
    split="released",
    allow_missing=False,
    limit=None,
    cache_path="cache",
    workers=2,
    exact_resize=False,
    note=print,
):
    """Open a folder in CelebA's layout. The table and a listing of the images are read, no image is.

    Args:
        data_path: folder with the tables and img_align_celeba/, or with celeba/ as torchvision lays it
        attributes: K names, in head order
        img_size: side of the square images in pixels
        split: "released" (first 75 % of the rows train, the others test), "official" (partition file) or "all" (each
            row in both parts, for tiny sets)
        allow_missing: leave out rows without an image, and say how many
        limit: use the first so many rows of the table only, None = all
        cache_path: folder of the image cache, None = decode each time
        workers: threads that decode
        exact_resize: resize float images with torch as the published preprocessing does, without rounding or cache
        note: called with lines that the user should see
    Returns: CelebA
    Raises: InputError for everything that is wrong with the folder, the table or what is asked of it
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}: choose among {', '.join(SPLITS)}")
    if img_size < 1 or (limit is not None and limit < 1):
        raise InputError(f"image size and limit must be at least 1, got {img_size} and {limit}")
    table = read_attribute_table(data_path)
    table.columns(attributes)  # a misspelt name is reported before anything else is looked at
    if limit is not None:
        table = table.rows(slice(limit))
    image_folder = find_image_folder(data_path)
    present = images_present(image_folder, table.image_ids)
    if not present.all():
        if not (allow_missing and present.any()):
            raise InputError(missing_images_message(image_folder, table.image_ids, present))
        note(
            f"using {present.sum():,} of {len(present):,} table rows: "
            f"{(~present).sum():,} have no image in {image_folder}"
        )
        table = table.rows(present)
    rows = _split_rows(split, data_path, table.image_ids)
    paths = np.char.add(os.path.join(image_folder, ""), table.image_ids)
    cache = None if exact_resize else ImageCache(paths, img_size, cache_path, workers, note)
    return ImageDataset(attributes, img_size, table.image_ids, paths, table.columns(attributes), rows, cache, workers)


def _split_rows(split, data_path, image_ids):
    """Rows of each part: {part: (n,) int64}. Raises: InputError if train or test would be empty."""
    count = len(image_ids)
    if split == "official":
        partition = read_partition(data_path, image_ids)
        rows = {part: np.flatnonzero(partition == code) for code, part in enumerate(("train", "valid", "test"))}
    elif split == "released":
        rows = {"train": np.arange(int(0.75 * count)), "test": np.arange(int(0.75 * count), count)}
    else:
        rows = {"train": np.arange(count), "test": np.arange(count)}
    for part in ("train", "test"):
        if not len(rows[part]):
            raise InputError(
                f"no {part} images: the split {split!r} of {count:,} images leaves that part empty; "
                "use more images (--limit) or another --split"
            )
    return rows


def normalise(pixels):
    """Pixels (B, H, W, 3) uint8 to images (B, 3, H, W) float32, (x/255 - 0.5)/0.5, in channels-last memory."""
    if pixels.device.type != "cpu":
        return pixels.permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)  # the same number, rounded once only
    images = recycled(pixels.shape, torch.float32)
    step = max(1, CHUNK // max(1, pixels[0].numel())) if len(pixels) else 1
    for part, source in zip(images.split(step), pixels.split(step), strict=True):
        part.copy_(source).sub_(127.5).div_(127.5)
    return images.permute(0, 3, 1, 2)


def _prepared(images, augment, generator):
    """Normalised and augmented images; bytes are augmented as they are where that is the faster way round."""
    as_bytes = images.dtype == torch.uint8 and images.device.type == "cpu" and getattr(augment, "nearest", False)
    if as_bytes:
        images = augment(images, generator)
    images = normalise(images) if images.dtype == torch.uint8 else images
    return images if augment is None or as_bytes else augment(images, generator)


class ImageDataset:
    """Images and labels of K attributes; made by `open_dataset`.

    Attributes: `attributes` (K names), `img_size`, `image_ids` (N,) and `paths` (N,) str arrays, `labels` (N, K) uint8,
    `rows` {"train": int64 array, "test": int64 array}, with the official split also "valid".
    """

    def __init__(self, attributes, img_size, image_ids, paths, labels, rows, cache, workers):
        self.attributes, self.img_size = tuple(attributes), img_size
        self.image_ids, self.paths, self.labels, self.splits = image_ids, paths, labels, rows
        self._cache, self._workers = cache, workers  # no cache: exact resize

    def __len__(self):
        return len(self.labels)

    def rows(self, split):
        """Rows of "train", "valid" or "test" in table order: (n,) int64, empty if the split has no such part."""
        return self.splits.get(split, np.zeros(0, np.int64))

    def positives(self, attribute, part="train"):
        """Rows of a part that have the attribute, in table order. Raises: InputError if there is none."""
        if attribute not in self.attributes:
            raise KeyError(f"no attribute {attribute!r} in this data set of {self.attributes}")
        rows = self.splits[part]
        found = rows[self.labels[rows, self.attributes.index(attribute)] == 1]
        if not len(found):
            raise InputError(
                f"none of the {len(rows):,} {part} images has {attribute}: "
                "use more images, another --split or another attribute"
            )
        return found

    def all_positive(self, part="test"):
        """Rows of a part that have all attributes, in table order; may be empty."""
        rows = self.splits[part]
        return rows[self.labels[rows].all(1)]

    def prepare(self, rows, progress=True):
        """Decode and resize what the cache lacks of some rows. Raises: InputError naming an unreadable image."""
        if self._cache is not None:
            self._cache.fill(rows, progress)

    def images(self, rows):
        """Images of some rows: (B, H, W, 3) uint8 array, or with exact_resize (B, 3, H, W) float32 in [-1, 1]."""
        rows = np.asarray(rows, np.int64)
        return self._read(rows, self._buffer(len(rows)).numpy())

    def batches(self, rows, batch_size, device, *, generator=None, augment=None, drop_last=False):
        """Iterate over some rows; the next batch is read while one is in use.

        Args:
            rows: row numbers
            batch_size: images a batch
            device: where images and labels shall be
            generator: CPU torch.Generator that shuffles the rows and feeds `augment`; None: in the order given
            augment: called with (images, generator) on the device, see utils.datasets.augmentation
            drop_last: leave out the last batch if it is not full
        Returns: iterator of images (B, 3, H, W) float32 in [-1, 1], channels-last, and labels (B, K) float32
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        rows = np.asarray(rows, np.int64)
        if generator is not None:
            rows = rows[torch.randperm(len(rows), generator=generator).numpy()]
        if drop_last:
            rows = rows[: len(rows) // batch_size * batch_size]
        return self._stream(rows, batch_size, torch.device(device), generator, augment)

    def _stream(self, rows, batch_size, device, generator, augment):
        labels = torch.from_numpy(self.labels[rows]).to(device)  # one copy for all batches
        starts = range(0, len(rows), batch_size)
        if device.type == "cpu":
            keep_freed_memory()

        block = max(1, BLOCK // batch_size) * batch_size

        def read(start, part, out):
            if self._cache is not None and start % block == 0:
                self._cache.fill(rows[start : start + block])
            self._read(part, out)

        def read_ahead(start):
            part = rows[start : start + batch_size]
            buffer = self._buffer(len(part), pin=device.type == "cuda")
            return buffer, reader.submit(read, start, part, buffer.numpy())

        with ThreadPoolExecutor(1) as reader:
            ahead = read_ahead(0) if len(rows) else None
            for start in starts:
                buffer, reading = ahead
                reading.result()
                ahead = read_ahead(start + batch_size) if start + batch_size < len(rows) else None
                images = buffer.to(device, non_blocking=True)
                yield _prepared(images, augment, generator), labels[start : start + batch_size].float()

    def _buffer(self, count, pin=False):
        size = self.img_size
        shape, dtype = ((count, 3, size, size), torch.float32) if self._cache is None else (None, torch.uint8)
        shape = shape or (count, size, size, 3)
        return torch.empty(shape, dtype=dtype, pin_memory=True) if pin else recycled(shape, dtype)

    def _read(self, rows, out):
        if self._cache is not None:
            return self._cache.read(rows, out)

        def load(place):
            out[place] = _load_exact(str(self.paths[rows[place]]), self.img_size)

        run_on_threads(load, len(rows), self._workers)
        return out


def _load_exact(path, size):
    """Decode, scale to [0, 1], resize as floats (bilinear, antialiased), scale to [-1, 1]: (3, size, size) float32."""
    image = decode(path)[None].contiguous().float() / 255
    image = F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return ((image - 0.5) / 0.5)[0].numpy()
