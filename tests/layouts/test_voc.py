"""PASCAL VOC's layout, one year and several, and annotations as the wild has them."""

import pytest

from utils.common.errors import InputError
from utils.layouts.reading import read_folder, recognise
from utils.layouts.voc import MOST_XML, read_annotation

HEAD = "<annotation><filename>{}</filename>"


def annotate(year, stem, objects, file=None, image=True):
    """An annotation of (name, difficult) objects, and an empty file for its image."""
    file = file or f"{stem}.jpg"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (year / folder).mkdir(parents=True, exist_ok=True)
    found = "".join(
        f"<object><name>{name}</name><part><name>hand</name></part><difficult>{hard}</difficult></object>"
        for name, hard in objects
    )
    (year / f"Annotations/{stem}.xml").write_text(f"{HEAD.format(file)}{found}</annotation>")
    if image:
        (year / "JPEGImages" / file).touch()


def sets(year, **names):
    for part, stems in names.items():
        (year / f"ImageSets/Main/{part}.txt").write_text("".join(f"{stem}\r\n" for stem in stems))


def by_file(table):
    return dict(zip(table.files.tolist(), table.labels.tolist(), strict=True))


def test_an_image_has_the_names_of_its_objects_and_the_part_of_its_set(tmp_path):
    annotate(tmp_path, "1", [("dog", 0), ("dog", 1), ("traffic light", 0)])
    annotate(tmp_path, "2", [("cat", 1)])
    annotate(tmp_path, "3", [])
    annotate(tmp_path, "4", [("cat", 0)])
    sets(tmp_path, trainval=["1", "2"], train=["1"], val=["2"], test=["3", "not_there"])
    table = read_folder(tmp_path)
    assert table.layout == "voc" and table.names == ("cat", "dog", "traffic light")
    assert by_file(table) == {
        "JPEGImages/1.jpg": [0, 1, 1],
        "JPEGImages/2.jpg": [1, 0, 0],
        "JPEGImages/3.jpg": [0, 0, 0],
        "JPEGImages/4.jpg": [1, 0, 0],
    }
    notes, rows = [], None
    rows = table.split_rows(table.own_split, notes.append)
    assert {part: table.files[found].tolist() for part, found in rows.items()} == {
        "train": ["JPEGImages/1.jpg"],
        "valid": ["JPEGImages/2.jpg"],
        "test": ["JPEGImages/3.jpg"],
    }
    assert "left out 1 of 4" in notes[0]
    easy = read_folder(tmp_path, difficult=False)
    assert by_file(easy)["JPEGImages/2.jpg"] == [0, 0, 0] and by_file(easy)["JPEGImages/1.jpg"] == [0, 1, 1]


@pytest.mark.parametrize("base", ["", "VOCdevkit"])
def test_several_years_are_one_table(tmp_path, base):
    for year, stem in (("VOC2007", "1"), ("VOC2012", "2008_1")):
        annotate(tmp_path / base / year, stem, [("dog", 0)])
        sets(tmp_path / base / year, trainval=[stem])
    table = read_folder(tmp_path)
    base = f"{base}/" if base else ""
    assert sorted(table.files) == [f"{base}VOC2007/JPEGImages/1.jpg", f"{base}VOC2012/JPEGImages/2008_1.jpg"]
    assert table.parts.tolist() == [0, 0] and recognise(tmp_path) == "voc"


def test_without_sets_there_is_no_split_of_its_own(tmp_path):
    annotate(tmp_path, "1", [("dog", 0)])
    assert read_folder(tmp_path).own_split == "released"


@pytest.mark.parametrize(
    ("stem", "file", "lies_at"),
    [
        ("1", "1.JPG", "1.JPG"),  # an upper-case ending
        ("1", "other name.png", "other name.png"),  # the annotation says it itself
        ("a b, c", "a b, c.jpg", "a b, c.jpg"),
        ("1", "folder\\1.jpg", "1.jpg"),
    ],
)
def test_the_image_of_an_annotation_is_found(tmp_path, stem, file, lies_at):
    annotate(tmp_path, stem, [("dog", 0)], file, image=False)
    (tmp_path / "JPEGImages" / lies_at).touch()
    assert read_folder(tmp_path).files.tolist() == [f"JPEGImages/{lies_at}"]


