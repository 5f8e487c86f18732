"""The cache holds what decoding gives, is finished by whoever comes next, and gives way when it can't be kept."""

import errno
import multiprocessing
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

from utils.common.errors import InputError
from utils.datasets import cache as cache_room
from utils.datasets import cache_file
from utils.datasets.cache import ImageCache
from utils.datasets.cache_file import bring_to_disk
from utils.datasets.decoding import run_on_threads
from utils.datasets.pixels import load_resized

SIZE = 12


@pytest.fixture
def paths(tmp_path):
    random = np.random.default_rng(0)
    files = [tmp_path / "images" / f"{row}.png" for row in range(40)]
    files[0].parent.mkdir()
    for file in files:
        Image.fromarray(random.integers(0, 256, (20, 15, 3), np.uint8)).save(file)
    return [str(file) for file in files]


def expected(paths, rows):
    return np.stack([load_resized(paths[row], SIZE) for row in rows])


def forbid_decoding(monkeypatch):
    monkeypatch.setattr(cache_room, "load_resized", lambda path, size: pytest.fail(f"decoded {path} again"))


def test_pixels_equal_plain_decoding_for_any_choice_of_rows(paths, tmp_path):
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    for rows in ([3, 4, 5], [5, 3, 3, 39, 0], list(range(40)), [], [7, 8, 1, 2]):
        pixels = cache.read(rows)
        assert pixels.shape == (len(rows), SIZE, SIZE, 3) and pixels.dtype == np.uint8
        assert np.array_equal(pixels, expected(paths, rows)) if rows else len(pixels) == 0


def test_every_kind_of_image_becomes_rgb(tmp_path):
    for name, mode in (("grey.png", "L"), ("palette.gif", "P"), ("alpha.png", "RGBA"), ("print.jpg", "CMYK")):
        Image.new("RGB", (9, 7), (255, 0, 0)).convert(mode).save(tmp_path / name)
        pixels = load_resized(tmp_path / name, 4)
        assert pixels.shape == (4, 4, 3) and (pixels == pixels[0, 0]).all()


def test_what_is_kept_is_not_decoded_again_by_the_next_run(paths, tmp_path, monkeypatch):
    ImageCache(paths, SIZE, tmp_path / "cache").fill(range(40))
    wanted = expected(paths, range(40))
    forbid_decoding(monkeypatch)
    assert np.array_equal(ImageCache(paths, SIZE, tmp_path / "cache").read(range(40)), wanted)


def test_only_the_rows_asked_for_are_decoded_and_take_space(paths, tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(cache_room, "load_resized", lambda p, s: decoded.append(p) or load_resized(p, s))
    cache = ImageCache(paths, 512, tmp_path / "cache")
    cache.fill([3, 9, 3])
    assert sorted(decoded) == sorted([paths[3], paths[9]])
    status = os.stat(cache.file)
    assert status.st_size == 4096 + 40 * 512 * 512 * 3 and status.st_blocks * 512 < status.st_size / 4


def test_a_partly_written_cache_is_found_and_finished(paths, tmp_path, monkeypatch):
    first = ImageCache(paths, SIZE, tmp_path / "cache")
    first.workers = 1

    def die_at_the_thirteenth(path, size):
        if path == paths[12]:
            raise KeyboardInterrupt
        return load_resized(path, size)

    monkeypatch.setattr(cache_room, "load_resized", die_at_the_thirteenth)
    with pytest.raises(KeyboardInterrupt):
        first.fill(range(40))
    lacking = [path for path, mark in zip(paths, marks(first), strict=True) if not mark]
    assert paths[11] not in lacking and paths[12] in lacking
    decoded = []
    monkeypatch.setattr(cache_room, "load_resized", lambda p, s: decoded.append(p) or load_resized(p, s))
    second = ImageCache(paths, SIZE, tmp_path / "cache")
    second.fill(range(40))
    assert sorted(decoded) == sorted(lacking) and first.file == second.file
    assert np.array_equal(second.read(range(40)), expected(paths, range(40)))


def test_a_row_is_marked_only_after_its_pixels_are_written(paths, tmp_path, monkeypatch):
    cache, written = ImageCache(paths, SIZE, tmp_path / "cache"), []
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda d, data, at: written.append((d, at)) or write(d, data, at))
    cache.read([6])
    mine = [at for descriptor, at in written if descriptor == cache._descriptor]  # other caches may still settle
    assert mine == [4096 + 6 * 3 * SIZE**2, 6]


