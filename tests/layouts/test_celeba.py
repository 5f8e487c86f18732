"""Attribute table and partition in every form in which people have them, and what is said of a malformed one."""

import os
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.common.errors import InputError
from utils.layouts import text
from utils.layouts.attribute_table import AttributeTable
from utils.layouts.celeba import ATTRIBUTES, read_attribute_table, read_partition, write_tables
from utils.layouts.folders import find_images, missing_images_message
from utils.layouts.tables import parse_rows


def test_there_are_forty_attributes_in_the_official_order():
    assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 40
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES) and ATTRIBUTES[4] == "Bald" and ATTRIBUTES[-1] == "Young"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list_attr_celeba.txt", "2\nBald  Young \n000001.jpg -1  1\n\n000002.jpg  1 -1 \n"),
        ("list_attr_celeba.txt", "2\r\nBald Young\r\n000001.jpg   0\t1\r\n000002.jpg 1 0"),
        ("list_attr_celeba.csv", "image_id,Bald,Young\n000001.jpg,-1,1\n000002.jpg,1,-1\n"),
        ("list_attr_celeba.csv", '\ufeff"image_id","Bald","Young"\r\n"000001.jpg",0,1\r\n"000002.jpg",1,0\r\n'),
        # a column of one's own may be coded 0/1 beside the -1/1 of the others
        ("celeba/list_attr_celeba.csv", "image_id, Bald, Young\n000001.jpg, 0, 1\n000002.jpg, 1, -1"),
        ("list_attr_celeba.csv", "image_id;Bald;Young\n000001.jpg;-1;1\n000002.jpg;1;-1\n"),
        ("list_attr_celeba.csv", "image_id;Bald;Young\n000001.jpg;0,0;1,0\n000002.jpg;1,0;0,0\n"),  # decimal commas
        ("list_attr_celeba.csv", "image_id\tBald\tYoung\n000001.jpg\t-1\t1\n000002.jpg\t1\t-1\n"),
        ("list_attr_celeba.csv", "image_id|Bald|Young\n000001.jpg|-1|1\n000002.jpg|1|-1\n"),
        ("list_attr_celeba.csv", "image_id,Bald,Young\n000001.jpg,\u22121,+1\n000002.jpg,1,\u22121\n"),  # typeset
        ("list_attr_celeba.txt", "2\n\nBald Young\n000001.jpg -1 1\n000002.jpg 1 -1\n"),
        ("list_attr_celeba.csv", "image_id Bald Young\n000001.jpg -1 1\n000002.jpg 1 -1\n"),
        ("list_attr_celeba.csv", "Faces of a study\n\nimage_id,Bald,Young\n000001.jpg,-1,1\n000002.jpg,1,-1\n"),
        ("list_attr_celeba.csv", "Faces, 2015,,\nimage_id,Bald,Young,\n000001.jpg,-1,1,\n000002.jpg,1,-1,\n,,,\n"),
        ("list_attr_celeba.csv", "Bald,Young\n000001.jpg,0.0,1.0\n000002.jpg,1.0,0.0\n"),
        ("list_attr_celeba.csv", ",Bald,Young\r000001.jpg,0,1\r000002.jpg,1,0\r"),  # lines of an old Macintosh
        ("list_attr_celeba.txt", "# CelebA, 2 of 202,599\n2\nBald Young\n000001.jpg -1 1\n000002.jpg 1 -1\n"),
        ("list_attr_celeba.txt", "2\nBald\tYoung\n000001.jpg\t-1\t1\n000002.jpg\t1\t-1\n"),
        ("list_attr_celeba.txt", "\ufeff2\nBald Young\n000001.jpg 0.0 1.0\n000002.jpg 1.0 0.0\n"),
        ("list_attr_celeba.txt", "image_id,Bald,Young\n000001.jpg,0,1\n000002.jpg,1,0\n"),
        ("list_attr_celeba.txt", "image_id Bald Young\n000001.jpg 0 1\n000002.jpg 1 0\n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])  # the second as Excel's "Unicode text" has it
def test_every_common_form_of_the_table_reads_the_same(tmp_path, name, text, encoding):
    (tmp_path / "celeba").mkdir()
    (tmp_path / name).write_bytes(text.removeprefix("\ufeff" if encoding == "utf-16" else "").encode(encoding))
    table = read_attribute_table(tmp_path)
    assert table.image_ids.tolist() == ["000001.jpg", "000002.jpg"] and table.names == ("Bald", "Young")
    assert table.labels.tolist() == [[0, 1], [1, 0]] and table.labels.dtype == np.uint8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\nBald Young\na.jpg 1 1\nb.jpg 1\n", r"line 4 of .* has 2 columns, expected 3"),
        ("2\nBald Young\na.jpg 1 1\n\nb.jpg 1 1 1\n", r"line 5 of .* has 4 columns, expected 3"),
        ("2\nBald Young\na.jpg 1 1\nb.jpg 1 2\n", r"line 4 of .* has '2' in column 3, expected one of -1, 0, 1"),
        ("2\nBald Young\na.jpg 1 x\nb.jpg 1 1\n", r"line 3 of .* has 'x' in column 3"),
        ("2\nBald Young\na.jpg 1 11\nb.jpg 1 1\n", r"'11'"),
        ("2\nBald Young\na.jpg 1 -0\nb.jpg 1 1\n", r"'-0'"),
        ("2\nBald Young\na.jpg 1 -\nb.jpg 1 1\n", r"'-'"),
        ("3\nBald Young\na.jpg 1 1\nb.jpg 1 1\n", r"line 1 of .* promises 3 images, the table has 2 rows"),
        ("a.jpg 1 1\nBald Young\n", r"line 1 of .* expected the number of images"),
        ("\u0662\nBald Young\na.jpg 1 1\nb.jpg 1 1\n", r"line 1 of .* expected the number of images"),
        ("1\nBald Very Young\na.jpg 1 1\n", r"line 3 of .* has 3 columns, expected 4: .*with blanks take a .csv"),
        ("2\nBald Young\na.jpg 1 1\na.jpg 1 1\n", r"names 1 images more than once \(first: a.jpg\)"),
        ("0\nBald Young\n", r"has no rows"),
        ("3\nBald Young\na.jpg 1 -1\nb.jpg 0 0\nc.jpg 0 1\n", r"column Young .* mixes -1 and 0"),
        ("1\nBald Bald\na.jpg 1 1\n", r"no or doubled attribute names in line 2"),
        ("", r"line 1 of .* expected the number of images"),
        ("Bald Young\na.jpg 1 1\n", r"line 1 of .* expected the number of images"),
        ("2\nBald Young\na.jpg 1\nb.jpg 1\n", r"line 3 of .* has 2 columns, expected 3"),
        ("2\nBald Young\na.jpg 1 nan\nb.jpg 1 1\n", r"line 3 of .* an empty cell \(nan\) in column 3.*\(Young\): fill"),
        ("1\nBald Young\n../a.jpg 1 1\n", r"names the image ../a.jpg: write the name of a file in img_align"),
        ("1\nBald Young\n/etc/a.jpg 1 1\n", r"names the image /etc/a.jpg"),
        ("1\nBald Young\n" + "a" * 300 + " 1 1\n", r"names of up to 300 characters"),
        ("9" * 5000 + "\nBald Young\na.jpg 1 1\n", r"promises 999,999,999,999,999 images, the table has 1 rows"),
        ("1\n" + "Bald " * 5000 + "\n", r"no or doubled"),
        ("1\n" + " ".join(map("a{}".format, range(5000))) + "\n", r"line 2 of .* names 5,001 columns, at most 4,096"),
    ],
)
def test_a_malformed_table_is_one_line_that_says_where(tmp_path, text, message):
    refused(tmp_path, "list_attr_celeba.txt", text.encode(), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a.jpg,1,0\nb.jpg,0,1\n", r"line 1 of .* holds labels, expected the names of the columns"),
        (b",image_id,Bald\n0,a.jpg,1\n", r"line 2 of .* names of the images must be column 1"),
        (b"Bald,image_id\n1,a.jpg\n", r"line 2 of .* names of the images must be column 1"),
        (b"image_id,Bald,,Young\na.jpg,1,1,1\n", r"no or doubled attribute names in line 1"),
        (b'image_id,"Bald\nhead",Young\na.jpg,1,1\n', r"line 2 of .* quotation mark that is not closed"),
        ("image_id,M\u00fcde\na.jpg,1\n".encode("latin-1"), r"line 1 of .* is no UTF-8"),
        (b"\n <!DOCTYPE html>\n", r"is a web page"),
        (b'[{"image_id": "a.jpg", "Bald": 1}]', r"is JSON"),
        (b"PAR1\x15", r"is a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"pointer of Git LFS"),
        (b"image_id,Bald,Young\na.jpg,1,\n", r"line 2 of .* an empty cell in column 3, .*\(Young\): fill it or leave"),
        (b"image_id,Bald,Young\na.jpg,1,1\nb.jpg,,1\n", r"line 3 of .* an empty cell in column 2, .*\(Bald\)"),
        (b"image_id,Bald,Young\na.jpg,1,1\nb.jpg,,1,1\n", r"line 3 of .* has 4 columns, expected 3"),
        (b"image_id\tBald\tYoung\na.jpg\t1\t1\nb.jpg\t\t1\t1\n", r"line 3 of .* has 4 columns, expected 3"),
        (b"image_id;Bald;Young\na.jpg;1;1\nb.jpg;1;NaN\n", r"line 3 of .* an empty cell \(NaN\) in column 3"),
        (b"title\nimage_id,Bald,Young\na.jpg,1,x\nb.jpg,1,1\n", r"line 3 of .* has 'x' in column 3"),
        (b"title\nimage_id,Bald,Young\na.jpg,x,y\nb.jpg,1,1\n", r"line 3 of .* has 'x' in column 2"),
        (b"image_id,Bald,Young\n,1,1\n", r"line 2 of .* has no name in column 1"),
        (b"image_id,Bald,Young\n", r"has no rows: add a line"),
        (b"image_id,Bald,Bald\na.jpg,1,1\n", r"doubled attribute names in line 1 \(Bald\)"),
        (b"image_id\na.jpg\n", r"no or doubled attribute names in line 1"),
        (b",image_id,Bald\n0,a.jpg,1\n", r"line 2 of .* has 'a.jpg' in column 2, .* \(image_id\)"),
        (b"image_id,Bald\na\x1b[31m/b.jpg,1\n", r"names the image a\\x1b\[31m/b.jpg"),
        (b"PK\3\4 and so on", r"is an Excel or zip file: save the table as text"),
        (b"<!DOCTYPE html><title>Quota exceeded", r"is a web page"),
        (bytes(range(256)), r"is no text"),
        (b"image_id,Bald\n" + b"1 " * (1 << 20), r"line 2 of .* has 2 MB: no line of a table"),
        ("image_id,Bald\n".encode("utf-16")[2:], r"is no text"),
    ],
)
def test_a_malformed_csv_is_one_line_that_says_where(tmp_path, text, message):
    refused(tmp_path, "list_attr_celeba.csv", text, message)


