"""A data set ready for a model: attributes by name, splits, rows by attribute, batches on the device."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch

from utils.common import distributed
from utils.common.arguments import ALL
from utils.common.errors import InputError
from utils.common.normalisation import HALF, Normalisation
from utils.datasets.cache import ImageCache
from utils.datasets.decoding import load_exact, run_on_threads, set_at_end
from utils.layouts.attribute_table import SPLITS, UNKNOWN
from utils.layouts.folders import missing_images_message
from utils.layouts.reading import read_folder


def open_dataset(
    data_path,
    attributes,
    *,
    img_size=64,
    split=None,
    allow_missing=False,
    limit=None,
    cache_path="cache",
    workers=2,
    exact_resize=False,
    mean=HALF.mean,
    std=HALF.std,
    note=print,
    unknown_labels="error",
    also_known=(),
    trained_on=(),
    **reading,
):
    """Open a folder in any layout. The table and a listing of the images are read, no image is.

    Args:
        data_path: folder of the data set, see data/README.md
        attributes: K names, in head order
        img_size: side of the square images in pixels
        split: "released" (first 75 % of the rows train, the others test), "official" (the layout's own parts) or "all"
            (every row is in both, for tiny sets); None: official where the layout has parts, released for CelebA's
        allow_missing: leave out rows without an image, and say how many
        limit: use the first so many rows of the table only, None = all
        cache_path: folder of the image cache, None = decode each time
        workers: threads that decode, 0: none, this one does it
        exact_resize: resize float images with torch as the published preprocessing does, without rounding or cache
        mean, std: of the images, three numbers each, see `utils.common.normalisation`
        note: called with lines that the user should see
        unknown_labels: "error", or "skip" to leave out rows that lack a label of one of the attributes
        also_known: names whose labels are to be known, too: an oracle is of the same rows as its original
        trained_on: likewise names that a training asked for, of which the table may lack some; ["all"]: every one
        reading: see `utils.layouts.reading.read_folder`
    Returns: ImageDataset
    Raises: InputError for everything that is wrong with the folder, the table or what is asked of it
    """
    if split not in (None, *SPLITS):
        raise InputError(f"unknown split {split!r}: choose among {', '.join(SPLITS)}")
    if img_size < 1 or (limit is not None and limit < 1):
        raise InputError(f"image size and limit must be at least 1, got {img_size} and {limit}")
    table = read_folder(data_path, **reading)
    split, skip_unknown = split or table.own_split, unknown_labels == "skip"
    needed = tuple(attributes)
    if skip_unknown:
        wanted = table.names if list(trained_on) == [ALL] else [name for name in trained_on if name in table.names]
        needed = tuple(dict.fromkeys((*attributes, *also_known, *wanted)))
    table.columns(attributes, skip_unknown=True)  # a misspelt name is reported before anything else is looked at
    if limit is not None:
        table = table.rows(slice(limit))
    known = (table.columns(needed, skip_unknown) != UNKNOWN).all(1)
    if not known.all():
        note(f"left out {(~known).sum():,} of {len(known):,} table rows, which lack a label of {' '.join(needed)}")
        table = table.rows(known)
    table = table.located()
    present = table.files != ""
    if not present.all():
        if not (allow_missing and present.any()):
            raise InputError(missing_images_message(table.folder, table.image_ids, present))
        note(
            f"using {present.sum():,} of {len(present):,} table rows: "
            f"{(~present).sum():,} have no image in {table.folder}"
        )
        table = table.rows(present)
    splits = table.split_rows(split, note)
    paths = np.char.add(os.path.join(table.folder, ""), table.files)
    cache = None if exact_resize else ImageCache(paths, img_size, cache_path, workers, note)
    parts = (table.image_ids, paths, table.columns(attributes), splits, cache, workers, Normalisation(mean, std))
    return ImageDataset(attributes, img_size, *parts, split)


def normalise(pixels, shift=127.5, scale=127.5):
    """Pixels (B, H, W, 3) uint8 to images (B, 3, H, W) float32 in channels-last memory.

    Args: shift, scale: 255 times mean and std, numbers or (3, 1, 1) tensors: rounded once only for (x/255 - 0.5)/0.5
    """
    return pixels.permute(0, 3, 1, 2).float().sub_(shift).div_(scale)


def denormalise(images, normalisation=HALF):
    """Images (B, 3, H, W) float32, normalised, to pixels (B, H, W, 3) uint8 on the CPU, as numpy array."""
    mean, std = (per_channel(values, images.device) for values in (normalisation.mean, normalisation.std))
    return ((images * std + mean) * 255).round().clamp(0, 255).permute(0, 2, 3, 1).byte().cpu().numpy()


def per_channel(values, device="cpu", times=1):
    """Three numbers as one, if they are equal, else as a (3, 1, 1) tensor on the device; `times` multiplies them."""
    values = [times * value for value in values]
    return values[0] if len(set(values)) == 1 else torch.tensor(values, device=device)[:, None, None]


class ImageDataset:
    """Images and labels of K attributes; made by `open_dataset`.

    Attributes: `attributes` (K names), `img_size`, `image_ids` (N,) and `paths` (N,) str arrays, `labels` (N, K) uint8,
    `splits` {"train": int64 array, "test": int64 array}, with the official split also "valid", and its name `split`;
    `normalisation`.
    """

    def __init__(
        self, attributes, img_size, image_ids, paths, labels, splits, cache, workers, normalisation=HALF, split=None
    ):
        self.attributes, self.img_size = tuple(attributes), img_size
        self.image_ids, self.paths, self.labels, self.splits = image_ids, paths, labels, splits
        self.split = split
        self._cache, self._workers, self.normalisation = cache, workers, normalisation  # no cache: exact resize

    def __len__(self):
        return len(self.labels)

    def rows(self, split):
        """Rows of "train", "valid" or "test" in table order: (n,) int64, empty if there is no such split."""
        return self.splits.get(split, np.zeros(0, np.int64))

    def positives(self, attribute, split="train"):
        """Rows of a split that have the attribute, in table order: (n,) int64.

        Raises: InputError if there is none; KeyError for an unknown attribute
        """
        if attribute not in self.attributes:
            raise KeyError(f"no attribute {attribute!r} in this data set of {self.attributes}")
        rows = self.splits[split]
        labels = self.labels[:, self.attributes.index(attribute)]
        found = rows[labels[rows] == 1]
        if not len(found):
            cure = "shuffle the table's rows (it looks sorted), " if labels.any() else ""
            raise InputError(
                f"none of the {len(rows):,} {split} images has {attribute}: "
                f"{cure}use more images, another --split or another attribute"
            )
        return found

    def all_positive(self, split="test"):
        """Rows of a split that have all attributes, in table order: (n,) int64, may be empty."""
        rows = self.splits[split]
        return rows[self.labels[rows].all(1)]

    def digest(self, attributes=None):
        """16 hex digits of what the training part is: names of its images, labels of some attributes (None: all)."""
        rows = self.rows("train")
        columns = [self.attributes.index(name) for name in attributes or self.attributes]
        content = hashlib.sha256("\n".join(self.image_ids[rows].tolist()).encode("utf-8", "surrogateescape"))
        content.update(np.ascontiguousarray(self.labels[np.ix_(rows, columns)]).tobytes())
        return content.hexdigest()[:16]

    def prepare(self, rows, progress=True):
        """Decode and resize what the cache lacks of some rows; several processes share them out and wait for the last.

        Returns: the rows
        Raises: InputError naming an unreadable image
        """
        if self._cache is not None:
            if distributed.active():
                self._cache.fill(distributed.share_of_machine(rows), progress and distributed.is_main())
                distributed.wait()  # then what the others have written is found
            self._cache.fill(rows, progress)
        return rows

    def images(self, rows):
        """Images of some rows: (B, H, W, 3) uint8 array, or with exact_resize (B, 3, H, W) float32, normalised."""
        rows = np.asarray(rows, np.int64)
        return self._read(rows, self._empty(len(rows))).numpy()

    def batches(self, rows, batch_size, device):
        """Iterate over some rows in their order; the next batch is read while one is in use.

        Args: rows: (n,) row numbers; batch_size: images a batch, the last may have fewer; device: where they shall be
        Returns: iterator of images (B, 3, H, W) float32, normalised, and labels (B, K) float32; resized bytes come in
            channels-last memory, exactly resized images in contiguous memory
        Raises: ValueError for a batch size below 1; then InputError naming an unreadable image
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        return self._stream(np.asarray(rows, np.int64), batch_size, torch.device(device))

    def _stream(self, rows, batch_size, device):
        labels = torch.from_numpy(self.labels[rows]).to(device)  # one copy for all batches
        by = [per_channel(values, device, 255) for values in (self.normalisation.mean, self.normalisation.std)]

        def read_ahead(start):
            part = rows[start : start + batch_size]
            read = partial(self._read, part, self._empty(len(part), pin=device.type == "cuda"), stopped)
            return reader.submit(read) if self._workers else SimpleNamespace(result=read)  # no thread: when it is due

        stopped = threading.Event()
        with ThreadPoolExecutor(1) as reader, set_at_end(stopped):  # Ctrl-C does not wait for the batch ahead
            ahead = read_ahead(0)
            for start in range(0, len(rows), batch_size):
                images = ahead.result()
                ahead = read_ahead(start + batch_size)  # after the last batch there is nothing to read
                images = images.to(device, non_blocking=True)
                if images.dtype == torch.uint8:
                    images = normalise(images, *by)
                yield images, labels[start : start + batch_size].float()

    def _empty(self, count, pin=False):
        size = self.img_size
        if self._cache is None:
            return torch.empty(count, 3, size, size, pin_memory=pin)
        return torch.empty(count, size, size, 3, dtype=torch.uint8, pin_memory=pin)

    def _read(self, rows, images, stopped=None):
        """Write the images of some rows to an `_empty` tensor and return it."""
        out = images.numpy()
        if self._cache is not None:
            self._cache.read(rows, out, stopped)
            return images

        by = [per_channel(values) for values in (self.normalisation.mean, self.normalisation.std)]

        def load(place):
            out[place] = load_exact(str(self.paths[rows[place]]), self.img_size, *by)

        run_on_threads(load, len(rows), self._workers, stopped=stopped)
        return images
