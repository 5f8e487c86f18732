"""Pixels of image files: the fast decoder and resizer against Pillow's, and what is left to Pillow."""

import os
import struct
import sys
import threading
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from utils.common.errors import InputError
from utils.datasets import decoding
from utils.datasets.decoding import decode, load_resized, load_rgb, run_on_threads, to_rgb


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["face.jpg", "face.png"])
def test_an_image_is_turned_as_its_file_notes(tmp_path, name, orientation):
    # red above, blue below, left half brighter; where each orientation shows the file's upper left corner
    corner = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / name, exif=exif)
    turned = decode(str(tmp_path / name)).permute(1, 2, 0).numpy()
    assert turned.shape == ((32, 64, 3) if orientation < 5 else (64, 32, 3))
    height, width = turned.shape[0] // 2, turned.shape[1] // 2
    quarters = turned.reshape(2, height, 2, width, 3).mean((1, 3, 4))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == corner and quarters.max() > 250
    assert np.array_equal(turned, np.asarray(load_rgb(tmp_path / name)))


def test_a_turn_noted_in_xmp_is_seen_too(tmp_path):
    xmp = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    assert decode(draw(tmp_path / "face.jpg", xmp=xmp)).shape == (3, 178, 218)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"hello", "dpi": (9, 9)}])
def test_an_ordinary_jpeg_is_left_to_the_fast_decoder(tmp_path, monkeypatch, options):
    file = draw(tmp_path / "face.jpg", **options)
    monkeypatch.setattr(decoding, "_read_pillow", None)
    assert decode(file).shape == (3, 218, 178)


HALF = bytes([128])
#: {mode: (bytes of a pixel, red, green, blue)}
MODES = {
    "1": (b"\x80", 255, 255, 255),
    "L": (b"\x64", 100, 100, 100),
    "LA": (b"\x64" + HALF, 100, 100, 100),
    "La": (b"\x32" + HALF, 99, 99, 99),  # 50 * 255 / 128, cut
    "P": (b"\x07", 7, 107, 207),
    "PA": (b"\x07" + HALF, 7, 107, 207),
    "RGB": (bytes([1, 2, 3]), 1, 2, 3),
    "RGBX": (bytes([1, 2, 3, 77]), 1, 2, 3),
    "RGBA": (bytes([1, 2, 3]) + HALF, 1, 2, 3),
    "RGBa": (bytes([50, 25, 0]) + HALF, 99, 49, 0),
    "CMYK": (bytes([255, 0, 255, 0]), 0, 255, 0),
    "YCbCr": (bytes([100, 128, 128]), 100, 100, 100),
    "HSV": (bytes([0, 255, 200]), 200, 0, 0),
    "LAB": (bytes([255, 0, 0]), 255, 255, 255),
    "I;16": ((32768).to_bytes(2, "little"), 128, 128, 128),  # 32768 / 257 = 127.502
    "I;16L": ((257).to_bytes(2, "little"), 1, 1, 1),
    "I;16B": ((65535).to_bytes(2, "big"), 255, 255, 255),
    "I;16N": ((32768).to_bytes(2, sys.byteorder), 128, 128, 128),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_pixel_of_every_mode_has_the_colour_that_it_stands_for(mode):
    data, *colour = MODES[mode]
    image = Image.frombytes(mode, (1, 1), data)
    if mode in ("P", "PA"):
        image.putpalette([shade for index in range(50) for shade in (index, index + 100, index + 200)])
    rgb = to_rgb(image)
    assert rgb.mode == "RGB" and np.abs(np.array(rgb.getpixel((0, 0))) - colour).max() <= (mode == "LAB")


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(tmp_path, mode):
    with pytest.raises(ValueError, match="32-bit .*, of which it is not known what is white"):
        to_rgb(Image.new(mode, (1, 1)))
    Image.new(mode, (2, 2), 1).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"unreadable image .*a.tif \(32-bit .*save it with 8 or 16 bits\)"):
        load_resized(tmp_path / "a.tif", 2)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_files_of_16_bits_are_scaled_to_8(tmp_path, name):
    Image.fromarray(np.array([[0, 257], [32768, 65535]], np.uint16)).save(tmp_path / name)
    assert decode(tmp_path / name)[0].tolist() == [[0, 1], [128, 255]]


