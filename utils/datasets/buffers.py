"""Memory for batches that is used again: fresh pages cost more time than what is written to them."""

import ctypes
import math
import weakref

import numpy as np
import torch

KEPT = 6  # blocks that wait for their next use, in a process
ALIGNMENT = 64  # bytes: a cache line, and the widest register
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST = 1 << 30  # bytes of a block that malloc keeps for its next use
_waiting = {}  # {id: block}; entries go in and out in one step each, so threads need no lock


def keep_freed_memory():
    """Have the C library keep what is freed for the process's next use, where it can be told to.

    By default it hands blocks above 32 MB, such as a network's activations, back to the system each time, whose fresh
    pages then cost as much as some of the layers. Returns: whether it could be told
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # not glibc: nothing is lost but time
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def recycled(shape, dtype):
    """An uninitialised CPU tensor; its memory waits for the next call once no tensor, view or gradient uses it.

    Args:
        shape: sizes of a C-contiguous tensor
        dtype: torch dtype
    """
    count = math.prod(shape) * dtype.itemsize
    block = _take(count)
    if block is None:
        block = np.empty(count + ALIGNMENT, np.uint8)
    view = block[-block.ctypes.data % ALIGNMENT :][:count]
    # the tensor's storage holds this view and nothing else does, so its end is the end of the last tensor
    weakref.finalize(view, _give_back, block).atexit = False
    return torch.from_numpy(view).view(dtype).reshape(shape)


def _take(count):
    """A waiting block that is large enough, not over twice too large; None if there is none."""
    for key, block in list(_waiting.items()):
        if count <= len(block) - ALIGNMENT <= 2 * count and _waiting.pop(key, None) is not None:
            return block
    return None


def _give_back(block):
    while len(_waiting) >= KEPT:
        oldest = next(iter(list(_waiting)), None)
        _waiting.pop(oldest, None)
    _waiting[id(block)] = block
