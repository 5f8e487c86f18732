"""Several processes, one a device, as `torchrun` starts them; on one process every function is a no-op.

torchrun --nproc_per_node 2 unlearning_multi_celeba_resnet18_original.py …

All do the same, so that all hold the same; what takes long is shared out, or done by the first while the others wait.
The first prints and writes. Where one fails it says so and ends, and torchrun ends the others.
"""

import atexit
import functools
import os
import sys
import traceback
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from utils.common import errors, processes
from utils.common.errors import InputError
from utils.common.processes import is_main

JOIN = timedelta(minutes=10)  # until all processes are there
PATIENT = timedelta(days=30)  # the first may decode images for hours; torchrun notices at once that one has ended
LOST = "another process of this program has ended, or can't be reached: all end"

_state = {"device": None, "patient": None, "alone": False}


def start(device="cpu"):
    """Join the other processes if `torchrun` started this one (it sets WORLD_SIZE); else do nothing.

    All but the first process print nothing from here on. The group is left when the program ends.

    Args:
        device: what the user asked for; "cuda" becomes this process's own GPU
    Returns: the torch.device of this process
    Raises: InputError if the environment is malformed, the processes do not meet, or are more than the GPUs
    """
    device = torch.device(device)
    if processes.joined.count > 1:
        return _state["device"]
    place = processes.read_place()
    if place.count == 1:
        return device
    if device.type == "cuda":
        gpus = torch.cuda.device_count()
        if max(place.local_rank, place.local_count - 1) >= gpus:  # all find it alike, so that one line says it
            text = f"process {gpus if place.local_count else place.local_rank} has no GPU, there are {gpus}"
            raise InputError(f"{text}: start torchrun with --nproc_per_node {gpus}")
        device = torch.device("cuda", place.local_rank)
        torch.cuda.set_device(device)
    _join(place, "nccl" if device.type == "cuda" else "gloo")
    _state["device"] = device
    if not is_main():
        errors.speaking = False
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - one voice is enough; it lives as long as the process
    return device


def _join(place, backend):
    """Meet the other processes.

    Two groups: of the device, for work in step, where a wait of many minutes is a fault; and a patient one on the CPU.
    """
    where = f"MASTER_ADDR={os.environ['MASTER_ADDR']} and MASTER_PORT={os.environ['MASTER_PORT']}"
    try:
        with processes.ended_by_sigterm():
            store, rank, count = next(rendezvous("env://", timeout=JOIN))
            attempt = f"failed/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
            processes.claim = lambda: _is_first_to_fail(store, attempt)
            distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
            _state["patient"] = distributed.new_group(backend="gloo", timeout=PATIENT)
    except (RuntimeError, OSError) as error:  # PyTorch's errors of the network and of groups are RuntimeErrors
        reason = str(error).strip().partition("\n")[0][:200]
        cure = "start all of them, with a free MASTER_PORT, or unset WORLD_SIZE to work in one process"
        raise InputError(f"{place.count} processes do not meet at {where} ({reason}): {cure}") from None
    processes.joined, sys.excepthook = place, _show_error
    atexit.register(stop)


def _is_first_to_fail(store, key):
    """Whether no other process has failed before; each asks once."""
    try:
        return store.add(key, 1) == 1
    except (RuntimeError, OSError):  # kept by the first process, where no torchrun keeps it: it has failed before
        return False


def _show_error(kind, error, trace):
    """Show what ends this process, if it is the first that ends, and end it."""
    shown = (
        [f"error: {LOST} ({_reason(error)})\n"] if is_lost(error) else traceback.format_exception(kind, error, trace)
    )
    processes.last_words("".join(shown), 1)


def _reason(error):
    """The line of a group's error that says most: NCCL's first is a place in its code, what it found stands last."""
    before, _, last = str(error).partition("Last error:")
    return errors.first_line(last if last.strip() else before or type(error).__name__)


