"""data/prepare_celeba.py: unpacks, checks and copies a download; each failure is one line and leaves nothing behind."""

import errno
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.prepare_celeba import download, get_args_parser, main, unzip_images, verify, write_subset
from utils.common.errors import InputError
from utils.datasets.dataset import open_dataset
from utils.layouts.attribute_table import AttributeTable
from utils.layouts.celeba import read_attribute_table, read_partition, write_tables

ROOT = Path(__file__).resolve().parents[2]
LABELS = np.array([[0, 1], [1, 0], [1, 1], [0, 0], [1, 1], [0, 1]], np.uint8)
PARTITION = np.array([0, 0, 0, 1, 2, 2])


@pytest.fixture
def folder(tmp_path):
    """Write a download of six images 40 x 50."""
    path = tmp_path / "celeba"
    (path / "img_align_celeba").mkdir(parents=True)
    ids = np.array([f"{row + 1:06d}.jpg" for row in range(6)])
    write_tables(path, AttributeTable(ids, ("Bald", "Young"), LABELS), PARTITION)
    for row, name in enumerate(ids):
        Image.new("RGB", (40, 50), (40 * row, 100, 100)).save(path / "img_align_celeba" / name)
    return path


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "data/prepare_celeba.py"), *map(str, arguments)], capture_output=True, text=True
    )


def zip_images(folder, inner):
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for file in sorted((folder / "img_align_celeba").iterdir()):
            archive.write(file, inner + file.name)
            file.unlink()
    (folder / "img_align_celeba").rmdir()


def test_a_good_download_is_described(folder):
    lines = verify(folder)
    assert "6 rows, 2 attributes" in lines[0] and lines[1] == "partition: 3 train, 1 validation, 2 test"
    assert lines[2].endswith("all 6 images can be read")
    for file in folder.glob("list_eval*"):
        file.unlink()
    assert "no partition file" in verify(folder)[1]


def test_missing_and_damaged_images_are_listed_and_counted(folder, capsys):
    (folder / "img_align_celeba/000002.jpg").unlink()
    for name in ("000003.jpg", "000005.jpg"):
        file = folder / "img_align_celeba" / name
        file.write_bytes(file.read_bytes()[:150])
    with pytest.raises(InputError, match=r"1 of 6 images are missing \(first missing: 000002.jpg\) and 2 unreadable"):
        verify(folder)
    listed = [line for line in capsys.readouterr().err.splitlines() if "unreadable image" in line]
    assert len(listed) == 2 and "000003.jpg" in listed[0] and "000005.jpg" in listed[1]


@pytest.mark.parametrize("inner", ["img_align_celeba/", "", "a/b/c/"])
def test_the_zip_is_unpacked_flat_and_only_into_its_folder(folder, inner):
    zip_images(folder, inner)
    before = set(os.listdir(folder.parent))
    unzip_images(folder)
    assert "all 6 images can be read" in verify(folder)[2]
    assert set(os.listdir(folder.parent)) == before
    assert not list(folder.glob(".*"))


def test_a_damaged_zip_is_one_line_and_leaves_no_folder(folder):
    zip_images(folder, "")
    archive = folder / "img_align_celeba.zip"
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"cannot unpack .*img_align_celeba.zip .*fetch it again"):
        unzip_images(folder)
    assert not (folder / "img_align_celeba").exists() and not list(folder.glob(".*"))


def test_memory_that_is_used_up_is_no_damage_of_a_zip(folder, monkeypatch):
    zip_images(folder, "")
    monkeypatch.setattr(shutil, "copyfileobj", out_of_memory)
    with pytest.raises(MemoryError):
        unzip_images(folder)


def out_of_memory(*_, **__):
    raise MemoryError


def packed(name, content=b"0123456789" * 20, **options):
    """A function that writes a zip of one file, with options of its `ZipInfo`."""

    def write(archive):
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for option, value in options.items():
                setattr(info, option, value)
            zipped.writestr(info, content)

    return write


def altered(change):
    """A function that writes a zip of one file and changes its bytes."""

    def write(archive):
        packed("a.jpg", bytes(random.Random(0).choices(b"abc", k=4000)))(archive)
        data = bytearray(archive.read_bytes())
        change(data)
        archive.write_bytes(data)

    return write


def encrypt(data):
    for start, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flags in both heads of the file
        data[data.index(start) + place] |= 1


def damage(data):
    data[60:90] = bytes(30)  # within the deflated bytes


def claim_less(data):
    place = data.index(b"PK\1\2")
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")


def claim_more(data):
    place = data.index(b"PK\1\2")
    data[place + 24 : place + 28] = (1 << 31).to_bytes(4, "little")


def other_packing(data):
    for start, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.index(start) + place] = 99


