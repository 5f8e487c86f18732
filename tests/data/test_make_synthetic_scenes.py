"""The drawn scenes on disk: VOC's layout, the same bytes whoever draws, what is refused."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from data.contact_sheet import draw_contact_sheet
from data.make_synthetic_scenes import main, make_dataset, parse_together
from data.synthetic.scenes.kinds import KINDS, draw_labels
from data.synthetic.scenes.scene import Box
from data.synthetic.scenes.voc import state_kinds
from utils.common.errors import InputError

COUNT = 20


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("made") / "small", COUNT, seed=2, progress=False)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def names_in(folder, part):
    return (folder / f"VOC2007/ImageSets/Main/{part}.txt").read_text().split("\n")[:-1]


def test_the_number_of_workers_changes_no_byte_and_the_seed_every_picture(small_set, tmp_path):
    thrice = make_dataset(tmp_path / "thrice", COUNT, seed=2, workers=3, progress=False)
    assert files_of(thrice) == files_of(small_set)
    other = files_of(make_dataset(tmp_path / "other", 3, seed=1, progress=False))
    assert all(files_of(small_set)[name] != text for name, text in other.items() if name.endswith(".jpg"))


def test_a_scene_does_not_hang_on_how_many_are_drawn(small_set, tmp_path):
    fewer, all_files = files_of(make_dataset(tmp_path / "fewer", 3, seed=2, progress=False)), files_of(small_set)
    assert all(all_files[name] == text for name, text in fewer.items() if name.endswith((".jpg", ".xml")))


def test_parts_are_disjoint_and_complete_in_file_order(small_set):
    train, val, test = (names_in(small_set, part) for part in ("train", "val", "test"))
    every = [f"{number:06d}" for number in range(1, COUNT + 1)]
    assert (len(train), len(val), len(test)) == (14, 2, 4)
    assert train + val + test == every and names_in(small_set, "trainval") == train + val
    assert sorted(path.stem for path in (small_set / "VOC2007/JPEGImages").iterdir()) == every
    assert sorted(path.stem for path in (small_set / "VOC2007/Annotations").iterdir()) == every


def test_annotations_lists_and_labels_say_the_same(small_set):
    lists = {kind: dict(line.split() for part in ("trainval", "test") for line in names_in(small_set, f"{kind}_{part}"))
             for kind in KINDS}  # fmt: skip
    for number, labels in enumerate(draw_labels(COUNT, seed=2), 1):
        root = ElementTree.parse(small_set / f"VOC2007/Annotations/{number:06d}.xml").getroot()
        assert root.findtext("filename") == f"{number:06d}.jpg"
        with Image.open(small_set / f"VOC2007/JPEGImages/{number:06d}.jpg") as image:
            assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["160", "120", "3"]
            assert (image.size, image.mode, image.format) == ((160, 120), "RGB", "JPEG")
        states = dict.fromkeys(KINDS, -1)
        for item in root.iter("object"):
            kind, difficult = item.findtext("name"), int(item.findtext("difficult"))
            states[kind] = max(states[kind], 1 - difficult)
            sides = ("xmin", "ymin", "xmax", "ymax")
            left, top, right, bottom = (int(item.findtext(f"bndbox/{side}")) for side in sides)
            assert 1 <= left <= right <= 160 and 1 <= top <= bottom <= 120
        assert {kind: int(lists[kind][f"{number:06d}"]) for kind in KINDS} == states
        assert [state >= 0 for state in states.values()] == labels.astype(bool).tolist()


def test_a_kind_of_which_only_difficult_ones_are_there_is_0_in_the_lists():
    seen = (("cat", True), ("dog", True), ("dog", False))
    states = state_kinds([Box(kind, (0, 0, 1, 1), False, False, difficult) for kind, difficult in seen])
    assert dict(zip(KINDS, states.tolist(), strict=True)) == {**dict.fromkeys(KINDS, -1), "cat": 0, "dog": 1}


def test_the_contact_sheet_shows_the_kinds_of_the_lists(small_set, tmp_path):
    sheet = draw_contact_sheet(small_set, tmp_path / "a.jpg")
    with Image.open(sheet) as image:
        # five lines of 73 pixels in two columns of 120 + 5 * 96 + 8, with 8 above and below
        assert image.size == (2 * 608, 5 * 73 + 16)
    assert draw_contact_sheet(small_set / "VOC2007", tmp_path / "b.jpg").read_bytes() == sheet.read_bytes()


def test_an_equal_set_is_used_again_and_a_set_of_another_script_is_never_replaced(small_set, tmp_path):
    said = []
    assert make_dataset(small_set, COUNT, seed=2, workers=2, note=said.append) == small_set
    assert len(said) == 1 and "used again" in said[0]
    with pytest.raises(InputError, match="holds another generated set"):
        make_dataset(small_set, COUNT, seed=2, rates={"dog": 0.3})
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "made_by.json").write_text('{"script": "make_synthetic_celeba.py"}')
    with pytest.raises(InputError, match="is no generated set, so it is left alone"):
        make_dataset(tmp_path / "faces", 2, progress=False, force=True)


def test_a_run_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("data.make_synthetic_scenes.draw_scene", fail)
    assert main(["--out", str(tmp_path / "set"), "--num_images", "2", "--workers", "1"]) == 130
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--rate", "persn=0.2"], "no kind 'persn': did you mean person?"),
        (["--rate", "dog"], "--rate dog: expected NAME=SHARE, as in person=0.4"),
        (["--together", "person=dog"], "--together person=dog: expected NAME:SHARE, as in person=dog:0.6"),
        (["--together", "person:0.5"], "--together person:0.5: expected KIND=KIND:SHARE"),
        (["--together", "person=dog:0.9"], "it lies from 0 to 0.714"),
        (["--together", "person=dog:0.5", "--together", "person=dog:0.6"], "person=dog is given twice"),
        (["--num_images", "0"], "num_images 0: expected a whole number, at least 1"),
        (["--contact_sheet", "sheet.gif"], "expected a name that ends in .png"),
    ],
)
def test_the_command_line_says_one_line_and_ends_with_2(tmp_path, capsys, flags, text):
    assert main(["--out", str(tmp_path / "never"), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and text in error
    assert not any(tmp_path.iterdir())


def test_flags_reach_the_set_and_its_record(tmp_path, capsys):
    flags = ["--rate", "dog=0.9", "--together", "dog=cat:0.2", "--num_images", "12", "--workers", "1"]
    assert main(["--out", str(tmp_path / "set"), *flags]) == 0
    assert "12 scenes, 10 kinds" in capsys.readouterr().out
    record = re.sub(r"\s", "", (tmp_path / "set/made_by.json").read_text())
    assert '"rates":{"dog":0.9},"together":{"dog=cat:0.2"' not in record and '"together":{"dog=cat":0.2}' in record
    expected = draw_labels(12, 0, {"dog": 0.9}, parse_together(["dog=cat:0.2"]))[:, KINDS.index("dog")]
    lines = [names_in(tmp_path / "set", f"dog_{part}") for part in ("trainval", "test")]
    assert np.array_equal([not line.endswith("-1") for part in lines for line in part], expected.astype(bool))