def is_lost(error):
    """Whether an error is one of the group's: as a rule, but not surely, that another process is gone."""
    words = ("gloo", "connection closed by peer", "connection reset", "nccl", "broken pipe")
    lost = isinstance(error, distributed.DistError) or any(word in str(error).lower() for word in words)
    return isinstance(error, RuntimeError) and lost


def stop():
    """Leave the group, if one was joined."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
    processes.joined, processes.claim = processes.Place(), None
    _state.update(device=None, patient=None, alone=False)


def active():
    """Whether this process works together with others."""
    return processes.joined.count > 1 and not _state["alone"]


def rank():
    """Number of this process, from 0."""
    return processes.joined.rank if active() else 0


def world_size():
    """Number of processes."""
    return processes.joined.count if active() else 1


def reduce_sum(tensor):
    """Sum of a tensor over the processes, in place, on all of them. Returns: the tensor."""
    if active():
        distributed.all_reduce(tensor, group=_group(tensor))
    return tensor


def gather_rows(tensor):
    """The (n, …) tensors of all processes, n may differ, one under the other in the order of ranks, on each of them.

    One of no rows takes its further axes from the others. The host does not wait for the device.
    """
    if not active():
        return tensor
    shapes = [None] * world_size()
    distributed.all_gather_object(shapes, tuple(tensor.shape), group=_state["patient"])
    rows = max(shapes, key=lambda shape: shape[0])
    padded = tensor.new_zeros(rows)  # a collective wants equal shapes
    if len(tensor):
        padded[: len(tensor)] = tensor
    parts = [torch.empty_like(padded) for _ in shapes]
    distributed.all_gather(parts, padded, group=_group(tensor))
    return torch.cat([part[: shape[0]] for part, shape in zip(parts, shapes, strict=True)])


def add_in_order(sums, parts):
    """Add parts (R, …) of each process to `sums` (…) in the order in which one process adds them, on all of them."""
    for part in gather_rows(parts):
        sums += part


def _group(tensor):
    """The group that works where a tensor lies."""
    return _state["patient"] if tensor.device.type == "cpu" else None


def share_out(rows, batch_size=1):
    """This process's consecutive part of some rows, in whole batches; `gather_rows` puts the results back in order."""
    rows = np.asarray(rows)
    batches = np.array_split(np.arange(0, len(rows), batch_size), world_size())
    first = sum(map(len, batches[: rank()])) * batch_size
    return rows[first : first + len(batches[rank()]) * batch_size]


def share_of_machine(rows):
    """This process's part of what is to be done once on each machine, such as filling a cache of files there."""
    place = processes.joined
    if not active():
        return np.asarray(rows)
    known = place.local_count > 0
    count, number = (place.local_count, place.local_rank) if known else (place.count, place.rank)
    return np.array_split(np.asarray(rows), count)[number]


def wait():
    """Wait until all processes are here, however long that takes."""
    if active():
        distributed.barrier(group=_state["patient"])


def from_first(value):
    """The first process's plain value, on all of them; the others wait for it."""
    if not active():
        return value
    values = [value if is_main() else None]
    distributed.broadcast_object_list(values, 0, group=_state["patient"])
    return values[0]


def by_first(function):
    """Decorator: the first process calls the function while the others wait; all get what it gives, a plain value.

    What it calls finds no other processes. What it raises ends them all.
    """

    @functools.wraps(function)
    def call_on_first(*given, **options):
        if not active():
            return function(*given, **options)
        with alone():
            value = function(*given, **options) if is_main() else None
        return from_first(value)

    return call_on_first


@contextmanager
def alone():
    """No other processes inside, for all that asks here."""
    _state["alone"] = True
    try:
        yield
    finally:
        _state["alone"] = False


def copy_buffers(model):
    """Give every process the first one's buffers (running means of batch norms differ after a step)."""
    _copy(model.buffers())


def copy_state(model):
    """Give every process the first one's parameters and buffers."""
    _copy([*model.parameters(), *model.buffers()])


@torch.no_grad()
def _copy(tensors):
    for tensor in tensors if active() else ():
        sent = tensor.detach().contiguous()
        distributed.broadcast(sent, 0, group=_group(sent))
        tensor.copy_(sent)
