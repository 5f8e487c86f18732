"""data/prepare_celeba.py: unpacks, checks and copies a download; each failure is one line and leaves nothing behind."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.prepare_celeba import download, get_args_parser, main, unzip_images, verify, write_subset
from utils.common.errors import InputError
from utils.datasets.layouts import AttributeTable, read_attribute_table, read_partition, write_tables

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


@pytest.mark.parametrize("inner", ["img_align_celeba/", "", "../../"])
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


def test_the_command_line_copies_and_checks_the_copy(folder, tmp_path, capsys):
    words = ["--data_path", folder, "--subset", 2, "--size", "20x25", "--out", tmp_path / "small"]
    main(get_args_parser().parse_args([str(word) for word in words]))
    assert "2 images of 20 x 25 pixels" in capsys.readouterr().out
    main(get_args_parser().parse_args(["--data_path", str(tmp_path / "small")]))
    with pytest.raises(SystemExit):
        get_args_parser().parse_args(["--size", "89"])
    assert "WIDTHxHEIGHT" in capsys.readouterr().err


def test_bad_input_is_one_line_and_exit_code_two(tmp_path):
    wrong = run("--data_path", tmp_path / "nowhere")
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1 and "no folder" in wrong.stderr
