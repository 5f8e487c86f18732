"""A table of one's own in the forms that the wild has, and what is said of one that has no single meaning."""

import os

import numpy as np
import pytest

from utils.common.errors import InputError
from utils.layouts.attribute_table import UNKNOWN
from utils.layouts.csv_files import read_csv
from utils.layouts.folders import list_images


def lay(folder, text, files=("a.jpg", "b.jpg", "c.jpg"), name="labels.csv"):
    """A folder with a table and image files, which are not opened."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


PLAIN = "file,dog,cat\na.jpg,1,0\nb.jpg,0,0\nc.jpg,0,1\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        "\ufeff" + PLAIN,
        PLAIN.encode("utf-16"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " , "),
        PLAIN.replace("a.jpg", '"a.jpg"').replace("dog", '"dog"'),
        PLAIN.replace(",0", ",-1"),
        PLAIN.replace("1", "TRUE").replace("0", "False"),
        PLAIN.replace("1", "Yes").replace("0", "no"),
        PLAIN.replace("0", "0.0").replace("1", "1.0"),
        PLAIN.replace("\n", "\n\n"),
        PLAIN.replace("a.jpg", "./a.jpg").replace("b.jpg", ".\\b.jpg"),
        PLAIN.replace("file", ",file").replace("\n", "\n7,").removesuffix("7,"),  # an index, which has no name
        PLAIN.replace("\n", ",\n"),  # a comma too many in every line
        "file,note,dog,cat\na.jpg,x,1,0\nb.jpg,,0,0\nc.jpg,3,0,1\n",  # a column of anything is no name
    ],
)
def test_a_table_reads_the_same_in_every_form(tmp_path, text):
    table = read_csv(lay(tmp_path, text))
    assert table.image_ids.tolist() == table.files.tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    assert table.names == ("dog", "cat") and table.labels.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert table.labels.dtype == np.uint8 and table.own_split == "released" and table.folder == tmp_path.resolve()


@pytest.mark.parametrize(
    ("named", "file"),
    [
        ("x/y/a.jpg", "x/y/a.jpg"),
        ("x\\y\\a.jpg", "x/y/a.jpg"),
        ("a.jpg", "x/y/a.jpg"),  # a bare name that occurs once
        ("a.jpg", "A.JPG"),
        ("A.JPG", "x/a.jpg"),
        ("a", "x/a.png"),
        ("caf\u00e9.jpg", "x/cafe\u0301.jpg"),
        ('"dog, ""big"".jpg"', 'x/dog, "big".jpg'),
    ],
)
def test_an_image_is_found_as_tables_name_it(tmp_path, named, file):
    table = read_csv(lay(tmp_path, f"file,dog\n{named},1\n", [file]), image_column="file")
    assert table.files.tolist() == [file] and len(table.image_ids) == 1


def test_images_behind_links_are_found_and_a_circle_of_links_ends(tmp_path):
    (tmp_path / "data").mkdir()
    lay(tmp_path / "elsewhere", "", ["a.jpg"], "none.txt")
    os.symlink(tmp_path / "elsewhere", tmp_path / "data" / "linked")
    os.symlink(tmp_path / "data", tmp_path / "data" / "circle")
    os.symlink(tmp_path / "elsewhere" / "a.jpg", tmp_path / "data" / "b.jpg")
    assert list_images(tmp_path / "data") == ["b.jpg", "linked/a.jpg"]
    table = read_csv(lay(tmp_path / "data", "file,dog\na.jpg,1\nb.jpg,0\n", []))
    assert table.files.tolist() == ["linked/a.jpg", "b.jpg"]


def test_rows_without_an_image_and_images_without_a_row_are_told_apart(tmp_path):
    table = read_csv(lay(tmp_path, PLAIN, ["b.jpg", "d.jpg", ".hidden.jpg"]))
    assert table.files.tolist() == ["", "b.jpg", ""]


def test_a_column_of_several_names_gives_a_column_for_each(tmp_path):
    text = "file,tags,cat\na.jpg,dog | person,0\nb.jpg,,1\nc.jpg,person|dog|,1\n"
    table = read_csv(lay(tmp_path, text), names_column="tags")
    assert table.names == ("cat", "dog", "person") and table.labels.tolist() == [[0, 1, 1], [1, 0, 0], [1, 1, 1]]
    text = text.replace("|", "+")
    assert read_csv(lay(tmp_path, text), names_column="tags", names_separator="+").names == table.names
    with pytest.raises(InputError, match=r"no cell of column tags of .* has '\|', but some have ' '"):
        read_csv(lay(tmp_path, text), names_column="tags")


@pytest.mark.parametrize("cell", ["nan", "NaN", "none", "?", "N/A", " null | "])
def test_a_cell_that_says_no_name_has_none(tmp_path, cell):
    table = read_csv(lay(tmp_path, f"file,tags\na.jpg,dog|cat\nb.jpg,{cell}\nc.jpg,cat\n"), names_column="tags")
    assert table.names == ("cat", "dog") and table.labels.tolist() == [[1, 1], [0, 0], [1, 0]]


def test_a_split_column_gives_the_parts(tmp_path):
    text = "file,dog,Split\na.jpg,1,Train\nb.jpg,0,validation\nc.jpg,0, test\n"
    table = read_csv(lay(tmp_path, text))
    assert table.names == ("dog",) and table.own_split == "official"
    rows = table.split_rows("official")
    assert {part: found.tolist() for part, found in rows.items()} == {"train": [0], "valid": [1], "test": [2]}
    with pytest.raises(InputError, match=r"row 2 \(b.jpg\) of .* has 'later' in column Split, expected train, val"):
        read_csv(lay(tmp_path, text.replace("validation", "later")))


def test_a_table_in_a_sub_folder_names_images_from_there_or_from_the_top(tmp_path):
    lay(tmp_path, "", ["sub/x/a.jpg", "b.jpg"], "none.txt")
    (tmp_path / "sub" / "t.csv").write_text("file,dog\nx/a.jpg,1\nb.jpg,0\n")
    table = read_csv(tmp_path, table="sub\\t.csv")
    assert table.files.tolist() == ["sub/x/a.jpg", "b.jpg"]


def test_a_column_that_is_no_label_says_which_value_is_none(tmp_path):
    table = read_csv(lay(tmp_path, PLAIN.replace("c.jpg,0,1", "c.jpg,0,maybe")))
    assert table.names == ("dog",)
    with pytest.raises(InputError, match=r"row 3 \(c.jpg\) of .*labels.csv has 'maybe' in column cat, expected 0/1"):
        table.columns(["cat"])
    with pytest.raises(InputError, match="unknown attribute 'dgo' .*did you mean dog"):
        table.columns(["dgo"])


@pytest.mark.parametrize("cell", ["", "NaN", "n/a", "?", " "])
def test_a_cell_without_a_label_is_unknown_and_named(tmp_path, cell):
    table = read_csv(lay(tmp_path, f"file,dog,cat\na.jpg,1,0\nb.jpg,{cell},1\nc.jpg,0,1\n"))
    assert table.labels.tolist() == [[1, 0], [UNKNOWN, 1], [0, 1]]
    assert table.columns(["cat"]).tolist() == [[0], [1], [1]]
    with pytest.raises(InputError, match=r"row 2 \(b.jpg\) of .* no label in column dog .* --unknown_labels skip"):
        table.columns(["cat", "dog"])
    assert table.columns(["dog"], skip_unknown=True).tolist() == [[1], [UNKNOWN], [0]]


def test_a_nought_among_minus_one_and_one_is_unknown(tmp_path):
    table = read_csv(lay(tmp_path, "file,dog,cat\na.jpg,1,0\nb.jpg,-1,1\nc.jpg,0,1\n"))
    assert table.labels.tolist() == [[1, 0], [0, 1], [UNKNOWN, 1]]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("file,dog\n../a.jpg,1\n", {"image_column": "file"}, r"names the image ../a.jpg: write its path below"),
        ("file,dog\n/etc/a.jpg,1\n", {}, r"names the image /etc/a.jpg"),
        ("file,dog\nC:\\x\\a.jpg,1\n", {}, r"names the image C:\\\\?x"),
        ("file,dog\n\\\\host\\a.jpg,1\n", {}, r"names the image"),
        ("file,dog\na.jpg,1\n,0\n", {"image_column": "file"}, "an image with an empty name"),
        ("file,dog\na.jpg,1\n./a.jpg,0\n", {}, r"names the image a.jpg 2 times: keep one row"),
        ("file,dog\na.jpg,1\na,0\n", {"image_column": "file"}, r"names the image a.jpg 2 times"),
        ("file,dog\ntwice.jpg,1\n", {}, r"twice.jpg, which occurs 2 times below .*\(x/twice.jpg, y/twice.jpg\): write"),
        ("file,dog,dog\na.jpg,1,1\n", {}, "line 1 of .* column dog twice"),
        ("file\na.jpg\n", {}, "line 1 of .* has the columns"),
        ("file,dog\na.jpg,1,1\n", {}, "is no regular table .*: give each row a cell"),
        ("file,dog\na.jpg,1\nb.jpg,1,1\n", {}, "Expected 2 fields in line 3, saw 3"),
        ('file,dog\n"a.jpg,1\nb.jpg,1\n', {}, "is no regular table"),
        ("file,dog\n", {}, "has no rows"),
        ("a.jpg,1,0\nb.jpg,0,1\n", {}, "line 1 of .* holds the image a.jpg, but must name the columns: write it"),
        ("7,B.PNG,0\n8,b.jpg,1\n", {"image_column": "B.PNG"}, "line 1 of .* holds the image B.PNG, but must name"),
        ("file,dog,cat\na.jpg,1,0\nb.jpg,0", {}, r"row 2 \(b.jpg\) of .* has 2 of 3 cells: write each"),
        ("file,dog,cat\n\na.jpg\nb.jpg,0,1\n", {}, r"row 1 \(a.jpg\) of .* has 1 of 3 cells"),
        ("file;dog;note;split\n'a.jpg';1;\"x;y\";train\nb.jpg;0;z", {"image_column": "file"}, "has 3 of 4 cells"),
        ("file,dog,cat,\na.jpg,1\n", {}, "has 2 of 3 cells"),
        ("file,dog\na.jpg,big\n", {}, r"no column of 0 and 1 \(row 1 \(a.jpg\) .* 'big' in column dog"),
        ("file,dog\na.jpg,\n", {}, "column dog of .* has no labels"),
        ("file,more,dog\na.jpg,b.jpg,1\n", {}, "columns file, more could all name the images: pass --image_column"),
        ("id,dog\n7,1\n", {}, "none of the columns id, dog does name the images: pass --image_column"),
        (PLAIN, {"image_column": "fil"}, "--image_column fil: no such column in .*did you mean file"),
        (PLAIN, {"names_column": "tags"}, "--names_column tags: no such column .*: the columns are dog, cat"),
        (PLAIN, {"table": "label.csv"}, "--table label.csv: no such file in .*: did you mean labels.csv"),
        (PLAIN, {"table": "../labels.csv"}, r"--table ../labels.csv: write its path below --data_path"),
        ("file,tags,dog\na.jpg,dog,1\n", {"names_column": "tags"}, "a column dog, which a cell of tags names too"),
        (PLAIN, {"names_column": "file", "image_column": "file"}, "--names_column file: no such column"),
        (f"file,dog\n{'a' * 1100}.jpg,1\n", {}, "names images by up to 1,104 characters, at most 1,024"),
        (b"PK\3\4", {}, "is an Excel or zip file"),
        ("file,dog\x1b[31m\na.jpg,x\n", {}, r"column dog\\x1b\[31m"),
    ],
)
def test_what_has_no_one_meaning_is_one_line(tmp_path, text, options, message):
    lay(tmp_path, text, ["a.jpg", "b.jpg", "x/twice.jpg", "y/twice.jpg"])
    with pytest.raises(InputError, match=message) as error:
        read_csv(tmp_path, **options)
    assert str(error.value).isprintable()


def test_two_tables_are_told_and_one_may_be_named(tmp_path):
    lay(tmp_path, PLAIN)
    lay(tmp_path, PLAIN.replace("dog", "pig"), (), "more.CSV")
    with pytest.raises(InputError, match=r"holds 2 tables \(labels.csv, more.CSV\): name one by --table"):
        read_csv(tmp_path)
    assert read_csv(tmp_path, table="more.CSV").names == ("pig", "cat")