def test_a_grey_file_of_10_bits_is_scaled_by_its_own_white(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 1023\n" + (1023).to_bytes(2, "big") + (512).to_bytes(2, "big"))
    assert decode(tmp_path / "a.pgm")[0].tolist() == [[255, 128]]


def test_the_first_picture_of_several_is_taken(tmp_path):
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    for name in ("a.gif", "a.png", "a.tif", "a.webp"):
        red.save(tmp_path / name, save_all=True, append_images=[blue])
        assert decode(tmp_path / name)[:, 0, 0].tolist() == pytest.approx([255, 0, 0], abs=3)


def test_what_a_file_is_counts_not_what_it_is_called(tmp_path):
    file = draw(tmp_path / "face.png")
    os.rename(file, tmp_path / "face.jpg")
    assert decode(tmp_path / "face.jpg").shape == (3, 218, 178)


def bomb(path):
    """A PNG that promises 20,000 x 20,000 pixels."""
    Image.new("1", (1, 1)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def jpeg_bomb(path):
    draw(path)
    data = bytearray(path.read_bytes())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", 65_000, 65_000)
    path.write_bytes(data)


def postscript(path):
    Image.new("L", (4, 4)).save(path, "EPS")  # which Pillow would hand to another program


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "no file but a pipe or a device"),
        (os.mkdir, "no file but a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "no file but a pipe or a device"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
        (lambda path: path.touch(), "an empty file"),
        (lambda path: path.write_bytes(b"no image"), "none of JPEG, PNG, .*"),
        (lambda path: path.open("wb").truncate(1 << 31), "2,147 MB in size"),
        (bomb, "more than 64,000,000 pixels: make it smaller"),
        (jpeg_bomb, "more than 64,000,000 pixels: make it smaller"),
        (postscript, "none of JPEG, .*"),
    ],
)
def test_what_is_no_image_is_one_line_at_once(tmp_path, make, reason):
    make(tmp_path / "a.jpg")
    for read in (decode, load_rgb):
        with pytest.raises(InputError, match=rf"^unreadable image .*a.jpg \({reason}\): fetch it again"):
            read(tmp_path / "a.jpg")


def test_memory_that_is_used_up_is_no_damage_of_an_image(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr(decoding, "_open", raising(MemoryError()))
    with pytest.raises(MemoryError):
        load_rgb(tmp_path / "a.png")


def raising(error):
    def fail(*_):
        raise error

    return fail


def test_a_name_that_a_terminal_would_obey_is_escaped(tmp_path):
    (tmp_path / "a\x1b[2J\n.jpg").touch()
    with pytest.raises(InputError, match=r"a\\x1b\[2J\\n.jpg") as error:
        decode(tmp_path / "a\x1b[2J\n.jpg")
    assert str(error.value).isprintable()


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


def test_without_threads_this_one_does_it():
    seen = []
    run_on_threads(lambda index: seen.append((index, threading.current_thread())), 20, 0)
    assert seen == [(index, threading.current_thread()) for index in range(20)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interruption_waits_for_no_image_that_is_not_begun(workers):
    seen = []

    def step(index):
        seen.append(index)
        if index == 2:
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run_on_threads(step, 1000, workers)
    assert len(seen) < 1000 and threading.active_count() == before


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_not_begun_is_left_once_somebody_stops_it(workers):
    seen, stopped = [], threading.Event()
    run_on_threads(lambda index: (seen.append(index), stopped.set()), 1000, workers, stopped=stopped)
    assert 1 <= len(seen) <= max(1, workers)
