"""Attribute table and partition in every form in which people have them, and what is said of a malformed one."""

import os
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.common.errors import InputError
from utils.datasets.layouts import ATTRIBUTES, read_attribute_table, read_partition, write_tables
from utils.datasets.tables import parse_rows, read_lines


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
    ],
)
def test_every_common_form_of_the_table_reads_the_same(tmp_path, name, text):
    (tmp_path / "celeba").mkdir()
    (tmp_path / name).write_bytes(text.encode())
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
        ("2\nBald Young\na.jpg 1 1\na.jpg 1 1\n", r"names 1 images more than once \(first: a.jpg\)"),
        ("0\nBald Young\n", r"has no rows"),
        ("3\nBald Young\na.jpg 1 -1\nb.jpg 0 0\nc.jpg 0 1\n", r"column Young .* mixes -1 and 0"),
        ("1\nBald Bald\na.jpg 1 1\n", r"no or doubled attribute names in line 2"),
        ("", r"line 1 of .* expected the number of images"),
    ],
)
def test_a_malformed_table_is_one_line_that_says_where(tmp_path, text, message):
    (tmp_path / "list_attr_celeba.txt").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_attribute_table(tmp_path)
    assert "\n" not in str(error.value)


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
        read_lines(tmp_path, 1)


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