def test_a_table_of_too_many_lines_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MAX_ROWS", 10)
    refused(tmp_path, "list_attr_celeba.csv", b"image_id,Bald" + b"\n" * 11, "has 12 lines, a table at most 10: name")


def test_a_file_beyond_all_tables_is_refused_unread(tmp_path):
    with open(tmp_path / "list_attr_celeba.csv", "wb") as file:
        file.truncate(1 << 31)  # one line of 2 GB, of which the disk holds nothing
    with pytest.raises(InputError, match="has 2,147 MB, a table at most 268: name the right file"):
        read_attribute_table(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list_attr_celeba.txt", "2\nBald Young\nmy face 1.jpg -1  1\n b,c;d.jpg  1 -1\n"),
        ("list_attr_celeba.txt", '2\nBald Young\n"my face 1.jpg" 0 1\nb,c;d.jpg 1 0\n'),
        ("list_attr_celeba.csv", 'image_id,Bald,Young\nmy face 1.jpg,-1,1\n"b,c;d.jpg",1,-1\n'),
        ("list_attr_celeba.csv", "image_id\tBald\tYoung\nmy face 1.jpg\t0\t1\nb,c;d.jpg\t1\t0\n"),
    ],
)
def test_names_with_blanks_and_separators_are_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    table = read_attribute_table(tmp_path)
    assert table.image_ids.tolist() == ["my face 1.jpg", "b,c;d.jpg"] and table.labels.tolist() == [[0, 1], [1, 0]]
    (tmp_path / name).unlink()
    write_tables(tmp_path, table, np.array([2, 0]))
    again = read_attribute_table(tmp_path)  # both forms, which must agree
    assert again.image_ids.tolist() == table.image_ids.tolist() and again.labels.tolist() == table.labels.tolist()
    assert read_partition(tmp_path, table.image_ids).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,Bald,Young\na.jpg,1,0\nb.jpg,0,0\n", None),
        ("image_id,Bald,Young\na.jpg,1,-1\nb.jpg,-1,1\n", r"differ in 1 labels \(first: image b.jpg, Young\): move"),
        ("image_id,Bald,Young\nb.jpg,0,0\na.jpg,1,0\n", "name other images, or in another order"),
        ("image_id,Bald,Young\na.jpg,1,0\n", "name other images, or in another order"),
        ("image_id,Bald,Male\na.jpg,1,0\nb.jpg,0,0\n", "name other attributes"),
    ],
)
def test_two_tables_are_taken_only_if_they_agree(tmp_path, text, message):
    (tmp_path / "list_attr_celeba.txt").write_text("2\nBald Young\na.jpg 1 -1\nb.jpg -1 -1\n")
    (tmp_path / "list_attr_celeba.csv").write_text(text)
    if message is None:
        assert read_attribute_table(tmp_path).labels.tolist() == [[1, 0], [0, 0]]
    else:
        with pytest.raises(InputError, match=f"list_attr_celeba.txt and .*list_attr_celeba.csv {message}"):
            read_attribute_table(tmp_path)


