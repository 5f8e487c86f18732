"""Several processes, one a device, as `torchrun` starts them; on one process every function is a no-op.

torchrun --nproc_per_node 2 unlearning_multi_celeba_resnet18_original.py …
"""

import atexit
import os
import sys

import numpy as np
import torch
from torch import distributed

from utils.common.errors import InputError


def start(device="cpu"):
    """Join the other processes if `torchrun` started this one (it sets WORLD_SIZE); else do nothing.

    Call it once. All but the first process print nothing from here on. The group is left when the program ends.

    Args:
        device: what the user asked for; "cuda" becomes this process's own GPU
    Returns: the torch.device of this process
    Raises: InputError if there are more processes than GPUs
    """
    device = torch.device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        return device
    if device.type == "cuda":
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= gpus:
            raise InputError(
                f"process {local} has no GPU, there are {gpus}: start torchrun with --nproc_per_node {gpus}"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    atexit.register(stop)
    if not is_main():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - one voice is enough; it lives as long as the process
    return device


def stop():
    """Leave the group, if one was joined."""
    if active():
        distributed.destroy_process_group()


def active():
    """Whether this process works together with others."""
    return distributed.is_available() and distributed.is_initialized()


def rank():
    """Number of this process, from 0."""
    return distributed.get_rank() if active() else 0


def world_size():
    """Number of processes."""
    return distributed.get_world_size() if active() else 1


def is_main():
    """Whether this is the process that prints and writes files."""
    return rank() == 0


def reduce_sum(tensor):
    """Sum of a tensor over the processes, in place, on all of them. Returns: the tensor."""
    if active():
        distributed.all_reduce(tensor)
    return tensor


def gather_rows(tensor):
    """The (n, …) tensors of all processes, n may differ, one under the other in the order of ranks, on each of them."""
    if not active():
        return tensor
    count = torch.tensor([len(tensor)], device=tensor.device)
    counts = [torch.empty_like(count) for _ in range(world_size())]
    distributed.all_gather(counts, count)
    counts = torch.cat(counts).tolist()
    padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))  # a collective wants equal shapes
    padded[: len(tensor)] = tensor
    parts = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])


def share_out(rows):
    """This process's consecutive part of some rows; `gather_rows` puts the results back in order."""
    return np.array_split(np.asarray(rows), world_size())[rank()]


def copy_buffers(model):
    """Give every process the first one's buffers (running means of batch norms differ after a step)."""
    if active():
        for buffer in model.buffers():
            distributed.broadcast(buffer, 0)
