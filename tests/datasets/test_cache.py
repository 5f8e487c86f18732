"""The cache holds what decoding gives, is finished by whoever comes next, and gives way when it can't be kept."""

import errno
import multiprocessing
import os
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.common import distributed
from utils.common.errors import InputError
from utils.datasets import cache as cache_module
from utils.datasets.cache import ImageCache, clear_caches
from utils.datasets.decoding import load_resized

SIZE, COUNT = 12, 40
ROW_BYTES = 3 * SIZE**2


@pytest.fixture
def paths(tmp_path):
    random = np.random.default_rng(0)
    files = [tmp_path / "images" / f"{row}.png" for row in range(COUNT)]
    files[0].parent.mkdir()
    for file in files:
        Image.fromarray(random.integers(0, 256, (20, 15, 3), np.uint8)).save(file)
    return [str(file) for file in files]


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that were decoded from now on, in order."""
    seen = []
    monkeypatch.setattr(cache_module, "load_resized", lambda path, size: seen.append(path) or load_resized(path, size))
    return seen


def read(cache, rows):
    out = np.full((len(rows), cache.size, cache.size, 3), 77, np.uint8)
    cache.read(np.asarray(rows, np.int64), out)
    return out


def expected(paths, rows):
    return np.stack([load_resized(paths[row], SIZE) for row in rows])


def marks(cache):
    words = np.frombuffer(cache.file.read_bytes()[COUNT * ROW_BYTES :], "<u4").reshape(COUNT, 2)
    return np.flatnonzero(words[:, 0]).tolist()


def test_pixels_equal_plain_decoding_for_any_choice_of_rows(paths, tmp_path):
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    for rows in ([3, 4, 5], [5, 3, 3, 39, 0], list(range(40)), [], [7, 8, 1, 2]):
        assert np.array_equal(read(cache, rows), expected(paths, rows)) if rows else len(read(cache, [])) == 0


def test_what_is_kept_is_not_decoded_again_by_the_next_run(paths, tmp_path, decoded):
    ImageCache(paths, SIZE, tmp_path / "cache").fill(range(COUNT))
    decoded.clear()
    assert np.array_equal(
        read(ImageCache(paths, SIZE, tmp_path / "cache"), range(COUNT)), expected(paths, range(COUNT))
    )
    assert not decoded


def test_only_the_rows_asked_for_are_decoded_and_take_space(paths, tmp_path, decoded):
    cache = ImageCache(paths, 512, tmp_path / "cache")
    cache.fill([3, 9, 3])
    assert sorted(decoded) == sorted([paths[3], paths[9]])
    status = os.stat(cache.file)
    assert status.st_size == COUNT * (512 * 512 * 3 + 8) and status.st_blocks * 512 < status.st_size / 4


def test_a_file_has_its_final_name_once_all_images_are_in_it(paths, tmp_path, decoded):
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    cache.fill(range(30))
    assert cache.file.suffix == ".partial" and marks(cache) == list(range(30))
    again = ImageCache(paths, SIZE, tmp_path / "cache")
    again.fill(range(25, COUNT))
    assert again.file.suffix == ".pixels" and os.listdir(tmp_path / "cache") == [again.file.name]
    assert np.array_equal(read(cache, range(COUNT)), expected(paths, range(COUNT)))  # its file has another name now
    assert sorted(decoded) == sorted(paths)


def test_an_interrupted_filling_is_gone_on_with(paths, tmp_path, monkeypatch):
    first, seen = ImageCache(paths, SIZE, tmp_path / "cache", workers=1), []

    def interrupted(path, size):
        if path == paths[12]:
            raise KeyboardInterrupt
        return load_resized(path, size)

    monkeypatch.setattr(cache_module, "load_resized", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.fill(range(COUNT))
    kept = marks(first)
    assert 11 in kept and 12 not in kept
    monkeypatch.setattr(cache_module, "load_resized", lambda path, size: seen.append(path) or load_resized(path, size))
    second = ImageCache(paths, SIZE, tmp_path / "cache")
    assert np.array_equal(read(second, range(COUNT)), expected(paths, range(COUNT)))
    assert sorted(seen) == sorted(set(paths) - {paths[row] for row in kept})


def fill_and_die(paths, folder):
    """Fill five images at a time; be gone, as by kill -9, at the thirteenth."""
    cache_module.MARK_EVERY = 5 * ROW_BYTES
    cache_module.load_resized = lambda path, size: os._exit(9) if path == paths[12] else load_resized(path, size)
    ImageCache(paths, SIZE, folder, workers=1).fill(range(COUNT))


def test_a_killed_filling_is_gone_on_with_and_what_it_had_not_marked_is_not_believed(paths, tmp_path, decoded):
    process = multiprocessing.get_context("spawn").Process(target=fill_and_die, args=(paths, tmp_path / "cache"))
    process.start()
    process.join(60)
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    assert process.exitcode == 9 and file.suffix == ".partial"
    with open(file, "r+b") as opened:  # half-written pixels
        opened.seek(10 * ROW_BYTES)
        opened.write(b"\xaa" * 30 * ROW_BYTES)
    assert np.array_equal(read(cache, range(COUNT)), expected(paths, range(COUNT)))
    assert sorted(decoded) == sorted(paths[10:])
    ImageCache(paths, SIZE, tmp_path / "whole").fill(range(COUNT))
    assert cache.file.read_bytes() == (tmp_path / "whole" / cache.file.name).read_bytes()


def test_an_image_is_marked_only_after_its_pixels_are_on_the_disk(paths, tmp_path, monkeypatch):
    cache, steps, write = ImageCache(paths, SIZE, tmp_path / "cache"), [], ImageCache._write
    monkeypatch.setattr(ImageCache, "_write", lambda c, data, at: steps.append(at) or write(c, data, at))
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append("on the disk"))
    cache.fill([6])
    assert steps == [6 * ROW_BYTES, "on the disk", COUNT * ROW_BYTES + 8 * 6]


@pytest.mark.parametrize("change", ["size", "other folder", "fewer"])
def test_another_input_gets_another_file(paths, tmp_path, change):
    first, size = ImageCache(paths, SIZE, tmp_path / "cache"), SIZE
    first.fill([0])
    if change == "size":
        size += 1
    elif change == "other folder":
        shutil.copytree(tmp_path / "images", tmp_path / "copy")
        paths = [path.replace("/images/", "/copy/") for path in paths]
    else:
        paths = paths[:-1]
    second = ImageCache(paths, size, tmp_path / "cache")
    second.fill([0])
    assert second.file != first.file


@pytest.mark.parametrize("filled", [20, COUNT])
def test_an_image_that_changed_is_decoded_anew_in_the_same_file(paths, tmp_path, decoded, filled):
    first = ImageCache(paths, SIZE, tmp_path / "cache")
    first.fill(range(filled))
    Image.new("RGB", (9, 9), (1, 200, 3)).save(paths[7])
    os.utime(paths[9], (1, 1))
    decoded.clear()
    second = ImageCache(paths, SIZE, tmp_path / "cache")
    assert np.array_equal(read(second, range(filled)), expected(paths, range(filled)))
    assert sorted(decoded) == sorted([paths[7], paths[9]]) and os.listdir(tmp_path / "cache") == [first.file.name]
    assert read(second, [7])[0, 0, 0].tolist() == [1, 200, 3]


@pytest.mark.parametrize("place", [3 * ROW_BYTES + 5, COUNT * ROW_BYTES + 8 * 3 + 6, COUNT * ROW_BYTES + 8 * 3])
def test_a_flipped_bit_is_found_and_the_image_decoded_again(paths, tmp_path, decoded, place):
    ImageCache(paths, SIZE, tmp_path / "cache").fill(range(COUNT))
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
    decoded.clear()
    notes = []
    cache = ImageCache(paths, SIZE, tmp_path / "cache", note=notes.append)
    for _ in range(2):
        assert np.array_equal(read(cache, [2, 3, 4, 3]), expected(paths, [2, 3, 4, 3]))
    assert {*decoded} == {paths[3]} and file.read_bytes() == whole
    assert len(notes) == (place != COUNT * ROW_BYTES + 8 * 3) and all("is damaged" in note for note in notes)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/full", path)])
def test_what_is_no_file_in_the_place_of_a_cache_is_one_note(paths, tmp_path, make):
    first, notes = ImageCache(paths, SIZE, tmp_path / "cache"), []
    first.fill([0])
    first.file.unlink()
    make(first.file)
    cache = ImageCache(paths, SIZE, tmp_path / "cache", note=notes.append)
    assert np.array_equal(read(cache, [1, 2]), expected(paths, [1, 2]))
    assert len(notes) == 1 and "no image cache" in notes[0]


def test_a_complete_cache_that_may_only_be_read_says_so(paths, tmp_path, monkeypatch):
    first, notes = ImageCache(paths, SIZE, tmp_path / "cache"), []
    first.fill(range(COUNT))
    content = bytearray(first.file.read_bytes())
    content[0] ^= 4
    first.file.write_bytes(content)

    def refuse(path, mode="r", *given, **how):
        if mode == "r+b":
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, mode, *given, **how)

    monkeypatch.setattr(cache_module, "open", refuse, raising=False)  # who runs the tests may be allowed everything
    cache = ImageCache(paths, SIZE, tmp_path / "cache", note=notes.append)
    assert np.array_equal(read(cache, [0, 1]), expected(paths, [0, 1]))
    assert "is read-only" in notes[-1] and "write;" not in notes[-1] and len(notes) == 2


def test_a_new_cache_names_the_others_of_its_images_and_all_can_be_cleared(paths, tmp_path):
    notes = []
    for size in (SIZE, SIZE + 1):
        cache = ImageCache(paths, size, tmp_path / "cache", note=notes.append)
        cache.fill(range(COUNT))
    assert len(notes) == 1 and notes[0].startswith("other caches of these images") and "12px_" in notes[0]
    assert f"--clear_cache {tmp_path / 'cache'}" in notes[0]
    (tmp_path / "cache" / "12px_0123456789abcdef.cache").touch()  # as they were called once
    others = [tmp_path / "cache" / name for name in ("mine.pixels", "12px.txt", "12px_0123456789abcdef.cache.txt")]
    for file in others:
        file.touch()
    assert "image caches deleted" in clear_caches(tmp_path / "cache")
    assert sorted((tmp_path / "cache").iterdir()) == sorted(others)
    assert read(cache, [1]).shape == (1, 13, 13, 3)  # who reads it goes on
    with pytest.raises(InputError, match="cannot clear .*nowhere: No such file"):
        clear_caches(tmp_path / "nowhere")


def test_nothing_is_asked_of_the_system_that_some_lack(paths, tmp_path, monkeypatch):
    for name in ("pread", "preadv", "pwrite", "pwritev", "posix_fallocate", "statvfs"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: namedtuple("usage", "total used free")(2e9, 1e9, 1e9))
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    assert np.array_equal(read(cache, range(COUNT)), expected(paths, range(COUNT)))


def test_one_error_counts_the_unreadable_images_and_the_others_are_kept(paths, tmp_path):
    for row in (30, 5, 17):
        Path(paths[row]).write_bytes(b"no image")
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    with pytest.raises(InputError, match=r"^unreadable image .*/5.png .*; unreadable beside it: 2 .data/prepare"):
        cache.fill(range(COUNT))
    assert marks(cache) == sorted(set(range(COUNT)) - {5, 17, 30})
    for path in paths:
        Path(path).write_bytes(b"no image")
    with pytest.raises(InputError, match=r"beside it: at least (19|2\d) "):
        ImageCache(paths, SIZE, tmp_path / "cache").fill(range(COUNT))


@pytest.mark.parametrize("rows", [30, COUNT])
def test_a_cache_file_that_was_cut_off_is_built_anew(paths, tmp_path, rows):
    first = ImageCache(paths, SIZE, tmp_path / "cache")
    first.fill(range(rows))
    os.truncate(first.file, 5000)
    again = ImageCache(paths, SIZE, tmp_path / "cache")
    assert np.array_equal(read(again, [29]), expected(paths, [29]))
    os.truncate(again.file, 5000)
    with pytest.raises(InputError, match="cut off while in use: delete it"):
        read(again, [29])


def fill_all(paths, folder):
    cache_module.MARK_EVERY = 3 * ROW_BYTES
    ImageCache(paths, SIZE, folder, workers=1).fill(range(len(paths)))


def test_several_processes_fill_one_file(paths, tmp_path, decoded):
    quick = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if quick else "spawn")
    if quick:
        context.set_forkserver_preload(["torchvision"])  # what takes seconds to import is imported once
    processes = [context.Process(target=fill_all, args=(paths, tmp_path / "cache")) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    assert [process.exitcode for process in processes] == [0, 0, 0] and len(os.listdir(tmp_path / "cache")) == 1
    assert np.array_equal(read(cache, range(COUNT)), expected(paths, range(COUNT))) and not decoded


def test_processes_of_a_training_begin_at_different_images_and_leave_out_what_others_did(
    paths, tmp_path, monkeypatch, decoded
):
    monkeypatch.setattr(cache_module, "MARK_EVERY", 5 * ROW_BYTES)
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    monkeypatch.setattr(distributed, "rank", lambda: 2)
    ours, theirs = (ImageCache(paths, SIZE, tmp_path / "cache", workers=1) for _ in range(2))
    theirs.fill(range(25, 35))
    decoded.clear()
    ours.fill(range(COUNT))  # begins after half of the 30 that are lacking
    assert decoded == paths[15:25] + paths[35:] + paths[:15]


def test_rows_that_another_process_marked_meanwhile_are_not_decoded(paths, tmp_path, decoded):
    ours, theirs = (ImageCache(paths, SIZE, tmp_path / "cache") for _ in range(2))
    ours.fill([0])
    theirs.fill(range(COUNT))
    assert np.array_equal(read(ours, range(COUNT)), expected(paths, range(COUNT))) and len(decoded) == COUNT


def test_machines_fill_files_of_their_own_and_share_the_complete_one(paths, tmp_path, monkeypatch, decoded):
    caches = []
    for machine in ("a", "b"):
        monkeypatch.setattr(cache_module.platform, "node", lambda machine=machine: machine)
        caches.append(ImageCache(paths, SIZE, tmp_path / "cache"))
        caches[-1].fill(range(10))
    assert len(os.listdir(tmp_path / "cache")) == 2 and len(decoded) == 20
    for cache in (*caches, ImageCache(paths, SIZE, tmp_path / "cache")):
        cache.fill(range(COUNT))
        assert np.array_equal(read(cache, range(COUNT)), expected(paths, range(COUNT)))
    assert len(os.listdir(tmp_path / "cache")) == 1 and len(decoded) == 80


def test_no_page_of_the_file_is_mapped(paths, tmp_path, monkeypatch):
    # where a full disk has no page for a hole of a sparse file, reading a mapping ends the process (SIGBUS)
    monkeypatch.setattr(np, "memmap", None)
    monkeypatch.setitem(sys.modules, "mmap", None)
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    read(cache, [5])
    assert np.array_equal(read(cache, range(COUNT)), expected(paths, range(COUNT)))


def test_without_a_folder_nothing_is_kept(paths, tmp_path):
    cache = ImageCache(paths, SIZE, None)
    cache.fill(range(COUNT))
    assert np.array_equal(read(cache, [4, 2, 4]), expected(paths, [4, 2, 4])) and cache.file is None
    assert os.listdir(tmp_path) == ["images"]


def test_too_little_free_space_is_one_note_and_no_cache(paths, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 100, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    notes = []
    cache = ImageCache(paths, SIZE, tmp_path / "cache", note=notes.append)
    cache.fill(range(COUNT))
    for _ in range(2):
        assert np.array_equal(read(cache, [1, 2]), expected(paths, [1, 2]))
    assert len(notes) == 1 and "no image cache" in notes[0] and "MB free" in notes[0] and "--cache_path" in notes[0]


class Handle:
    """A file on a disk that takes half of what is written at a time, and nothing more once it is full."""

    def __init__(self, file):
        self.file, self.full = file, False

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data[: max(1, len(data) // 2)])


def test_a_disk_that_fills_up_is_one_note_and_what_was_kept_still_serves(paths, tmp_path, monkeypatch):
    notes, open_file = [], ImageCache._open
    monkeypatch.setattr(ImageCache, "_open", lambda cache: Handle(open_file(cache)))
    cache = ImageCache(paths, SIZE, tmp_path / "cache", note=notes.append)
    cache.fill(range(10))
    cache._opened.full = True
    rows = [30, 2, 31, 3, 30]
    assert np.array_equal(read(cache, rows), expected(paths, rows))
    assert np.array_equal(read(cache, range(COUNT)), expected(paths, range(COUNT)))
    assert len(notes) == 1 and "No space left on device" in notes[0] and marks(cache) == list(range(10))


def test_a_folder_that_cannot_be_made_is_one_note_and_no_cache(paths, tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    notes = []
    cache = ImageCache(paths, SIZE, tmp_path / "taken", note=notes.append)
    assert np.array_equal(read(cache, [1]), expected(paths, [1])) and len(notes) == 1


def test_a_cache_above_a_gigabyte_says_so_once(paths, tmp_path):
    notes = []
    for _ in range(2):
        ImageCache(paths, 3000, tmp_path / "cache", note=notes.append).fill([0])
    assert len(notes) == 1 and "up to 1.1 GB once all images are in it" in notes[0]


def test_a_damaged_image_and_one_that_is_gone_are_named(paths, tmp_path):
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    cache.fill([0])
    with open(paths[5], "r+b") as file:
        file.truncate(60)
    with pytest.raises(InputError, match=r"unreadable image .*5.png .*--allow_missing"):
        cache.fill(range(COUNT))
    os.unlink(paths[5])
    with pytest.raises(InputError, match=r"image .*5.png is gone"):
        read(ImageCache(paths, SIZE, tmp_path / "cache"), [0])