def refused(folder, name, text, message):
    (folder / name).write_bytes(text)
    with pytest.raises(InputError, match=message) as error:
        read_attribute_table(folder)
    assert str(error.value).isprintable() and "fetch" not in str(error.value)


words = st.text("ab.é0-", min_size=1, max_size=6)
blanks = st.sampled_from([" ", "  ", "\t", ",", ' , "'])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, blanks, st.sampled_from([-1, 0, 1, 2]), st.booleans()), max_size=30))
def test_rows_are_read_as_a_plain_parser_reads_them(rows):
    lines = [f"{word}{blank}{number}\n" + "\n" * empty for word, blank, number, empty in rows]
    names, numbers = parse_rows("table.txt", "".join(lines).encode(), 1, 2, (-1, 0, 1, 2))
    assert names.tolist() == [row[0] for row in rows]
    assert numbers[:, 0].tolist() == [row[2] for row in rows] and numbers.dtype == np.int8


@pytest.mark.parametrize("name", ["NA", "nan", "None", "1.0", "007", "1e5", "#a", "true", "\x0c"])
def test_a_name_is_text_whatever_it_looks_like(name):
    assert parse_rows("table.txt", f"{name} 1\n".encode(), 0, 2, (0, 1))[0].tolist() == [name]


def test_a_name_that_is_not_utf8_leads_to_its_file(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / "list_attr_celeba.txt").write_bytes(b"1\nBald\ncaf\xe9.jpg 1\n")
    table = read_attribute_table(tmp_path)
    assert table.image_ids.tolist() == [name] and os.fsencode(table.image_ids[0]) == b"caf\xe9.jpg"
    write_tables(tmp_path, table, np.zeros(1, np.int8))
    assert (tmp_path / "list_attr_celeba.txt").read_bytes() == b"1\nBald\ncaf\xe9.jpg  1\n"
    assert read_partition(tmp_path, table.image_ids).tolist() == [0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"a.jpg 1\n\n\r\n\xff\xfe 1 1 1 1 1", "line 5 of table.txt has 6 columns, expected 2"),
        (b"a.jpg 1\nb.jpg \xff", "line 3 of table.txt has '\ufffd' in column 2"),
        (b"a.jpg 1 1 1 1\nb.jpg 1", "line 2 of table.txt has 5 columns, expected 2"),
        (b"a.jpg,\nb.jpg,1", "line 2 of table.txt has 1 columns, expected 2"),
        (b"a.jpg +1", r"has '\+1' in column 2, expected one of 0, 1"),
        (b"a.jpg 1.0", "has '1.0' in column 2"),
        (b"a.jpg 300", "has '300' in column 2"),
    ],
)
def test_no_malformed_row_is_passed_over_and_nothing_else_is_printed(row, message, recwarn):
    with pytest.raises(InputError, match=message):
        parse_rows("table.txt", row, 1, 2, (0, 1))
    assert not recwarn.list


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot read .*: Is a directory|cannot read .*: Permission denied"):
        text.read_text(tmp_path)


