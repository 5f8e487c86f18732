"""Which layout a folder has is seen from what lies in it; class folders; what the reader's table says of splits."""

import os

import numpy as np
import pytest

from utils.common.errors import InputError
from utils.layouts.attribute_table import MOST_SHOWN, AttributeTable, check_size, name_some
from utils.layouts.reading import read_folder, reading_options, recognise


def touch(folder, *files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


CLASSES = ["dog/a.jpg", "dog/deep/b.JPG", "cat/c.png"]


def test_each_class_folder_is_a_column(tmp_path):
    table = read_folder(touch(tmp_path, *CLASSES, "top.jpg", "notes/readme.txt", ".cache/d.jpg", "__MACOSX/e.jpg"))
    assert table.names == ("cat", "dog") and table.layout == "folders" and table.own_split == "released"
    found = dict(zip(table.files.tolist(), table.labels.tolist(), strict=True))
    assert found == {"dog/a.jpg": [0, 1], "dog/deep/b.JPG": [0, 1], "cat/c.png": [1, 0]}


@pytest.mark.parametrize("words", [("train", "val", "test"), ("Training", "validation", "TEST")])
def test_class_folders_below_parts_keep_their_parts(tmp_path, words, capsys):
    train, valid, test = words
    files = [f"{train}/dog/1.jpg", f"{train}/cat/1.jpg", f"{valid}/cat/2.jpg", f"{test}/dog/3.jpg", "other/x/4.jpg"]
    table = read_folder(touch(tmp_path, *files))
    rows = table.split_rows(table.own_split)
    assert table.names == ("cat", "dog") and len(table.files) == 4
    assert "left out 1 of 5 images" in (said := capsys.readouterr().err) and "(first: other/x/4.jpg)" in said
    assert sorted(table.files[rows["train"]].tolist()) == [f"{train}/cat/1.jpg", f"{train}/dog/1.jpg"]
    assert table.files[rows["valid"]].tolist() == [f"{valid}/cat/2.jpg"]
    assert table.files[rows["test"]].tolist() == [f"{test}/dog/3.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize(
    "path", ["Annotations/1.xml", "ImageSets/Main/train.txt", "annotations/instances_train.json", "t.csv"]
)
def test_a_pipe_or_a_folder_in_place_of_a_file_is_one_line(tmp_path, path, make):
    touch(tmp_path, path)
    if "Main" in path:
        touch(tmp_path, "Annotations/1.xml").joinpath("Annotations/1.xml").write_text("<annotation/>")
    (tmp_path / path).unlink()
    make(tmp_path / path)
    said = r"cannot read .*(1.xml|train.txt|train.json): (it is a pipe|Is a dir)|no such file"
    with pytest.raises(InputError, match=said) as error:
        read_folder(tmp_path, **({"table": path} if path == "t.csv" else {}))
    assert str(error.value).isprintable()


def test_rows_of_class_folders_are_mixed_alike_each_time(tmp_path):
    touch(tmp_path, *(f"{name}/{n:02}.jpg" for name in ("a", "b", "c", "d") for n in range(25)))
    table, again = read_folder(tmp_path), read_folder(tmp_path)
    assert table.files.tolist() == again.files.tolist() and sorted(table.files) != table.files.tolist()
    train = table.split_rows("released")["train"]
    assert len(train) == 75 and (table.labels[train].sum(0) >= 10).all()  # sorted, class d would have none


def test_without_a_test_part_the_validation_part_is_it_and_that_is_said(tmp_path):
    notes = []
    table = read_folder(touch(tmp_path, "train/dog/1.jpg", "train/cat/1.jpg", "val/cat/2.jpg"))
    rows = table.split_rows("official", notes.append)
    assert (
        len(rows["train"]) == 2 and len(rows["valid"]) == 0 and table.files[rows["test"]].tolist() == ["val/cat/2.jpg"]
    )
    assert notes == ["there is no test part: the validation part is the test part, choices are made on training images"]


def test_a_split_that_is_not_there_is_no_other_one():
    table = AttributeTable(np.array(["a", "b"]), ("x",), np.zeros((2, 1), np.uint8), "t.csv", "csv")
    with pytest.raises(InputError, match="t.csv has no split of its own: pass --split released"):
        table.split_rows("official")
    notes, parted = [], AttributeTable(np.arange(4), ("x",), np.zeros((4, 1), np.uint8), parts=np.array([0, -1, 2, 0]))
    rows = parted.split_rows("official", notes.append)
    assert rows["train"].tolist() == [0, 3] and "left out 1 of 4 table rows, which are in no part" in notes[0]


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (["list_attr_celeba.csv", *CLASSES], "celeba"),
        (["celeba/list_attr_celeba.txt"], "celeba"),
        (["img_align_celeba/a.jpg", "x.csv"], "celeba"),
        (["labels.csv", "images/a.jpg"], "csv"),
        (["LABELS.TSV", "a.jpg"], "csv"),
        (CLASSES, "folders"),
        (["train/dog/a.jpg", "train/cat/a.jpg"], "folders"),
    ],
)
def test_the_layout_is_seen_from_what_lies_in_the_folder(tmp_path, files, layout):
    assert recognise(touch(tmp_path, *files)) == layout


def test_two_layouts_or_none_are_one_line_that_says_what_was_looked_for(tmp_path):
    with pytest.raises(InputError, match=r"no other layout \(looked for .*two folders of images"):
        recognise(touch(tmp_path, "images/a.jpg"))
    touch(tmp_path, "more/a.jpg", "labels.csv")
    with pytest.raises(
        InputError, match=r"a table of .* \(labels.csv; --layout csv\) or class folders \(images, more; --l"
    ):
        recognise(tmp_path)
    assert read_folder(tmp_path, layout="folders").names == ("images", "more")
    assert recognise(tmp_path, {"table": "labels.csv"}) == "csv"
    with pytest.raises(InputError, match="unknown layout csw: choose among celeba, csv, voc, coco, folders"):
        read_folder(tmp_path, layout="csw")
    with pytest.raises(
        InputError, match="--table is for a table of one's own, .* is read as class folders: leave it out"
    ):
        read_folder(tmp_path, layout="folders", table="labels.csv")


def test_flags_that_nobody_gave_are_no_options():
    assert reading_options(layout=None, table="a.csv", difficult=False, seed=3) == {
        "table": "a.csv",
        "difficult": False,
    }


def test_a_single_class_is_told(tmp_path):
    with pytest.raises(InputError, match="holds images of 1 classes: lay those of each class into a folder"):
        read_folder(touch(tmp_path, "dog/a.jpg"), layout="folders")


def test_many_names_are_cut_in_a_line_and_refused_in_a_table():
    names = [f"n{k}" for k in range(1000)]
    assert name_some(names).endswith(f"n{MOST_SHOWN - 1}, … (1,000 in all)") and name_some(names[:2]) == "n0, n1"
    with pytest.raises(InputError, match="x gives 1,000,000 names to 10 images, at most 20,000 names"):
        check_size(10, 1_000_000, "x")
