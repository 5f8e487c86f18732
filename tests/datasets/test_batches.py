"""Batches of CelebA's layout: pixels, order, memory, and the way to a GPU."""

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small_celeba import make_folder, open_small
from torchvision import transforms

from utils.datasets.dataset import normalise


@pytest.mark.parametrize("cached", [True, False])
def test_batches_equal_torchvisions_preprocessing_within_one_level(tmp_path, cached):
    data = open_small(make_folder(tmp_path), cache_path=tmp_path / "cache" if cached else None)
    plain = transforms.Compose(
        [transforms.Resize((16, 16)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    )
    data.prepare(data.rows("train"), progress=False)
    images, labels = next(data.batches([6, 1, 1], 8, "cpu"))
    expected = torch.stack([plain(Image.open(data.paths[row])) for row in (6, 1, 1)])
    assert (images - expected).abs().max() < 1.01 / 127.5 and images.dtype == torch.float32
    assert (images - expected).abs().mean() < 0.4 / 127.5
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == [[0, 1], [0, 1], [0, 1]] and labels.dtype == torch.float32


def test_normalise_reaches_both_ends_exactly():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    assert torch.allclose(normalise(pixels).flatten(), torch.tensor([-1.0, -0.6, 1.0]), rtol=0, atol=1e-7)
    assert normalise(pixels).flatten()[[0, 2]].tolist() == [-1, 1]


def test_a_batch_in_use_keeps_its_pixels(tmp_path):
    data = open_small(make_folder(tmp_path))
    kept = [images for images, _ in data.batches(np.arange(8), 2, "cpu")]
    assert len({images.data_ptr() for images in kept}) == 4
    for images, rows in zip(kept, np.arange(8).reshape(4, 2), strict=True):
        assert torch.equal(images, normalise(torch.from_numpy(data.images(rows))))


def test_exact_resize_never_rounds_to_bytes(tmp_path):
    data = open_small(make_folder(tmp_path), exact_resize=True)
    image = torch.from_numpy(np.array(Image.open(data.paths[0]))).permute(2, 0, 1).contiguous().float() / 255
    resized = F.interpolate(image[None], size=(16, 16), mode="bilinear", align_corners=False, antialias=True)
    images = data.images([0, 3])
    assert images.shape == (2, 3, 16, 16) and images.dtype == np.float32
    assert np.array_equal(images[0], ((resized - 0.5) / 0.5)[0].numpy())
    batch, _ = next(data.batches([0, 3], 2, "cpu"))
    assert np.array_equal(batch.numpy(), images)
    data.prepare([0])  # nothing to prepare


def test_batches_come_in_the_order_of_the_rows_read_through_an_empty_cache_or_a_full_one(tmp_path):
    data = open_small(make_folder(tmp_path), cache_path=tmp_path / "cache")
    rows = np.array([6, 0, 3, 3, 7, 1, 2])
    for _ in range(2):
        batches = list(data.batches(rows, 3, "cpu"))
        assert [len(images) for images, _ in batches] == [3, 3, 1]
        assert torch.equal(torch.cat([images for images, _ in batches]), normalise(torch.from_numpy(data.images(rows))))
        assert torch.equal(torch.cat([labels for _, labels in batches]), torch.from_numpy(data.labels[rows]).float())


@pytest.mark.parametrize("options", [{}, {"cache_path": "cache"}, {"exact_resize": True}])
def test_without_workers_this_thread_reads_and_the_batches_are_the_same(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path)
    data, alone = (open_small(tmp_path, workers=workers, **options) for workers in (2, 0))
    expected = list(data.batches(np.arange(8), 3, "cpu"))
    monkeypatch.setattr(threading.Thread, "start", None)
    for (images, labels), (ours, our_labels) in zip(expected, alone.batches(np.arange(8), 3, "cpu"), strict=True):
        assert torch.equal(images, ours) and torch.equal(labels, our_labels)


def test_batches_may_be_left_early_and_none_come_of_no_rows(tmp_path):
    data = open_small(make_folder(tmp_path))
    assert len(next(data.batches(np.arange(8), 3, "cpu"))[0]) == 3
    assert list(data.batches([], 3, "cpu")) == []
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        data.batches([1], 0, "cpu")


@pytest.mark.parametrize("options", [{}, {"exact_resize": True}])
def test_the_batch_ahead_is_stopped_where_batches_are_left(tmp_path, monkeypatch, options):
    data, given = open_small(make_folder(tmp_path), **options), []
    for module in ("cache", "dataset"):
        monkeypatch.setattr(f"utils.datasets.{module}.run_on_threads", lambda *_, stopped=None: given.append(stopped))
    batches = data.batches(np.arange(8), 3, "cpu")
    next(batches)
    batches.close()
    assert given and all(event is given[0] and event.is_set() for event in given)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_on_the_gpu_equal_those_on_the_cpu(tmp_path):
    data = open_small(make_folder(tmp_path))
    on_gpu = [batch for batch in data.batches(np.arange(8), 3, "cuda")]
    for (images, labels), (host_images, host_labels) in zip(on_gpu, data.batches(np.arange(8), 3, "cpu"), strict=True):
        assert images.is_cuda and images.is_contiguous(memory_format=torch.channels_last)
        assert torch.allclose(images.cpu(), host_images, atol=1e-6) and torch.equal(labels.cpu(), host_labels)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_pixels_go_to_the_gpu_from_pinned_memory_without_the_host_waiting(tmp_path, monkeypatch):
    data, sent = open_small(make_folder(tmp_path)), []
    to = torch.Tensor.to

    def watched(tensor, *words, **options):
        if tensor.dtype == torch.uint8 and tensor.dim() == 4:
            sent.append((tensor.is_pinned(), options.get("non_blocking")))
        return to(tensor, *words, **options)

    monkeypatch.setattr(torch.Tensor, "to", watched)
    torch.cuda.synchronize()
    assert len(list(data.batches(np.arange(8), 3, "cuda"))) == 3
    assert sent == [(True, True)] * 3