def marks(cache):
    return cache.file.read_bytes()[:40]


def settled(cache):
    if cache._settling is not None:
        cache._settling.join(60)
    return marks(cache)


def test_marks_become_lasting_once_the_pixels_are_on_the_disk(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_room, "boot_mark", lambda: 77)
    first = ImageCache(paths, SIZE, tmp_path / "cache")
    first.read([6, 7])  # nobody asked to wait for the disk
    assert marks(first)[5:9] == bytes([0, 77, 77, 0])
    second = ImageCache(paths, SIZE, tmp_path / "cache")
    second.read([6])  # the next process to open the file sees to it
    assert settled(second)[5:9] == bytes([0, 1, 1, 0])
    second.fill(range(40))
    assert settled(second) == bytes([1] * 40)


def test_after_a_restart_only_what_was_on_the_disk_is_believed(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_room, "boot_mark", lambda: 77)
    first = ImageCache(paths, SIZE, tmp_path / "cache")
    first.fill(range(5))
    settled(first)
    first.read(range(20))
    monkeypatch.setattr(cache_room, "boot_mark", lambda: 78)
    decoded = []
    monkeypatch.setattr(cache_room, "load_resized", lambda p, s: decoded.append(p) or load_resized(p, s))
    second = ImageCache(paths, SIZE, tmp_path / "cache")
    assert np.array_equal(second.read(range(20)), expected(paths, range(20)))
    assert sorted(decoded) == sorted(paths[5:20])


def test_where_a_restart_cannot_be_told_each_image_is_on_the_disk_before_its_mark(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_file, "BOOT_FILE", tmp_path / "nothing")
    cache, written, write = ImageCache(paths, SIZE, tmp_path / "cache"), [], os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda d, data, at: written.append(at) or write(d, data, at))
    monkeypatch.setattr(os, "fsync", lambda d: written.append("on disk"))
    cache.fill([6])
    assert written == [4096 + 6 * 3 * SIZE**2, "on disk", 6] and marks(cache)[6] == 1


@pytest.mark.parametrize("change", ["touch", "size", "other folder", "fewer"])
def test_another_input_gets_another_file(paths, tmp_path, change):
    first = ImageCache(paths, SIZE, tmp_path / "cache")
    first.fill([0])
    size = SIZE
    if change == "touch":
        os.utime(paths[39], (1, 1))
    elif change == "size":
        size += 1
    elif change == "other folder":
        shutil.copytree(tmp_path / "images", tmp_path / "copy")
        paths = [path.replace("/images/", "/copy/") for path in paths]
    else:
        paths = paths[:-1]
    second = ImageCache(paths, size, tmp_path / "cache")
    second.fill([0])
    assert second.file != first.file


def test_a_cache_file_that_was_cut_off_is_built_anew(paths, tmp_path):
    first = ImageCache(paths, SIZE, tmp_path / "cache")
    first.fill(range(40))
    os.truncate(first.file, 5000)
    assert np.array_equal(ImageCache(paths, SIZE, tmp_path / "cache").read([39]), expected(paths, [39]))
    os.truncate(first.file, 5000)
    with pytest.raises(InputError, match="cut off while in use: delete it"):
        first.read([39])


def test_marks_of_a_file_that_was_built_anew_meanwhile_are_not_made_lasting(paths, tmp_path, monkeypatch):
    first = ImageCache(paths, SIZE, tmp_path / "cache")
    first.fill(range(40))
    settled(first)
    descriptor, count = os.open(first.file, os.O_RDWR), len(paths)
    os.pwrite(descriptor, bytes([77] * count), 0)  # as if not yet on the disk

    def fsync(_):  # what another process may do while this one waits for the disk
        os.truncate(first.file, 0)
        os.truncate(first.file, first._start + count * 3 * SIZE**2)

    monkeypatch.setattr(os, "fsync", fsync)
    bring_to_disk(descriptor, count, 77)
    assert marks(first) == bytes(40)