def twice(archive):
    with zipfile.ZipFile(archive, "w") as zipped:
        for folder in "ab":
            zipped.writestr(f"{folder}/1.jpg", b"x")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (packed("../../evil.jpg"), "it holds the path '../../evil.jpg', which leads out of the folder"),
        (packed("/tmp/evil.jpg"), "it holds the path '/tmp/evil.jpg'"),
        (packed("..\\..\\evil.jpg"), "which leads out of the folder"),
        (packed("C:\\evil.jpg"), "which leads out of the folder"),
        (packed("a.jpg", b"/etc/passwd", external_attr=0o120777 << 16), "it holds the link 'a.jpg'"),
        (packed("a.jpg", bytes(30_000_000)), r"0.0 MB unfold to 30.0 MB"),
        (altered(claim_more), "unfold to 2,147.5 MB"),
        (altered(claim_less), "damaged: "),
        (altered(encrypt), r"it is encrypted\): unpack it by hand to .*img_align_celeba$"),
        (altered(damage), r"damaged: .*\): fetch it again"),
        (altered(lambda data: data.__delitem__(slice(500, 600))), r"(damaged: .*|no whole zip file)\): fetch"),
        (altered(other_packing), "packed in a way that is not known here"),
        (twice, "it holds '1.jpg' twice"),
        (packed("folder/"), "it holds no file"),
        (lambda path: path.write_bytes(b"<html>quota exceeded"), r"no zip file but a web page\): fetch it again"),
        (lambda path: path.write_bytes(b"\x1f\x8b and so on"), "no whole zip file"),
        (lambda path: path.write_bytes(b""), "no whole zip file"),
        (packed("a" * 300 + ".jpg"), "File name too long"),
    ],
)
def test_a_zip_that_must_not_be_unpacked_is_one_line_and_leaves_nothing(folder, write, reason):
    shutil.rmtree(folder / "img_align_celeba")
    write(folder / "img_align_celeba.zip")
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(InputError, match=rf"^cannot unpack .*img_align_celeba.zip \(.*{reason}") as error:
        unzip_images(folder)
    assert sorted(folder.parent.rglob("*")) == before and "\n" not in str(error.value)


@pytest.mark.parametrize("full", ["before", "while writing"])
def test_a_disk_without_room_for_the_images_is_one_line(folder, monkeypatch, full):
    zip_images(folder, "")
    if full == "before":
        usage = namedtuple("usage", "total used free")(10**9, 10**9, 0)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    else:
        no_space = OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.setattr(shutil, "copyfileobj", lambda *_: (_ for _ in ()).throw(no_space))
    with pytest.raises(InputError, match=r"cannot unpack .* \(([0-9.]+ MB needed|No space left).*\): make room"):
        unzip_images(folder)
    assert not list(folder.glob("img_align_celeba")) and not list(folder.glob(".*"))


def test_a_sorted_table_is_described_with_the_cure(folder):
    labels = np.array([[1, 1], [1, 1], [1, 1], [1, 0], [0, 1], [0, 1]], np.uint8)  # Bald: not in the last quarter
    ids = np.array([f"{row + 1:06d}.jpg" for row in range(6)])
    write_tables(folder, AttributeTable(ids, ("Bald", "Young"), labels), PARTITION)
    warnings = [line for line in verify(folder) if "warning" in line]
    assert len(warnings) == 3 and all("shuffle the table's rows, or train with --split official" in w for w in warnings)
    assert "training part of --split released has no image without Bald:" in warnings[0]
    assert "test part of --split released has no image with Bald:" in warnings[1]
    assert "test part of --split released has no image without Young:" in warnings[2]


def test_caches_are_cleared_and_nothing_else(folder, tmp_path, capsys):
    cache = tmp_path / "cache"
    open_dataset(folder, ["Bald"], img_size=8, cache_path=cache, split="all").prepare(np.arange(6), progress=False)
    (cache / "notes.txt").touch()
    main(get_args_parser().parse_args(["--clear_cache", str(cache)]))
    assert "image caches deleted" in capsys.readouterr().out and os.listdir(cache) == ["notes.txt"]


def test_a_subset_has_the_same_layout_and_its_own_rows(folder, tmp_path):
    write_subset(folder, tmp_path / "small", 3, start=2, size=(20, 25))
    for form in ("txt", "csv"):  # either form alone
        for file in (tmp_path / "small").glob(f"*.{form}"):
            file.rename(f"{file}.kept")
        table = read_attribute_table(tmp_path / "small")
        assert table.image_ids.tolist() == ["000003.jpg", "000004.jpg", "000005.jpg"]
        assert table.labels.tolist() == LABELS[2:5].tolist() and table.names == ("Bald", "Young")
        assert read_partition(tmp_path / "small", table.image_ids).tolist() == [0, 1, 2]
        for file in (tmp_path / "small").glob("*.kept"):
            file.rename(str(file).removesuffix(".kept"))
    with Image.open(tmp_path / "small/img_align_celeba/000004.jpg") as image:
        assert image.format == "JPEG" and image.size == (20, 25)
        assert np.abs(np.asarray(image).mean((0, 1)) - [120, 100, 100]).max() < 3
    assert "all 3 images" in verify(tmp_path / "small")[2]


