"""Images decoded and resized once: a file of uint8 pixels that is filled as images are asked for, then mapped.

In it lie the pixels of N images, then a mark for each: a byte that is 1 once its pixels are on the disk. Only marked
images are believed, so a killed filling is gone on with. A machine fills a `.partial` of its own, several processes
together: they write the same bytes to the same places and take no mark away. Complete, it becomes the `.pixels` of all.
The name is a fingerprint of what the pixels depend on: no stale file is opened. Old `*.cache` files can be deleted.
"""

import errno
import os
import platform
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.common import distributed
from utils.common.errors import InputError
from utils.datasets.decoding import fingerprint, load_resized, run_on_threads

MARK_EVERY = 1 << 28  # bytes of pixels that are brought to the disk at a time, then marked: what a kill may cost


class ImageCache:
    """Square uint8 pixels of N image files, kept in a file of `folder`; nothing is kept if that is None.

    Args:
        paths: (N,) str array, absolute, if the cache is to be found from another working directory
        size: side in pixels; workers: threads that decode
        note: called with one line if the cache can't be kept (disk full, not writable) or may pass 1 GB
    """

    def __init__(self, paths, size, folder, workers=2, note=print):
        self.paths, self.size, self.workers, self._note = np.asarray(paths), size, workers, note
        self._folder, self._keeps = Path(folder or ""), folder is not None
        self.file, self._opened = None, None  # path and handle of the cache file, once it is open
        self._count, self._row_bytes, self._lock = len(self.paths), 3 * size**2, threading.RLock()
        self._done = np.zeros(self._count, bool)  # marked, as far as is known

    def fill(self, rows, progress=False):
        """Decode those of some rows, (B,) indices, that the cache lacks, if it is kept. Raises: see `load_rgb`."""
        rows = np.unique(np.asarray(rows, np.int64))
        if not self._keeps or self._done[rows].all():
            return
        try:
            with self._lock:
                self._opened = self._opened or self._open()
            lacking = self._lacking(rows)
            needed, free = len(lacking) * self._row_bytes, shutil.disk_usage(self._folder).free
            if needed > free:
                raise OSError(errno.ENOSPC, f"{needed / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free")
            # processes of one training begin at different places, and skip what the others have done
            lacking = np.roll(lacking, -(len(lacking) * distributed.rank() // distributed.world_size()))
            step, hidden = max(1, MARK_EVERY // self._row_bytes), not (progress and len(lacking)) or None
            with tqdm(total=len(lacking), desc=f"decode to {self.size} px", unit="img", disable=hidden) as bar:
                for start in range(0, len(lacking), step):
                    self._fill_part(lacking[start : start + step], bar)
            if self._done.all() and self.file != self._final:
                os.fsync(self._opened.fileno())
                with suppress(OSError):  # another process was first, or the system renames no open file
                    self.file = self.file.replace(self._final)
        except OSError as error:  # what was kept still serves
            self._keeps, cure = False, "images are decoded each time (another place: --cache_path)"
            self._note(f"no image cache in {self._folder}: {error.strerror}; {cure}")

    def read(self, rows, out):
        """Write the pixels of some rows, (B,) indices, to `out`, a (B, size, size, 3) uint8 array.

        Those that the cache lacks are decoded, and kept if it is.
        Raises: see `load_rgb`; InputError if the file was cut off meanwhile
        """
        self.fill(rows)
        kept = self._done[rows]
        if kept.any():
            pixels, _ = self._map()  # anew each time: touched pages of a mapping count as the process's memory
            for place in np.flatnonzero(kept):
                out[place] = pixels[rows[place]]
        lacking = np.flatnonzero(~kept)

        def decode(index):
            out[lacking[index]] = load_resized(str(self.paths[rows[lacking[index]]]), self.size)

        run_on_threads(decode, len(lacking), self.workers)

    def _fill_part(self, rows, bar):
        """Decode and write rows, bring what was written to the disk, then mark it."""
        lacking, written = self._lacking(rows), []
        bar.update(len(rows) - len(lacking))

        def keep(index):
            row = int(lacking[index])
            self._write(load_resized(str(self.paths[row]), self.size).data.cast("B"), row * self._row_bytes)
            written.append(row)

        try:
            run_on_threads(keep, len(lacking), self.workers, bar)
        finally:
            os.fsync(self._opened.fileno())
            for row in written:
                self._write(b"\1", self._count * self._row_bytes + row)
            self._done[written] = True

    def _lacking(self, rows):
        """Those of the rows that no process has marked."""
        self._done |= self._map()[1] == 1
        return rows[~self._done[rows]]

    def _open(self):
        name = self._folder / f"{self.size}px_{fingerprint(self.paths.tolist(), self.size)}"
        self._final, length = Path(f"{name}.pixels"), self._count * (self._row_bytes + 1)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.file = self._final if self._final.exists() else Path(f"{name}.{platform.node()}.partial")
        if self.file.exists() and self.file.stat().st_size not in (0, length):
            self.file.unlink()  # cut off: not believed
        self.file.touch()
        opened = open(self.file, "r+b", buffering=0)  # held, so that no other file takes its place
        if not opened.seek(0, os.SEEK_END):
            opened.truncate(length)  # in one step: another process sees nothing or all of it
            if length > 1e9:
                self._note(f"image cache {self.file}: up to {length / 1e9:.1f} GB once all images are in it")
        return opened

    def _map(self):
        """The file as it is now: pixels (N, size, size, 3) and marks (N,), read where they are looked at."""
        pixels = self._count * self._row_bytes
        try:
            with self._lock:
                mapped = np.memmap(self._opened, np.uint8, "r", shape=pixels + self._count)
        except ValueError:
            raise InputError(f"image cache {self.file} was cut off while in use: delete it and run again") from None
        return mapped[:pixels].reshape(self._count, self.size, self.size, 3), mapped[pixels:]

    def _write(self, data, offset):
        with self._lock:
            self._opened.seek(offset)
            while data:  # a nearly full disk takes a part, then refuses
                data = data[self._opened.write(data) :]
