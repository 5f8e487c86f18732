"""Whatever stands in tables, annotations and sets of instances is read or refused in one line."""

import json

import numpy as np
import pytest
from fuzz_rules import ends_in_one_line, fuzz
from hypothesis import given
from hypothesis import strategies as st

from utils.layouts.attribute_table import UNKNOWN, AttributeTable
from utils.layouts.reading import read_folder

TABLE = b'\xef\xbb\xbffile,dog,"a cat",tags,split\r\na.jpg,1,no,x|y,train\r\n"sub\\b.jpg",0,yes,,test\r\n'
XML = b'<?xml version="1.0"?>\n<annotation><filename>a.jpg</filename><object><name>dog</name></object></annotation>'
JSON = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "sub/b.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 3, "segmentation": [[1.5, 2]]}],
        "categories": [{"id": 3, "name": "dog"}, {"id": 4, "name": "cat"}],
    }
).encode()
LAYOUTS = {
    "csv": ("t.csv", TABLE, {"names_column": "tags"}),
    "voc": ("Annotations/a.xml", XML, {}),
    "coco": ("annotations/instances_val.json", JSON, {}),
}

pieces = [b"\0", b"\n", b'"', b",", b"\xff", b"..", b"/", b"\x1b[2J", b"<", b"&a;", b"]", b"{}", b"null", b"9" * 400]
edits = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(pieces), st.booleans()), max_size=4)
cuts = st.one_of(st.just(1.0), st.floats(0, 1))


def changed(data, edits, cut):
    """`data` with some pieces put in, or put over what stands there, and cut off at a share of its length."""
    for share, piece, over in edits:
        place = int(share * len(data))
        data = data[:place] + piece + data[place + len(piece) * over :]
    return data[: int(cut * len(data))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for layout, (file, text, _) in LAYOUTS.items():
        made[layout] = tmp_path_factory.mktemp(layout)
        for name in (file, "a.jpg", "sub/b.jpg", "JPEGImages/a.jpg"):
            (made[layout] / name).parent.mkdir(parents=True, exist_ok=True)
            (made[layout] / name).write_bytes(text if name == file else b"")
    return made


@fuzz(0.1)
@given(layout=st.sampled_from(list(LAYOUTS)), edits=edits, cut=cuts)
def test_a_damaged_file_of_any_layout_is_read_or_refused(folders, layout, edits, cut):
    file, text, options = LAYOUTS[layout]
    (folders[layout] / file).write_bytes(changed(text, edits, cut))
    table = ends_in_one_line(lambda: read_folder(folders[layout], layout=layout, **options))
    if isinstance(table, AttributeTable):
        assert len(table.image_ids) and set(np.unique(table.labels)) <= {0, 1, UNKNOWN}
        assert {*table.files.tolist()} <= {"", "a.jpg", "sub/b.jpg", "JPEGImages/a.jpg"}
        assert not any(".." in name.split("/") or name.startswith("/") for name in table.image_ids.tolist())