def fill_all(paths, folder):
    ImageCache(paths, SIZE, folder, workers=1).fill(range(len(paths)))


def test_several_processes_fill_one_file(paths, tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=fill_all, args=(paths, tmp_path / "cache")) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0] and len(os.listdir(tmp_path / "cache")) == 1
    assert np.array_equal(ImageCache(paths, SIZE, tmp_path / "cache").read(range(40)), expected(paths, range(40)))


def test_rows_that_another_process_wrote_meanwhile_are_not_decoded(paths, tmp_path, monkeypatch):
    ours, theirs = (ImageCache(paths, SIZE, tmp_path / "cache") for _ in range(2))
    ours.fill([0])
    theirs.fill(range(40))
    wanted = expected(paths, range(40))
    forbid_decoding(monkeypatch)
    assert np.array_equal(ours.read(range(40)), wanted)


def test_without_a_folder_nothing_is_kept(paths, tmp_path):
    cache = ImageCache(paths, SIZE, None)
    cache.fill(range(40))
    assert np.array_equal(cache.read([4, 2, 4]), expected(paths, [4, 2, 4])) and cache.file is None
    assert os.listdir(tmp_path) == ["images"] and len(cache) == 40


def test_too_little_free_space_is_one_note_and_no_cache(paths, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 100, 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    notes = []
    cache = ImageCache(paths, SIZE, tmp_path / "cache", note=notes.append)
    cache.fill(range(40))
    for _ in range(2):
        assert np.array_equal(cache.read([1, 2]), expected(paths, [1, 2]))
    assert len(notes) == 1 and "no image cache" in notes[0] and "GB free" in notes[0] and "--cache_path" in notes[0]


def test_a_disk_that_fills_up_is_one_note_and_what_was_kept_still_serves(paths, tmp_path, monkeypatch):
    notes, full, write = [], [False], os.pwrite

    def pwrite(descriptor, data, offset):
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: max(1, len(data) // 2)], offset)  # a part at a time, as systems may

    monkeypatch.setattr(os, "pwrite", pwrite)
    cache = ImageCache(paths, SIZE, tmp_path / "cache", note=notes.append)
    cache.fill(range(10))
    full[0] = True
    rows = [30, 2, 31, 3, 30]
    assert np.array_equal(cache.read(rows), expected(paths, rows))
    assert np.array_equal(cache.read(range(40)), expected(paths, range(40)))
    assert len(notes) == 1 and "No space left on device" in notes[0]


def test_a_folder_that_cannot_be_made_is_one_note_and_no_cache(paths, tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    notes = []
    cache = ImageCache(paths, SIZE, tmp_path / "taken", note=notes.append)
    assert np.array_equal(cache.read([1]), expected(paths, [1])) and len(notes) == 1


def test_a_cache_above_a_gigabyte_says_so_once(paths, tmp_path):
    notes = []
    for _ in range(2):
        ImageCache(paths, 3000, tmp_path / "cache", note=notes.append).read([0])
    assert len(notes) == 1 and "up to 1.1 GB once all 40 images are in it" in notes[0]


def test_a_damaged_image_and_one_that_is_gone_are_named(paths, tmp_path):
    cache = ImageCache(paths, SIZE, tmp_path / "cache")
    cache.fill([0])
    with open(paths[5], "r+b") as file:
        file.truncate(60)
    with pytest.raises(InputError, match=r"unreadable image .*5.png .*--allow_missing"):
        cache.fill(range(40))
    os.unlink(paths[5])
    with pytest.raises(InputError, match=r"image .*5.png is gone"):
        ImageCache(paths, SIZE, tmp_path / "cache").read([0])


def test_an_error_on_a_thread_ends_the_others():
    seen = []

    def step(index):
        seen.append(index)
        if index == 3:
            raise InputError("three")

    with pytest.raises(InputError, match="three"):
        run_on_threads(step, 100_000, 2)
    assert len(seen) < 100_000
