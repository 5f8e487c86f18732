"""COCO's files of instances: several parts in one table, and files as the wild has them."""

import json

import pytest

from utils.common.errors import InputError
from utils.layouts import coco
from utils.layouts.coco import read_instances
from utils.layouts.reading import read_folder, recognise

DOG, CAT = {"id": 18, "name": "dog"}, {"id": 1, "name": "traffic light"}


def write(folder, name, files, pairs, categories=(DOG, CAT), at=None, encoding="utf-8", **more):
    """A file of instances: images have the ids 1, 2, …; empty files lie in the folder `at`."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    images = [{"id": n, "file_name": file} for n, file in enumerate(files, 1)]
    boxes = [{"image_id": one, "category_id": other, "segmentation": [[1.5, 2e3]]} for one, other in pairs]
    content = {"images": images, "annotations": boxes, "categories": list(categories)} | more
    path = folder / "annotations" / f"instances_{name}.json"
    path.write_text(json.dumps(content), encoding=encoding)
    for file in files if at is not None else ():
        (folder / at / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / at / file).touch()
    return path


def by_file(table):
    return dict(zip(table.files.tolist(), table.labels.tolist(), strict=True))


def test_parts_are_one_table_of_all_categories_by_name(tmp_path):
    write(tmp_path, "train2017", ["a.jpg", "b.jpg"], [(1, 18), (1, 18), (2, 1)], at="train2017")
    # ids mean something else in another file, and a category may be there alone
    write(
        tmp_path, "val2017", ["c.jpg", "d.jpg"], [(1, 1), (1, 2)], [{"id": 1, "name": "dog"}, {"id": 2, "name": "pig"}]
    )
    for name in ("c.jpg", "d.jpg"):
        (tmp_path / "val2017").mkdir(exist_ok=True)
        (tmp_path / "val2017" / name).touch()
    table = read_folder(tmp_path)
    assert recognise(tmp_path) == table.layout == "coco" and table.names == ("dog", "pig", "traffic light")
    assert by_file(table) == {
        "train2017/a.jpg": [1, 0, 0],
        "train2017/b.jpg": [0, 0, 1],
        "val2017/c.jpg": [1, 1, 0],
        "val2017/d.jpg": [0, 0, 0],
    }
    rows = table.split_rows(table.own_split, lambda note: None)
    assert sorted(table.files[rows["test"]].tolist()) == ["val2017/c.jpg", "val2017/d.jpg"] and len(rows["train"]) == 2


@pytest.mark.parametrize(
    "at", ["train2017", "images/train2017", "images", "train", "images/train", "", "elsewhere/deep"]
)
def test_images_are_found_where_people_lay_them(tmp_path, at):
    write(tmp_path, "train2017", ["a.jpg"], [(1, 18)], at=at)
    assert by_file(read_folder(tmp_path)) == {f"{at}/a.jpg".lstrip("/"): [1, 0]}


@pytest.mark.parametrize(
    ("name", "part"),
    [("train", 0), ("val2014", 1), ("valid", 1), ("test2017", 2), ("minival2014", 1), ("Train_v2", 0), ("2017", -1)],
)
def test_the_part_is_in_the_name_of_the_file(tmp_path, name, part):
    write(tmp_path, name, ["a.jpg"], [(1, 18)], at="images")
    table = read_folder(tmp_path)
    assert (table.own_split == "released") if part == -1 else table.parts.tolist() == [part]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_names_with_accents_commas_quotes_and_windows_paths_are_read(tmp_path, encoding):
    path = write(tmp_path, "train", ['caf\u00e9, "big".JPG', "sub\\b.jpg"], [], encoding=encoding)
    ids, names, has = read_instances(path)
    assert ids.tolist() == ['caf\u00e9, "big".JPG', "sub/b.jpg"] and names == ["dog", "traffic light"]
    assert has.tolist() == [[False, False], [False, False]]


def test_outlines_are_passed_over_and_texts_that_look_like_them_are_not(tmp_path):
    pair = {"image_id": 1, "category_id": 18}
    outlines = [[[1, 2.5, -3e-2], [4]], [], {"counts": [1, 2], "size": [3, 4]}, '"segmentation": [1]']
    path = write(tmp_path, "train", ["a.jpg"], [], annotations=[{"segmentation": one, **pair} for one in outlines])
    assert read_instances(path)[2].tolist() == [[True, False]]


def test_a_row_without_an_image_is_told_and_the_image_of_no_row_is_none(tmp_path):
    write(tmp_path, "train", ["a.jpg", "b.jpg"], [(1, 18)], at="train")
    (tmp_path / "train/b.jpg").rename(tmp_path / "train/c.jpg")
    assert sorted(read_folder(tmp_path).files.tolist()) == ["", "train/a.jpg"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"images": None}, "is no file of instances as COCO has them"),
        ({"images": [{"id": 1}]}, "KeyError: 'file_name'"),
        ({"images": []}, "has 0 images and 2 categories"),
        ({"images": [{"id": 1, "file_name": "../a.jpg"}]}, r"names the image ../a.jpg: write its path below"),
        ({"images": [{"id": 1, "file_name": "/etc/a.jpg"}]}, r"names the image /etc/a.jpg"),
        ({"images": [{"id": [], "file_name": "a.jpg"}]}, "is no file of instances"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}] * 2}, "an id of an image or a category twice"),
        ({"categories": [DOG, {"id": 2, "name": "dog"}]}, "or a name of a category: make them unique"),
        ({"categories": [{"id": 2, "name": 7}]}, "is no file of instances"),
        ({"annotations": [{"image_id": 9, "category_id": 18}]}, "an annotation of the image or category 9"),
        ({"annotations": [{"image_id": 1, "category_id": []}]}, "which it does not list"),
        ({"annotations": [7]}, "is no file of instances"),
    ],
)
def test_what_is_no_file_of_instances_is_one_line(tmp_path, more, message):
    with pytest.raises(InputError, match=message) as error:
        read_instances(write(tmp_path, "train", ["a.jpg"], [(1, 18)], **more))
    assert str(error.value).isprintable()


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 200_000, b"\xff\xfe{", b"7"])
def test_what_is_no_json_is_one_line(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(InputError, match="a.json is no (JSON|file of instances)"):
        read_instances(tmp_path / "a.json")


def test_a_file_beyond_all_sets_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(coco, "MOST_JSON", 10)
    with pytest.raises(InputError, match="leave out the outlines"):
        read_instances(write(tmp_path, "train", ["a.jpg"], []))


@pytest.mark.parametrize("at", ["val", "val2017", "images/val", "deep/test2017/x"])
def test_a_row_does_not_take_the_image_of_another_part(tmp_path, at):
    write(tmp_path, "train", ["a.jpg", "b.jpg", "c.jpg"], [(1, 18)], at="train")
    write(tmp_path, "val2017", ["d.jpg"], [(1, 1)], at="val2017")
    (tmp_path / at).mkdir(parents=True, exist_ok=True)
    (tmp_path / "train/a.jpg").rename(tmp_path / at / "a.jpg")
    (tmp_path / "deep").mkdir(exist_ok=True)
    (tmp_path / "train/b.jpg").rename(tmp_path / "deep/b.jpg")
    table = read_folder(tmp_path)
    assert dict(zip(table.image_ids.tolist(), table.files.tolist(), strict=True)) == {
        "a.jpg": "",
        "deep/b.jpg": "deep/b.jpg",
        "train/c.jpg": "train/c.jpg",
        "val2017/d.jpg": "val2017/d.jpg",
    }


def test_an_image_in_two_files_is_refused(tmp_path):
    write(tmp_path, "train", ["a.jpg"], [(1, 18)], at="images")
    write(tmp_path, "val", ["a.jpg"], [(1, 18)])
    with pytest.raises(InputError, match="has images/a.jpg more than once: leave it in one"):
        read_folder(tmp_path)
    with pytest.raises(InputError, match="has no annotations/instances_"):
        read_folder(tmp_path / "images", layout="coco")
