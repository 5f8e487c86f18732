"""Pixels of image files: the fast decoder and resizer against Pillow's, and what is left to Pillow."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image

from utils.common.errors import InputError
from utils.datasets import decoding
from utils.datasets.decoding import decode, load_resized, load_rgb, run_on_threads


def draw(path, mode="RGB", size=(178, 218), **options):
    """Smooth colours with noise on them, as photographs have."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[: size[1], : size[0]] / 40
    waves = np.stack([np.sin(x + k) + np.cos(y * k) for k in range(3)], 2) * 50 + 128
    pixels = np.clip(waves + random.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return str(path)


@pytest.mark.parametrize("options", [{}, {"quality": 95, "subsampling": 0}, {"progressive": True}])
def test_a_decoded_jpeg_equals_pillows_within_one_level(tmp_path, options):
    file = draw(tmp_path / "face.jpg", **options)
    ours, pillows = decode(file).permute(1, 2, 0).numpy().astype(int), np.asarray(load_rgb(file)).astype(int)
    assert ours.shape == (218, 178, 3) and abs(ours - pillows).max() <= 1


@pytest.mark.parametrize("size", [7, 64, 224])
@pytest.mark.parametrize("name", ["face.jpg", "face.png"])
def test_resized_pixels_equal_pillows_within_one_level(tmp_path, name, size):
    file = draw(tmp_path / name)
    ours = load_resized(file, size)
    pillows = np.asarray(load_rgb(file).resize((size, size), Image.BILINEAR)).astype(int)
    assert ours.shape == (size, size, 3) and ours.dtype == np.uint8 and ours.flags.c_contiguous
    assert abs(ours - pillows).max() <= 1 and abs(ours - pillows).mean() < 0.25


def test_without_the_fast_decoder_pillow_gives_the_same(tmp_path, monkeypatch):
    file = draw(tmp_path / "face.jpg")
    fast = load_resized(file, 64)
    monkeypatch.setattr(decoding, "_jpeg_decoder", lambda: None)
    assert abs(load_resized(file, 64).astype(int) - fast).max() <= 1


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_without_three_colours_are_left_to_pillow(tmp_path, mode):
    file = draw(tmp_path / "face.jpg", mode)
    assert torch.equal(decode(file), torch.from_numpy(np.array(load_rgb(file))).permute(2, 0, 1))


def test_the_orientation_noted_in_a_file_is_ignored_as_it_always_was(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    assert decode(draw(tmp_path / "face.jpg", exif=exif)).shape == (3, 218, 178)


@pytest.mark.parametrize("length", [0, 1, 3, 300, 2000])
def test_a_jpeg_that_was_cut_off_is_named(tmp_path, length):
    file = draw(tmp_path / "face.jpg")
    with open(file, "r+b") as opened:
        opened.truncate(length)
    with pytest.raises(InputError, match=r"unreadable image .*face.jpg"):
        load_resized(file, 64)


def test_every_kind_of_image_becomes_rgb(tmp_path):
    for name, mode in (("grey.png", "L"), ("palette.gif", "P"), ("alpha.png", "RGBA"), ("print.jpg", "CMYK")):
        Image.new("RGB", (9, 7), (255, 0, 0)).convert(mode).save(tmp_path / name)
        pixels = load_resized(tmp_path / name, 4)
        assert pixels.shape == (4, 4, 3) and (pixels == pixels[0, 0]).all()


def test_an_error_on_a_thread_ends_the_others():
    seen = []

    def step(index):
        seen.append(index)
        if index == 3:
            raise InputError("three")

    with pytest.raises(InputError, match="three"):
        run_on_threads(step, 100_000, 2)
    assert len(seen) < 100_000


def test_without_workers_the_calling_thread_does_all():
    seen = []
    run_on_threads(lambda index: seen.append((index, threading.current_thread())), 20, 0)
    assert seen == [(index, threading.current_thread()) for index in range(20)]