def test_the_full_table_is_read_faster_than_a_plain_loop_reads_it(tmp_path):
    count = 202_599  # relative bound: a plain loop over lines, doing far less, is the yardstick
    ids = np.char.add(np.char.zfill(np.arange(1, count + 1).astype(str), 6), ".jpg")
    row = " ".join(["-1"] * 39 + [" 1"])
    (tmp_path / "list_attr_celeba.txt").write_text(
        f"{count}\n{' '.join(ATTRIBUTES)}\n" + "".join(f"{name} {row}\n" for name in ids.tolist())
    )
    start = time.perf_counter()
    table = read_attribute_table(tmp_path)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    with open(tmp_path / "list_attr_celeba.txt") as file:
        plain = [list(map(int, line.split()[1:])) for line in file if line.startswith(tuple("012"))]
    plain_seconds = time.perf_counter() - start
    assert table.labels.sum(0).tolist() == [0] * 39 + [count] and len(plain) >= count
    assert (table.image_ids == ids).all() and ours < plain_seconds


def test_partition_is_matched_by_name_and_read_in_both_forms(tmp_path):
    ids = np.array(["b.jpg", "a.jpg"])
    (tmp_path / "list_eval_partition.txt").write_text("a.jpg 0\nb.jpg 2\nc.jpg 1\n")
    assert read_partition(tmp_path, ids).tolist() == [2, 0]
    (tmp_path / "list_eval_partition.txt").rename(tmp_path / "old")
    (tmp_path / "list_eval_partition.csv").write_text("image_id,partition\na.jpg,0\nb.jpg,2\n")
    assert read_partition(tmp_path, ids).tolist() == [2, 0]
    with pytest.raises(InputError, match=r"1 of 3 images are not in .* \(first: z.jpg\)"):
        read_partition(tmp_path, np.array(["a.jpg", "z.jpg", "b.jpg"]))
    (tmp_path / "list_eval_partition.csv").write_bytes(b"\xef\xbb\xbfimage_id,partition\r\nb.jpg,1\r\na.jpg,0\r\n")
    assert read_partition(tmp_path, ids).tolist() == [1, 0]
    (tmp_path / "list_eval_partition.csv").write_text("image_id,partition\na.jpg,3\n")
    with pytest.raises(InputError, match="line 2 of .* expected one of 0, 1, 2"):
        read_partition(tmp_path, ids)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list_eval_partition.txt", b"\xef\xbb\xbfa.jpg 0\nb.jpg 2\n"),
        ("list_eval_partition.txt", "a.jpg 0\r\nb.jpg 2\r\n".encode("utf-16")),
        ("list_eval_partition.txt", b"image_id partition\na.jpg 0\nb.jpg 2\n"),
        ("list_eval_partition.txt", b"a.jpg,0\rb.jpg,2"),
        ("list_eval_partition.csv", b"a.jpg,0\nb.jpg,2\n"),  # without a head no row is lost
        ("list_eval_partition.csv", b"The parts\nimage_id;partition\na.jpg;0\nb.jpg;2.0\n"),
        ("list_eval_partition.csv", b'"image_id"\t"partition"\n"a.jpg"\t0\n"b.jpg"\t2\t\n'),
    ],
)
def test_every_common_form_of_the_partition_reads_the_same(tmp_path, name, text):
    (tmp_path / name).write_bytes(text)
    assert read_partition(tmp_path, np.array(["b.jpg", "a.jpg"])).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a.jpg\nb.jpg 2\n", "line 1 of .* has 1 columns, expected 2"),
        (b"a.jpg x\nb.jpg 2\n", "line 1 of .* has 'x' in column 2, expected one of 0, 1, 2: correct"),
        (b"a.jpg 1\nb.jpg nan\n", "line 2 of .* an empty cell \\(nan\\) in column 2"),
        (b"a.jpg 1\na.jpg 1\n", "names 1 images more than once"),
        (b"a.jpg 1\n../b.jpg 1\n", "names the image ../b.jpg"),
        (b"image_id partition\n", "has no rows"),
        (b"", "has no rows"),
    ],
)
def test_a_malformed_partition_is_one_line_that_says_where(tmp_path, text, message):
    (tmp_path / "list_eval_partition.txt").write_bytes(text)
    with pytest.raises(InputError, match=message):
        read_partition(tmp_path, np.array(["a.jpg", "b.jpg"]))