def test_a_subset_is_refused_where_something_is_or_something_lacks(folder, tmp_path):
    with pytest.raises(InputError, match="celeba exists already"):
        write_subset(folder, folder, 2)
    with pytest.raises(InputError, match=r"rows 4 to 6 asked for, .* has 6"):
        write_subset(folder, tmp_path / "small", 3, start=4)
    (folder / "img_align_celeba/000002.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match="unreadable image .*000002.jpg"):
        write_subset(folder, tmp_path / "small", 3)
    assert sorted(os.listdir(tmp_path)) == ["celeba"]


def test_a_failed_download_says_what_to_do_by_hand(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")

    def fail(root, split, download):
        assert root == str(tmp_path)  # torchvision adds celeba/ itself
        raise RuntimeError("quota\nexceeded")

    monkeypatch.setattr(datasets, "CelebA", fail)
    with pytest.raises(
        InputError, match=r"download failed \(quota exceeded\): fetch img_align_celeba.zip, list_attr"
    ) as error:
        download(tmp_path / "celeba")
    assert "mmlab.ie.cuhk.edu.hk" in str(error.value) and str(tmp_path / "celeba") in str(error.value)


def test_a_missing_downloader_is_named(tmp_path, monkeypatch):
    def fail(root, split, download):
        raise RuntimeError("To download files from GDrive, 'gdown' is required.")

    monkeypatch.setattr("torchvision.datasets.CelebA", fail)
    monkeypatch.setattr("data.prepare_celeba.find_spec", lambda name: None)
    with pytest.raises(InputError, match="--download needs gdown: pip install gdown, or fetch img_align_celeba.zip"):
        download(tmp_path / "celeba")


@pytest.mark.parametrize("size", ["89x90000", "0x5", "89", "1x2x3", "-1x5", "x", "9" * 5000 + "x5", "8193x1"])
def test_a_size_that_no_picture_has_is_one_line(size, capsys):
    with pytest.raises(SystemExit) as ended:
        get_args_parser().parse_args([f"--size={size}"])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.count("\n") == 1 and "each from 1 to 8,192 pixels" in error


def test_a_full_disk_while_a_subset_is_written_is_one_line(folder, tmp_path, monkeypatch):
    no_space = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: (_ for _ in ()).throw(no_space))
    with pytest.raises(InputError, match="cannot write .*small: No space left on device; choose another --out"):
        write_subset(folder, tmp_path / "small", 3)
    assert os.listdir(tmp_path) == ["celeba"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--subset", "3"], "--subset and --out belong together"),
        (["--subset", "0", "--out", "x"], "at least 1"),
        (["--start", "-1"], "--start at least 0"),
    ],
)
def test_flags_are_checked_before_anything_is_read(flags, message):
    with pytest.raises(InputError, match=message):
        main(get_args_parser().parse_args(["--data_path", "nowhere", *flags]))


@pytest.mark.parametrize("flags", [["--subset", "2", "--out", ""], ["--data_path", ""], ["--clear_cache", ""]])
def test_an_empty_name_of_a_folder_is_refused(flags):
    with pytest.raises((InputError, SystemExit)) as refused:  # by the parser, or by main
        main(get_args_parser().parse_args(flags))
    assert "is empty: name a folder" in str(refused.value) or refused.value.code == 2


def test_the_command_line_copies_and_checks_the_copy(folder, tmp_path, capsys):
    words = ["--data_path", folder, "--subset", 2, "--size", "20x25", "--out", tmp_path / "small"]
    main(get_args_parser().parse_args([str(word) for word in words]))
    assert "2 images of 20 x 25 pixels" in capsys.readouterr().out
    main(get_args_parser().parse_args(["--data_path", str(tmp_path / "small")]))
    for words in (["--size", "89"], ["--out", ""], ["--data_path="], ["--clear_cache", ""]):
        with pytest.raises(SystemExit):
            get_args_parser().parse_args(words)
    assert "WIDTHxHEIGHT" in capsys.readouterr().err


def test_bad_input_is_one_line_and_exit_code_two(tmp_path):
    wrong = run("--data_path", tmp_path / "nowhere")
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1 and "no folder" in wrong.stderr
