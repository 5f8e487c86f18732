"""Splits, choices, errors and batches of CelebA's layout, on folders of a few drawn images."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision import transforms

from utils import celeba
from utils.celeba import normalise, open_celeba
from utils.celeba_table import ATTRIBUTES, AttributeTable, write_tables
from utils.errors import InputError

NAMES = ("Bald", "Smiling", "Young")
LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1]], np.uint8)
REAL = Path(__file__).resolve().parents[2] / "shared" / "celeba_5k"


def make_folder(folder, labels=LABELS, extension="jpg", table="txt", images="img_align_celeba", partition=None):
    """Write a folder of noise images 20 x 30, kept in one table form; returns it."""
    folder.mkdir(exist_ok=True, parents=True)
    ids = np.array([f"{row + 1:06d}.{extension}" for row in range(len(labels))])
    write_tables(folder, AttributeTable(ids, NAMES, labels), partition)
    (folder / f"list_attr_celeba.{'csv' if table == 'txt' else 'txt'}").unlink()
    (folder / images).mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ids:
        Image.fromarray(random.integers(0, 256, (30, 20, 3), np.uint8)).save(folder / images / name)
    return folder


def open_small(folder, attributes=("Bald", "Smiling"), **options):
    return open_celeba(folder, attributes, **{"img_size": 16, "cache_path": None, "split": "all", **options})


def test_released_split_is_the_first_three_quarters_of_the_rows(tmp_path):
    data = open_small(make_folder(tmp_path), split="released")
    assert data.rows["train"].tolist() == [0, 1, 2, 3, 4, 5] and data.rows["test"].tolist() == [6, 7]
    limited = open_small(tmp_path, split="released", limit=5)  # int(0.75 * 5) = 3
    assert limited.rows["train"].tolist() == [0, 1, 2] and limited.rows["test"].tolist() == [3, 4]


def test_official_split_follows_the_partition_file(tmp_path):
    folder = make_folder(tmp_path, partition=np.array([0, 2, 1, 0, 2, 0, 1, 0]))
    data = open_small(folder, split="official")
    assert {part: rows.tolist() for part, rows in data.rows.items()} == {
        "train": [0, 3, 5, 7],
        "valid": [2, 6],
        "test": [1, 4],
    }


def test_choices_by_name_follow_the_labels_in_table_order(tmp_path):
    data = open_small(make_folder(tmp_path, table="csv", extension="png"), ("Young", "Bald"))
    assert data.attributes == ("Young", "Bald") and data.labels.tolist() == LABELS[:, [2, 0]].tolist()
    assert data.positives("Bald").tolist() == [0, 2, 4, 5, 7]
    assert data.all_positive().tolist() == [4, 5, 7]
    assert data.everything("test").tolist() == list(range(8)) and len(data) == 8
    assert data.paths[2] == str(tmp_path.resolve() / "img_align_celeba" / "000003.png")


def test_an_attribute_without_positives_in_a_part_is_an_error_when_asked_for(tmp_path):
    data = open_small(make_folder(tmp_path), ("Young",), split="released", limit=4)
    assert data.positives("Young", "test").tolist() == [3]
    with pytest.raises(InputError, match="none of the 3 train images has Young"):
        data.positives("Young")
    with pytest.raises(KeyError, match="Bald"):
        data.positives("Bald")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ("Smilling",)}, r"unknown attribute 'Smilling' .* did you mean Smiling\?"),
        ({"attributes": ("Qqq",)}, r"unknown attribute 'Qqq' .* choose among Bald, Smiling, Young"),
        ({"attributes": ("Bald", "Bald")}, "all different, got Bald Bald"),
        ({"attributes": ()}, "at least one"),
        ({"limit": 0}, "at least 1, got 16 and 0"),
        ({"split": "offical"}, "unknown split 'offical'"),
        ({"split": "official"}, "no partition file"),
        ({"split": "released", "limit": 1}, "no train images"),
    ],
)
def test_what_cannot_be_asked_of_a_folder_is_one_clear_line(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        open_small(make_folder(tmp_path), **options)


def test_a_split_without_test_images_is_an_error(tmp_path):
    folder = make_folder(tmp_path, partition=np.array([0] * 7 + [1]))
    with pytest.raises(InputError, match="no test images: the split 'official' of 8 images"):
        open_small(folder, split="official")


def test_missing_folder_table_and_image_folder_are_told_apart(tmp_path):
    with pytest.raises(InputError, match=r"no folder .*nowhere: .*make_synthetic_celeba"):
        open_small(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no attribute table .list_attr_celeba.txt or list_attr_celeba.csv"):
        open_small(tmp_path)
    folder = make_folder(tmp_path / "data")
    (folder / "img_align_celeba").rename(folder / "pictures")
    with pytest.raises(InputError, match="no image folder img_align_celeba/"):
        open_small(folder)


def test_missing_images_are_counted_and_left_out_only_on_request(tmp_path):
    folder, notes = make_folder(tmp_path), []
    for name in ("000002.jpg", "000005.jpg"):
        (folder / "img_align_celeba" / name).unlink()
    with pytest.raises(InputError, match=r"2 of 8 images are missing .* \(first: 000002.jpg\).*--allow_missing"):
        open_small(folder)
    data = open_small(folder, allow_missing=True, note=notes.append)
    assert len(notes) == 1 and "using 6 of 8 table rows: 2 have no image" in notes[0]
    assert data.image_ids.tolist() == [f"00000{k}.jpg" for k in (1, 3, 4, 6, 7, 8)]
    assert data.labels.tolist() == LABELS[[0, 2, 3, 5, 6, 7], :2].tolist()
    assert len(open_small(folder, limit=1)) == 1  # rows beyond the limit need no image


def test_images_of_another_extension_are_named(tmp_path):
    folder = make_folder(tmp_path, labels=LABELS[:1])
    (folder / "img_align_celeba/000001.jpg").rename(folder / "img_align_celeba/000001.png")
    with pytest.raises(InputError, match="first: 000001.jpg; the folder holds files such as 000001.png"):
        open_small(folder, allow_missing=True)


@pytest.mark.parametrize("images", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
@pytest.mark.parametrize("sub", ["", "celeba"])
def test_torchvisions_sub_folder_and_a_doubled_image_folder_are_found(tmp_path, sub, images):
    make_folder(tmp_path / sub, images=images)
    assert open_small(tmp_path).images([0, 1]).shape == (2, 16, 16, 3)


def test_a_truncated_image_is_named_when_it_is_decoded(tmp_path):
    folder = make_folder(tmp_path)
    broken = folder / "img_align_celeba" / "000003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    for options in ({}, {"exact_resize": True}, {"cache_path": tmp_path / "cache"}):
        data = open_small(folder, **options)
        data.images([0, 1])
        with pytest.raises(InputError, match=r"unreadable image .*000003.jpg \(.+\): fetch it again"):
            list(data.batches(data.everything("train"), 4, "cpu"))
    with pytest.raises(InputError, match="000003.jpg"):
        data.prepare(data.everything("train"), progress=False)


@pytest.mark.parametrize("cached", [True, False])
def test_batches_equal_torchvisions_preprocessing_within_one_level(tmp_path, cached):
    data = open_small(make_folder(tmp_path), cache_path=tmp_path / "cache" if cached else None)
    plain = transforms.Compose(
        [transforms.Resize((16, 16)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    )
    data.prepare(data.everything("train"), progress=False)
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


def test_a_batch_in_use_keeps_its_pixels_and_the_memory_of_one_that_is_done_is_used_again(tmp_path):
    data = open_small(make_folder(tmp_path))
    kept = [images for images, _ in data.batches(np.arange(8), 2, "cpu")]
    assert len({images.data_ptr() for images in kept}) == 4
    for images, rows in zip(kept, np.arange(8).reshape(4, 2), strict=True):
        assert torch.equal(images, normalise(torch.from_numpy(data.images(rows))))
    del images, kept
    places = {images.data_ptr() for images, _ in data.batches(np.arange(8), 1, "cpu")}
    assert len(places) < 8


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


def test_images_that_the_cache_lacks_are_decoded_a_block_at_a_time(tmp_path, monkeypatch):
    data = open_small(make_folder(tmp_path), cache_path=tmp_path / "cache")
    rows, filled, fill = data.everything("train"), [], data._cache.fill
    monkeypatch.setattr(celeba, "BLOCK", 5)
    monkeypatch.setattr(data._cache, "fill", lambda part: (filled.append(part.tolist()), fill(part)))
    seen = torch.cat([images for images, _ in data.batches(rows, 2, "cpu")])
    assert filled == [part.tolist() for part in np.split(rows, range(4, len(rows), 4))] and len(filled) > 1
    assert torch.equal(seen, next(iter(data.batches(rows, len(rows), "cpu")))[0])


def test_batches_are_shuffled_by_their_generator_alone(tmp_path):
    data = open_small(make_folder(tmp_path))
    rows = data.everything("train")

    def pass_over(seed):
        generator = torch.Generator().manual_seed(seed)
        return [images for images, _ in data.batches(rows, 3, "cpu", generator=generator)]

    first, again, other = pass_over(0), pass_over(0), pass_over(1)
    assert [len(images) for images in first] == [3, 3, 2]
    assert all(map(torch.equal, first, again)) and not all(map(torch.equal, first, other))
    in_order = torch.cat([images for images, _ in data.batches(rows, 3, "cpu")])
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat(first), in_order[order])


def test_batches_pass_the_generator_to_the_augmentation_and_drop_the_last(tmp_path):
    data = open_small(make_folder(tmp_path))
    seen = []

    def augment(images, generator):
        seen.append((len(images), generator))
        return -images

    generator = torch.Generator().manual_seed(0)
    batches = list(data.batches(np.arange(8), 3, "cpu", generator=generator, augment=augment, drop_last=True))
    assert seen == [(3, generator)] * 2 and len(batches) == 2
    assert len(next(data.batches(np.arange(8), 3, "cpu"))[0]) == 3  # may be left early
    assert list(data.batches([], 3, "cpu")) == [] == list(data.batches([1], 3, "cpu", drop_last=True))
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        data.batches([1], 0, "cpu")


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


def test_opening_takes_little_memory_for_each_row(tmp_path):
    count = 3000
    ids = np.array([f"{row + 1:06d}.jpg" for row in range(count)])
    write_tables(tmp_path, AttributeTable(ids, ATTRIBUTES, np.ones((count, len(ATTRIBUTES)), np.uint8)))
    images = tmp_path / "img_align_celeba"
    images.mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "face.jpg")
    for name in ids.tolist():
        os.symlink(tmp_path / "face.jpg", images / name)
    tracemalloc.start()
    try:
        data = open_celeba(tmp_path, ["Bald", "Smiling"], img_size=8, cache_path=tmp_path / "cache")
        list(data.batches([0, count - 1], 2, "cpu"))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1000 * count and peak < 60e6  # the table is parsed by blocks, so the peak is theirs


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason="needs the first 5,000 images of CelebA beside the repository")
def test_real_faces_open_with_their_known_rates():
    data = open_small(REAL, ("Bald", "No_Beard"))
    assert len(data) == 5000 and data.labels.mean(0) == pytest.approx([0.023, 0.83], abs=0.01)
    assert data.images([0, 4999]).std() > 20