def test_two_partitions_are_taken_only_if_they_agree_on_the_images(tmp_path):
    (tmp_path / "list_eval_partition.txt").write_text("a.jpg 0\nb.jpg 2\n")
    (tmp_path / "list_eval_partition.csv").write_text("image_id,partition\nb.jpg,2\na.jpg,0\nc.jpg,1\n")
    assert read_partition(tmp_path, np.array(["a.jpg", "b.jpg"])).tolist() == [0, 2]
    (tmp_path / "list_eval_partition.csv").write_text("image_id,partition\na.jpg,0\nb.jpg,1\n")
    with pytest.raises(InputError, match=r"partition.txt and .*partition.csv differ in 1 images \(first: b.jpg\)"):
        read_partition(tmp_path, np.array(["a.jpg", "b.jpg"]))


def test_names_are_matched_in_either_form_of_unicode(tmp_path):
    composed, parted = "caf\u00e9.jpg", "cafe\u0301.jpg"
    (tmp_path / "list_eval_partition.txt").write_text(f"{parted} 2\nb.jpg 0\n")
    assert read_partition(tmp_path, np.array([composed, "b.jpg"])).tolist() == [2, 0]
    for name in (parted, "b.jpg"):
        (tmp_path / name).touch()
    assert find_images(tmp_path, np.array([composed, "b.jpg", "c.jpg"])).tolist() == [parted, "b.jpg", ""]
    with pytest.raises(InputError, match="2 rows of the table name the image .*: keep one row for each"):
        find_images(tmp_path, np.array([composed, "b.jpg", parted]))
    (tmp_path / composed).touch()  # a file of this very name comes first
    assert find_images(tmp_path, np.array([composed, parted])).tolist() == [composed, parted]


def test_names_that_are_missing_because_of_the_encoding_say_so(tmp_path):
    (tmp_path / "list_eval_partition.txt").write_bytes("m\u00fcde.jpg 0\n".encode("latin-1"))
    with pytest.raises(InputError, match="no UTF-8 perhaps"):
        read_partition(tmp_path, np.array(["m\u00fcde.jpg"]))
    assert "no UTF-8 perhaps" in missing_images_message(tmp_path, np.array(["m\udcfcde.jpg"]), np.array([False]))


def test_names_with_blanks_are_written_so_that_they_can_be_read(tmp_path):
    names = ("Hat & coat", 'A "B", C', "M\u00fcde")
    table = AttributeTable(np.array(["a 1.jpg", "b.jpg"]), names, np.array([[1, 0, 1], [0, 1, 1]], np.uint8))
    write_tables(tmp_path, table, np.array([0, 2]))
    again = read_attribute_table(tmp_path)
    assert again.names == names and again.image_ids.tolist() == ["a 1.jpg", "b.jpg"]
    assert again.labels.tolist() == table.labels.tolist()
    assert read_partition(tmp_path, again.image_ids).tolist() == [0, 2]
    assert not (tmp_path / "list_attr_celeba.txt").exists()
