"""Images decoded and resized once: one sparse file of uint8 pixels, filled as images are asked for.

The file is named by a fingerprint of what the pixels depend on (paths, sizes and times of the image files, size and
rule of the resize), so a stale one is never opened. In it lies a byte an image, its mark, then the pixels. Several
processes may fill one file: each writes the same bytes to the same place. A killed one leaves a file that the next one
completes. Pixels are read by pread: the pages of a mapping count as resident memory once touched.

Nobody waits for the disk: an image is marked with the number of this start of the machine (2 to 255) when its pixels
have been handed to the system, which keeps them through anything but a failure of the machine, and with 1 when they
are on the disk. After a restart only the marks that are 1 are believed.
"""

import hashlib
import os
import shutil
import threading
import weakref
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.common.errors import InputError
from utils.datasets.cache_file import ON_DISK, alone, boot_mark, bring_to_disk, read_all, read_marks, runs, write_all
from utils.datasets.decoding import run_on_threads
from utils.datasets.pixels import RULE, load_resized


class ImageCache:
    """Square uint8 pictures of image files, kept in a file of `folder`; nothing is kept if that is None.

    Args:
        paths: (N,) image files; absolute ones, if the cache is to be found from another working directory
        size: side in pixels
        folder: where the cache file goes; made if it is not there
        workers: threads that decode (Pillow decodes outside the interpreter's lock)
        note: called with one line if the cache can't be kept (disk full, not writable) or may pass 1 GB
    """

    def __init__(self, paths, size, folder, workers=2, note=None):
        """Remember what to cache; files are looked at when pixels are first asked for."""
        self.paths, self.size, self.workers = np.asarray(paths), int(size), max(1, int(workers))
        self.file = None  # the cache file, once open
        self._folder = None if folder is None else Path(folder)
        self._note = note or (lambda line: None)
        self._row_bytes = 3 * self.size**2
        self._start = -(-len(self.paths) // 4096) * 4096  # the pixels begin on a page
        self._done = np.zeros(len(self.paths), bool)
        self._descriptor = None  # None: not open; keeps None where nothing is kept
        self._keeps, self._opened, self._lock = self._folder is not None, False, threading.RLock()
        self._mark, self._settling = boot_mark(), None

    def __len__(self):
        """Return the number of images."""
        return len(self.paths)

    def fill(self, rows, progress=False):
        """Decode the rows that the cache lacks, in parallel, if they can be kept. Raises: see `load_rgb`."""
        self._open()
        rows = np.unique(np.asarray(rows, np.int64))
        rows = rows[~self._stored(rows)]
        if self._keeps and len(rows):
            self._check_space(len(rows))
        if not self._keeps or not len(rows):
            return

        def keep(index):
            row = rows[index]
            if self._keeps and not self._marked(row):  # another process may have come first
                self._store(row, self._load(row))

        label = f"decode to {self.size} px"
        with tqdm(total=len(rows), desc=label, unit="img", disable=None if progress else True) as bar:
            run_on_threads(keep, len(rows), self.workers, bar)
        self._settle()

    def read(self, rows, out=None):
        """Pixels of some rows, decoding (and keeping) those that the cache lacks.

        Args:
            rows: (B,) indices
            out: (B, size, size, 3) uint8 C-contiguous array to write to; a new one if None
        Returns: `out`
        """
        self._open()
        rows = np.asarray(rows, np.int64)
        out = np.empty((len(rows), self.size, self.size, 3), np.uint8) if out is None else out
        stored = self._stored(rows)
        lacking = np.flatnonzero(~stored)
        if self._keeps and len(lacking):
            self._check_space(len(lacking))

        def decode(index):
            place, row = lacking[index], rows[lacking[index]]
            out[place] = self._load(row)
            self._store(row, out[place])

        if len(lacking):
            run_on_threads(decode, len(lacking), self.workers)
        self._gather(rows, out, np.flatnonzero(stored))
        return out

    def _load(self, row):
        return load_resized(str(self.paths[row]), self.size)

    def _open(self):
        if self._opened or not self._keeps:
            return
        with self._lock:
            if not self._opened:
                self._try(self._open_file)
                self._opened = True
                self._settle()  # what a process that is gone left behind

    def _open_file(self):
        file = self._folder / f"{self.size}px_{self._fingerprint()}.cache"
        total = self._start + len(self) * self._row_bytes
        self._folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        weakref.finalize(self, os.close, self._descriptor)
        with alone(self._descriptor):
            length = os.fstat(self._descriptor).st_size
            if length not in (0, total):  # cut off: its marks promise pixels that are gone
                os.ftruncate(self._descriptor, 0)
            if length != total:
                # one step, so that no state between "empty" and "complete" is ever seen
                os.ftruncate(self._descriptor, total)
        if length != total and total > 1e9:
            self._note(f"image cache {file}: up to {total / 1e9:.1f} GB once all {len(self):,} images are in it")
        self.file = file

    def _fingerprint(self):
        digest = hashlib.sha256(f"{RULE}, {self.size} px".encode())
        stamps = np.empty((len(self), 2), np.int64)
        try:
            for row, path in enumerate(self.paths):
                status = os.stat(path)
                stamps[row] = status.st_size, status.st_mtime_ns
        except FileNotFoundError as error:
            raise InputError(f"image {error.filename} is gone: add it, or pass --allow_missing") from None
        for start in range(0, len(self), 4096):  # by parts: the joined names of a large set need not be in memory
            digest.update("\0".join(self.paths[start : start + 4096].tolist()).encode("utf-8", "surrogateescape"))
        digest.update(stamps.tobytes())
        return digest.hexdigest()[:16]

    def _stored(self, rows):
        """Which rows are in the file: (B,) bool."""
        done = self._done[rows]
        if self._descriptor is not None and not done.all():
            marks = read_marks(self._descriptor, len(self))
            self._done[: len(marks)] |= (marks == ON_DISK) | (marks == self._mark)
            done = self._done[rows]
        return done

    def _marked(self, row):
        return os.pread(self._descriptor, 1, row) in (bytes([ON_DISK]), bytes([self._mark]))

    def _gather(self, rows, out, places):
        """Copy out[place] = row[place] from the file for some places; neighbours in one call."""
        flat = memoryview(out.reshape(-1))
        for first, last in runs(rows[places], places):
            start, count = int(places[first]) * self._row_bytes, (last - first) * self._row_bytes
            offset = self._start + int(rows[places[first]]) * self._row_bytes
            if not read_all(self._descriptor, flat[start : start + count], offset):
                raise InputError(f"image cache {self.file} was cut off while in use: delete it and run again")

    def _store(self, row, pixels):
        """Write an image's pixels, then mark it; not if nothing is kept."""
        if self._keeps:
            self._try(self._write, int(row), pixels)

    def _write(self, row, pixels):
        write_all(self._descriptor, memoryview(pixels.reshape(-1)), self._start + row * self._row_bytes)
        if self._mark == ON_DISK:  # no way to tell a restart: a mark must not outlive its pixels
            os.fsync(self._descriptor)
        write_all(self._descriptor, memoryview(bytes([self._mark])), row)
        self._done[row] = True

    def _settle(self):
        """Bring to the disk what is not known to be there, on a thread of its own that nobody waits for."""
        if self._descriptor is None or (self._settling is not None and self._settling.is_alive()):
            return
        if (read_marks(self._descriptor, len(self)) == self._mark).any() and self._mark != ON_DISK:
            arguments = os.dup(self._descriptor), len(self), self._mark
            self._settling = threading.Thread(target=bring_to_disk, args=arguments, daemon=True)
            self._settling.start()

    def _check_space(self, count):
        free, needed = shutil.disk_usage(self._folder).free, count * self._row_bytes
        if needed > free:
            self._keeps = False
            self._note(
                f"no image cache in {self._folder}: {needed / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free; "
                "images are decoded each time (another disk: --cache_path)"
            )

    def _try(self, step, *arguments):
        """Run a step that writes; if the system refuses, say so once and go on without keeping."""
        try:
            step(*arguments)
        except OSError as error:
            with self._lock:  # several threads may be refused at once
                refused_before, self._keeps = not self._keeps, False
            if not refused_before:
                self._note(
                    f"no image cache in {self._folder}: {error.strerror}; "
                    "images are decoded each time (another place: --cache_path)"
                )