@pytest.mark.parametrize("end", ["jpg", "png", "JPG"])
def test_a_stale_name_in_an_annotation_does_not_bring_the_labels_to_another_image(tmp_path, end):
    annotate(tmp_path, "1", [("dog", 0)], f"1.{end}")
    annotate(tmp_path, "2", [("cat", 0)], f"1.{end}")  # a copy that was renamed
    (tmp_path / f"JPEGImages/2.{end}").touch()
    assert by_file(read_folder(tmp_path)) == {f"JPEGImages/1.{end}": [0, 1], f"JPEGImages/2.{end}": [1, 0]}


def test_an_image_of_two_annotations_and_an_annotation_of_two_images_are_refused(tmp_path):
    annotate(tmp_path, "1", [("dog", 0)])
    annotate(tmp_path, "2", [("cat", 0)], "1.jpg")
    with pytest.raises(InputError, match=r"Annotations/1.xml and .*Annotations/2.xml are both of JPEGImages/1.jpg: "):
        read_folder(tmp_path)
    for end in ("png", "gif"):
        (tmp_path / f"JPEGImages/2.{end}").touch()
    with pytest.raises(InputError, match=r"2.xml may be of JPEGImages/2.gif or JPEGImages/2.png: take one away"):
        read_folder(tmp_path)
    annotate(tmp_path, "2", [("cat", 0)], "2.png")
    assert by_file(read_folder(tmp_path)) == {"JPEGImages/1.jpg": [0, 1], "JPEGImages/2.png": [1, 0]}


def test_an_annotation_without_an_image_and_an_image_without_one_are_told_apart(tmp_path):
    annotate(tmp_path, "1", [("dog", 0)], image=False)
    annotate(tmp_path, "2", [("dog", 0)])
    (tmp_path / "JPEGImages/3.jpg").touch()
    table = read_folder(tmp_path)
    assert sorted(table.files.tolist()) == ["", "JPEGImages/2.jpg"]
    assert sorted(table.image_ids.tolist()) == ["JPEGImages/1.jpg", "JPEGImages/2.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_annotation_is_read_in_every_encoding(tmp_path, encoding):
    text = f"{HEAD.format('ü.jpg')}\r\n<object>\r\n<name> caf\u00e9 </name></object></annotation>\r\n"
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    assert read_annotation(tmp_path / "a.xml") == ("ü.jpg", [("caf\u00e9", False)])


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><annotation><filename>&b;</filename></annotation>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no XML"),
        (b"<annotation><object>", "is no XML"),
        (b"\x89PNG\r\n", "is no XML"),
        (b"<annotation><object><name> </name></object></annotation>", "an object without a name"),
        (BOMB.encode(), "an entity or a document type .*, which no annotation needs"),
        (OUTSIDE.encode(), "an entity or a document type"),
        (b"<annotation><filename>../../x.jpg</filename></annotation>", "names the image ../../x.jpg: write its path"),
        (b"<annotation><filename>/etc/x.jpg</filename></annotation>", "names the image /etc/x.jpg"),
        (b" " * (MOST_XML + 1), "has 17 MB, an annotation at most 17"),
        (b"<a>" * 100_000, "is no XML"),
    ],
)
def test_what_is_no_annotation_is_one_line(tmp_path, text, message):
    (tmp_path / "a.xml").write_bytes(text)
    with pytest.raises(InputError, match=message) as error:
        read_annotation(tmp_path / "a.xml")
    assert str(error.value).isprintable() and "root:" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"train": ["1"], "test": ["1"]}, r"test.txt has 1, which train.txt has, too: leave it in one"),
        ({"trainval": ["1"], "test": ["1"]}, r"test.txt has 1, which trainval.txt has, too"),
        ({"train": ["1"], "val": ["1"]}, r"val.txt has 1, which train.txt has, too"),
    ],
)
def test_an_image_in_two_parts_is_refused(tmp_path, names, message):
    annotate(tmp_path, "1", [("dog", 0)])
    sets(tmp_path, **names)
    with pytest.raises(InputError, match=message):
        read_folder(tmp_path)


def test_annotations_without_objects_name_nothing(tmp_path):
    annotate(tmp_path, "1", [])
    with pytest.raises(InputError, match="name no object"):
        read_folder(tmp_path)
    with pytest.raises(InputError, match=r"has no Annotations/ of .xml files"):
        read_folder(tmp_path / "JPEGImages", layout="voc")
