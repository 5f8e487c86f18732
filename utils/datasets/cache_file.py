"""What lies in a cache file: marks of the images, reads and writes in full, and the way from memory to the disk."""

import os
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")
ON_DISK = 1


def boot_mark():
    """Number of this start of the machine, 2 to 255; `ON_DISK` where the system has none."""
    try:
        return 2 + zlib.crc32(BOOT_FILE.read_bytes()) % 254
    except OSError:
        return ON_DISK


def read_marks(descriptor, count):
    """Marks of the first images: (count,) uint8, fewer if the file is shorter."""
    return np.frombuffer(os.pread(descriptor, count, 0), np.uint8)


def bring_to_disk(descriptor, count, mark):
    """Wait until the images with that mark are on the disk, mark them so, close the file."""
    try:
        written = read_marks(descriptor, count) == mark
        os.fsync(descriptor)
        with alone(descriptor):
            now = read_marks(descriptor, count) == mark
            rows = np.flatnonzero(written[: len(now)] & now)  # a file that was built anew meanwhile has none of them
            for first, last in runs(rows):
                write_all(descriptor, memoryview(bytes([ON_DISK]) * (last - first)), int(rows[first]))
    except OSError:
        pass  # the marks stay as they are: true until the machine restarts
    finally:
        os.close(descriptor)


@contextmanager
def alone(descriptor):
    """Hold a file against other processes and threads that ask for it too, where the system can."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def runs(rows, places=None):
    """Stretches in which rows (and places) go up by one: pairs of first and last + 1 position."""
    jumps = np.diff(rows) != 1
    if places is not None:
        jumps |= np.diff(places) != 1
    edges = [0, *(np.flatnonzero(jumps) + 1).tolist(), len(rows)]
    return zip(edges[:-1], edges[1:], strict=True) if len(rows) else ()


def write_all(descriptor, data, offset):
    """Write a memoryview of bytes to a place in a file."""
    while len(data):  # a nearly full disk takes a part, then refuses
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def read_all(descriptor, target, offset):
    """Fill the target from a file; whether the file was long enough."""
    while len(target):  # the system reads at most 2 GB a call
        count = os.preadv(descriptor, [target], offset)
        if not count:
            return False
        target, offset = target[count:], offset + count
    return True
