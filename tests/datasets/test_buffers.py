"""Batch memory is handed on once nothing uses it, and never before."""

import threading

import torch

from utils.datasets import buffers
from utils.datasets.buffers import KEPT, keep_freed_memory, recycled


def test_a_tensor_has_the_shape_and_kind_that_were_asked_for_and_lies_on_a_cache_line():
    for shape, dtype in (((3, 5, 7), torch.float32), ((2,), torch.uint8), ((0, 4), torch.float32), ((), torch.int64)):
        tensor = recycled(shape, dtype)
        assert tensor.shape == shape and tensor.dtype == dtype and tensor.is_contiguous()
        assert tensor.data_ptr() % 64 == 0 or not tensor.numel()


def test_memory_is_used_again_only_after_the_last_view_of_it_is_gone():
    first = recycled((1000, 37), torch.float32)
    place, view = first.data_ptr(), first[3:].t()
    del first
    second = recycled((1000, 37), torch.float32)
    assert second.data_ptr() != place
    del view
    assert recycled((1000, 37), torch.float32).data_ptr() == place


def test_memory_that_a_gradient_needs_is_left_alone():
    images, weight = recycled((50, 41), torch.float32).fill_(2.0), torch.ones(50, 41, requires_grad=True)
    loss = (images * weight).sum()
    del images
    recycled((50, 41), torch.float32).fill_(7.0)
    loss.backward()
    assert (weight.grad == 2).all()


def test_a_much_larger_block_is_not_spent_on_a_small_tensor():
    large = recycled((1 << 20,), torch.uint8)
    place = large.data_ptr()
    del large
    assert recycled((1 << 10,), torch.uint8).data_ptr() != place


def test_few_blocks_wait():
    tensors = [recycled((5000 + k,), torch.uint8) for k in range(3 * KEPT)]
    del tensors
    assert 0 < len(buffers._waiting) <= KEPT


def test_threads_never_get_the_same_block():
    torn = []

    def work(number):
        for _ in range(300):
            mine = recycled((2000,), torch.uint8).fill_(number)
            if not (mine == number).all():
                torn.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not torn


def test_a_library_that_cannot_be_told_is_no_error(monkeypatch):
    monkeypatch.setattr(buffers.ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False
