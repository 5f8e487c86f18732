"""What is the user's to mend gets a line, what is the program's fault none."""

import errno

import pytest
import torch

from utils.common.errors import LESS, InputError, explain, printable
from utils.graph import graph_format
from utils.layouts import text as text_of_tables

USED_UP = f"out of memory: {LESS}"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 4.00 TiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_memory_that_is_used_up_names_the_batch_size(error):
    assert explain(error).endswith(USED_UP) and "\n" not in explain(error)


def test_an_allocation_that_no_machine_can_serve_is_explained():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert explain(raised.value) == USED_UP


def test_the_users_own_mistakes_and_files_are_told_and_nothing_else():
    assert explain(InputError("no folder x")) == "no folder x"
    assert explain(PermissionError(errno.EACCES, "Permission denied", "x.pth")).startswith("Permission denied: x.pth: ")
    assert "ulimit" in explain(RuntimeError("can't start new thread"))
    assert "ulimit" in explain(ImportError("libtorch_cuda.so: failed to map segment from shared object"))
    faults = [ImportError("no x"), RuntimeError("shapes differ"), ValueError("x"), KeyError("unable to allocate")]
    for fault in faults:
        assert explain(fault) is None


def test_text_from_files_is_shown_by_one_rule():
    text = "a\x1b[2J\x9b\n" + "x" * 500
    for show, most in ((lambda name: printable(name, 80), 80), (graph_format.shown, 80), (text_of_tables.shown, 200)):
        assert show(text).startswith(r"a\x1b[2J\x9b\n") and show(text).endswith("…") and len(show(text)) == most + 1
    assert printable("Grün\u202e") == r"Grün\u202e"
