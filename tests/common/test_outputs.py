"""Outputs that cannot be written, or that are inputs, are refused before any work, and looking leaves no trace."""

import os

import pytest

from utils.common import paths
from utils.common.errors import InputError
from utils.common.paths import check_outputs


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    return tmp_path


def tree(folder):
    return sorted((str(path), path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")])


@pytest.mark.parametrize("path", ["new.json", "new/and/new.json", "file", "folder/new", "folder/../other/x"])
def test_what_can_be_written_passes_and_nothing_is_left(path, here):
    before = tree(here)
    check_outputs({}, results=path, out=here / "second")
    check_outputs({"cache_path": "cache/deep"}, results=None)
    assert tree(here) == before


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("folder", "a folder or a device stands there"),
        ("/dev/null", "a folder or a device stands there"),
        ("file/results.jsonl", "file is a file where a folder must be"),
        ("file/a/b/results.jsonl", "file is a file where a folder must be"),
        ("new/" + "n" * 256, "more than 255 bytes"),
        ("n" * 256 + "/new", "name"),
        ("ü" * 200 + "/new", "name"),
        ("a/" * 3000 + "b", "name"),
        ("/proc/new/results.jsonl", "/proc/new/results.jsonl"),
    ],
)
def test_what_cannot_be_written_is_refused_with_its_flag(path, why, here):
    before = tree(here)
    with pytest.raises(InputError, match="^--results") as refused:
        check_outputs({}, results=path)
    assert why in str(refused.value) and "\n" not in str(refused.value)
    assert tree(here) == before


def test_a_cache_folder_that_is_a_file_is_refused_where_a_cache_is_used(here):
    with pytest.raises(InputError, match="--cache_path.* is a file where a folder must be"):
        check_outputs({"cache_path": "file", "as_released": False})
    check_outputs({"cache_path": "file", "as_released": True})


def test_a_read_only_cache_is_no_reason_to_refuse(here, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(paths.tempfile, "TemporaryFile", refuse)
    check_outputs({"cache_path": "folder"}, results=None)
    check_outputs({"cache_path": "n" * 5000}, results=None)


def test_an_output_of_no_flag_is_named_as_the_user_knows_it(here):
    with pytest.raises(InputError, match="^DIR: can't write folder: a folder"):
        check_outputs({}, {"folder": "DIR"}, folder="folder")
    with pytest.raises(InputError, match=r"^DIR would overwrite file, which is read \(--weights\)"):
        check_outputs({"weights": "file"}, {"folder": "DIR"}, folder=["file"])


def test_a_read_only_folder_is_refused(here, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(paths.tempfile, "TemporaryFile", refuse)  # who runs the tests may be allowed everything
    with pytest.raises(InputError, match="--out: can't write folder/x: Permission denied: folder: name a place"):
        check_outputs({}, out="folder/x")


@pytest.mark.parametrize("way", ["file", "folder/../file", "link", "hard", "linked/file"])
def test_an_output_that_is_an_input_is_refused_also_through_links(way, here):
    os.symlink("file", "link")
    os.link("file", "hard")
    os.symlink(".", "linked")
    for flag in paths.INPUTS:
        with pytest.raises(InputError, match=rf"--out would overwrite {way}, which is read \(--{flag}\)"):
            check_outputs({flag: "file"}, out=way)
        check_outputs({flag: None}, out=way)


@pytest.mark.parametrize("name", ["list_attr_celeba.csv", "list_attr_celeba.txt", "img_align_celeba/000001.jpg"])
def test_a_table_or_an_image_of_the_data_is_no_output(name, here):
    path = here / "data" / name
    path.parent.mkdir(parents=True)
    path.write_text("x")
    os.symlink("data", "linked")
    for way in (path, f"data/{name}", f"linked/{name}"):
        with pytest.raises(InputError, match=r"which is read \(--data_path\)"):
            check_outputs({"data_path": "data"}, results=way)
    check_outputs({"data_path": "data"}, results="data/results.jsonl")


def test_two_outputs_in_one_file_are_refused(here):
    with pytest.raises(InputError, match="--exported .* is written for another flag"):
        check_outputs({}, onnx="a.pt2", exported=here / "a.pt2")


@pytest.mark.parametrize("text, holds", [("name: x\n", False), ("", True), ('{"a": 1}\n', True), ("{\n", False)])
def test_a_line_of_results_is_not_appended_to_something_else(text, holds, here):
    (here / "file").write_text(text)
    if holds:
        check_outputs({"results": "file"}, results=["file"])
    else:
        with pytest.raises(InputError, match="--results file is no file of results"):
            check_outputs({"results": "file"}, results=["file"])
    assert (here / "file").read_text() == text
