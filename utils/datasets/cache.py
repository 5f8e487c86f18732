"""Images decoded and resized once: a file of uint8 pixels that is filled as images are asked for.

In it lie the pixels of N images, then a mark for each: the state of the image file (its size and time) and a checksum
of the pixels, written once these are on the disk. An image is believed if its mark fits its file, and at its first
reading its pixels: so a killed filling is gone on with, an image that changed is decoded anew, and so is a damaged one.
A machine fills a `.partial` of its own, several processes together: they write the same bytes to the same places.
Complete, it becomes the `.pixels` of all. The name is a digest of what the pixels depend on beside the files' states.
"""

import errno
import hashlib
import os
import platform
import re
import shutil
import threading
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.common import distributed
from utils.common.errors import InputError
from utils.datasets.decoding import fingerprint, load_resized, run_on_threads, stamps_of

MARK_EVERY = 1 << 28  # bytes of pixels that are brought to the disk at a time, then marked: what a kill may cost
MARK_BYTES = 8  # two little-endian words: stamp and checksum
MOST_UNREADABLE = 20  # images that are counted before the filling ends with an error
FILES = re.compile(r"\d+px_[0-9a-f_]{16,}(\..*)?\.(pixels|partial)|\d+px_[0-9a-f]{16}\.cache")  # older names, too


class ImageCache:
    """Square uint8 pixels of N image files, kept in a file of `folder`; nothing is kept if that is None.

    Args:
        paths: (N,) str array, absolute, if the cache is to be found from another working directory
        size: side in pixels; workers: threads that decode, 0: this one
        note: called with a line if the cache can't be kept (disk full, not writable), is damaged, may pass 1 GB, or
            stands beside others of the same images
    """

    def __init__(self, paths, size, folder, workers=2, note=print):
        self.paths, self.size, self.workers, self._note = np.asarray(paths), size, workers, note
        self._folder, self._keeps = Path(folder or ""), folder is not None
        self.file, self._opened = None, None  # path and handle of the cache file, once it is open
        self._count, self._row_bytes, self._lock = len(self.paths), 3 * size**2, threading.RLock()
        self._done = np.zeros(self._count, bool)  # marked, as far as is known
        self._sound = np.zeros(self._count, bool)  # the pixels were once found to have their checksum
        self._stamps, self._unreadable, self._damaged = None, {}, False

    def fill(self, rows, progress=False, stopped=None):
        """Decode those of some rows, (B,) indices, that the cache lacks, if it is kept. Raises: see `load_rgb`.

        Args: progress: show a bar; stopped: see `run_on_threads`
        """
        rows = np.unique(np.asarray(rows, np.int64))
        if not self._keeps or self._done[rows].all():
            return
        try:
            with self._lock:
                self._opened = self._opened or self._open()
            lacking = self._lacking(rows)
            needed, free = len(lacking) * self._row_bytes, shutil.disk_usage(self._folder).free
            if needed > free and self.file != self._final:
                raise OSError(errno.ENOSPC, f"{needed / 1e6:,.1f} MB needed, {free / 1e6:,.1f} MB free")
            # processes of one training begin at different places, and skip what the others have done
            lacking = np.roll(lacking, -(len(lacking) * distributed.rank() // distributed.world_size()))
            step, hidden = max(1, MARK_EVERY // self._row_bytes), not (progress and len(lacking)) or None
            with tqdm(total=len(lacking), desc=f"decode to {self.size} px", unit="img", disable=hidden) as bar:
                for start in range(0, len(lacking), step):
                    self._fill_part(lacking[start : start + step], bar, stopped)
            self._check_all_readable()
            if self._done.all() and self.file != self._final:
                os.fsync(self._opened.fileno())
                with suppress(OSError):  # another process was first, or the system renames no open file
                    self.file = self.file.replace(self._final)
        except OSError as error:
            self._give_up(error)

    def read(self, rows, out, stopped=None):
        """Write the pixels of some rows, (B,) indices, to `out`, a (B, size, size, 3) uint8 array.

        Those that the cache lacks are decoded, and kept if it is; once `stopped` is set, `out` is not to be used.
        Raises: see `load_rgb`; InputError if the file was cut off meanwhile
        """
        self.fill(rows, stopped=stopped)
        kept = self._done[rows]
        if kept.any():
            try:
                self._copy(rows, kept, out)
            except OSError as error:
                self._give_up(error)
                kept[:] = False
        lacking = np.flatnonzero(~kept)

        def decode(index):
            out[lacking[index]] = load_resized(str(self.paths[rows[lacking[index]]]), self.size)

        run_on_threads(decode, len(lacking), self.workers, stopped=stopped)

    def _copy(self, rows, kept, out):
        """Write kept pixels to `out`; what is damaged is taken out of `kept`, (B,) bool, and of the cache."""
        mark = np.empty(2, "<u4")
        for place in np.flatnonzero(kept):
            row = int(rows[place])
            self._read_into(out[place], row * self._row_bytes)
            if not self._sound[row]:
                self._read_into(mark, self._count * self._row_bytes + row * MARK_BYTES)
                kept[place] = self._sound[row] = zlib.crc32(out[place]) == mark[1]
        damaged = np.unique(np.asarray(rows)[self._done[rows] & ~self._sound[rows]])
        if len(damaged):
            if not self._damaged:
                self._note(
                    f"image cache {self.file} is damaged: its images are checked, and decoded again where needed"
                )
            self._damaged = True
            self._done[damaged] = False
            for row in damaged.tolist():
                self._mark(row, bytes(MARK_BYTES))

    def _fill_part(self, rows, bar, stopped):
        """Decode and write rows, bring what was written to the disk, then mark it."""
        lacking, written = self._lacking(rows), {}
        bar.update(len(rows) - len(lacking))

        def keep(index):
            row = int(lacking[index])
            try:
                pixels = load_resized(str(self.paths[row]), self.size)
            except InputError as error:  # the others are decoded all the same: one error says how many there are
                self._unreadable[row] = str(error)
                if len(self._unreadable) >= MOST_UNREADABLE:
                    raise
                return
            self._write(pixels.data.cast("B"), row * self._row_bytes)
            written[row] = zlib.crc32(pixels)

        try:
            run_on_threads(keep, len(lacking), self.workers, bar, stopped)
        except InputError:
            self._check_all_readable()
        finally:
            os.fsync(self._opened.fileno())
            for row, checksum in written.items():
                self._mark(row, np.array([self._stamps[row], checksum], "<u4").tobytes())
            self._done[list(written)] = True
            self._sound[list(written)] = True

    def _check_all_readable(self):
        """Raise the error of the first image that could not be decoded, with the number of the others."""
        if self._unreadable:
            unreadable, self._unreadable = self._unreadable, {}
            others, more = len(unreadable) - 1, " at least" if len(unreadable) >= MOST_UNREADABLE else ""
            rest = f"; unreadable beside it:{more} {others} (data/prepare_celeba.py lists all)" if others else ""
            raise InputError(unreadable[min(unreadable)] + rest)

    def _lacking(self, rows):
        """Those of the rows that no process has marked."""
        marks = np.empty((self._count, 2), "<u4")
        self._read_into(marks, self._count * self._row_bytes)
        self._done |= marks[:, 0] == self._stamps
        return rows[~self._done[rows]]

    def _open(self):
        paths = self.paths.tolist()
        self._stamps, ours = stamps_of(paths), hashlib.sha256(os.fsencode(os.path.dirname(paths[0]))).hexdigest()[:8]
        name = self._folder / f"{self.size}px_{ours}_{fingerprint(paths, self.size)}"
        self._final, length = Path(f"{name}.pixels"), self._count * (self._row_bytes + MARK_BYTES)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.file = self._final if self._final.exists() else Path(f"{name}.{platform.node()}.partial")
        if self.file.exists() and self.file.stat().st_size not in (0, length):
            self.file.unlink()  # cut off, or another's: not believed
        try:
            if not self.file.exists():
                self.file.touch()
            opened = open(self.file, "r+b", buffering=0)  # held, so that no other file takes its place
        except OSError:
            if self.file != self._final:
                raise
            opened = open(self.file, "rb", buffering=0)  # complete, and others' to write
        if not opened.seek(0, os.SEEK_END):
            opened.truncate(length)  # in one step: another process sees nothing or all of it
            if length > 1e9:
                self._note(f"image cache {self.file}: up to {length / 1e9:.1f} GB once all images are in it")
            files = [file for file in cache_files(self._folder) if file != self.file]
            others = [file for file in files if f"px_{ours}_" in file.name or file.name.count("_") == 1]  # or older
            if others:
                self._note(
                    f"other caches of these images in {self._folder}: {len(others)} ({describe_files(others)}); "
                    f"python data/prepare_celeba.py --clear_cache {self._folder} deletes all"
                )
        return opened

    def _read_into(self, array, offset):
        """Fill an array from the file. A mapping would end the process where a full disk has no page for a hole."""
        view = memoryview(array).cast("B")
        with self._lock:
            self._opened.seek(offset)
            if self._opened.readinto(view) < len(view):
                raise InputError(f"image cache {self.file} was cut off while in use: delete it and run again")

    def _mark(self, row, mark):
        self._write(mark, self._count * self._row_bytes + row * MARK_BYTES)

    def _write(self, data, offset):
        if not self._opened.writable():
            raise OSError(errno.EROFS, f"{self.file.name} is read-only, and some of its images changed or are damaged")
        with self._lock:
            self._opened.seek(offset)
            while data:  # a nearly full disk takes a part, then refuses
                data = data[self._opened.write(data) :]

    def _give_up(self, error):
        """Keep nothing more; what was kept still serves."""
        self._keeps, cure = False, "images are decoded each time (--cache_path names another place, or none)"
        self._note(f"no image cache in {self._folder}: {error.strerror or error}; {cure}")


def cache_files(folder):
    """Files of image caches in a folder, sorted: [Path]."""
    folder = Path(folder)
    return sorted(file for file in folder.iterdir() if FILES.fullmatch(file.name) and file.is_file())


def clear_caches(folder):
    """Delete the image caches of a folder, and nothing else.

    Returns: a line that says how many and how large they were
    Raises: InputError if the folder or a file in it is not to be had
    """
    try:
        files = cache_files(folder)
        line = f"image caches deleted in {folder}: {len(files)}{f' ({describe_files(files)})' if files else ''}"
        for file in files:
            file.unlink()
    except OSError as error:
        raise InputError(f"cannot clear {folder}: {error.strerror}; name the folder of the caches") from None
    return line


def describe_files(files):
    """How much disk some files take, with the names of the first three."""
    taken = sum(getattr(file.stat(), "st_blocks", 0) * 512 or file.stat().st_size for file in files)
    return f"{taken / 1e6:,.1f} MB: {', '.join(file.name for file in files[:3])}{', …' if len(files) > 3 else ''}"
