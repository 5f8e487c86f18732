"""The generated data set: what its labels promise, what its files look like, what it refuses."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from data.contact_sheet import draw_contact_sheet
from data.make_synthetic_celeba import main, make_dataset
from data.synthetic.faces.attributes import (
    ATTRIBUTES,
    MODEL,
    draw_labels,
)
from data.synthetic.flags import parse_shares
from utils.common.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "data" / "make_synthetic_celeba.py"


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("made") / "small", 40, seed=3, progress=False)


def test_the_number_of_workers_changes_no_byte(small_set, tmp_path):
    twice = make_dataset(tmp_path / "twice", 40, seed=3, workers=2, progress=False)
    assert files_of(twice) == files_of(small_set)


def test_another_seed_draws_other_pictures_and_labels(small_set, tmp_path):
    other, first = files_of(make_dataset(tmp_path / "other", 40, seed=4, progress=False)), files_of(small_set)
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first if name.endswith(".jpg"))
    assert other["list_attr_celeba.txt"] != first["list_attr_celeba.txt"]


def test_a_face_does_not_depend_on_how_many_are_drawn(small_set, tmp_path):
    fewer = make_dataset(tmp_path / "fewer", 5, seed=3, progress=False)
    for number in range(1, 6):
        name = f"img_align_celeba/{number:06d}.jpg"
        assert (fewer / name).read_bytes() == (small_set / name).read_bytes()


def test_pictures_have_the_size_of_celeba(small_set):
    paths = sorted((small_set / "img_align_celeba").iterdir())
    assert [path.name for path in paths] == [f"{number:06d}.jpg" for number in range(1, 41)]
    with Image.open(paths[0]) as image:
        assert (image.size, image.mode, image.format) == ((178, 218), "RGB", "JPEG")


def test_both_attribute_tables_hold_the_same_labels(small_set):
    text = (small_set / "list_attr_celeba.txt").read_text().split("\n")
    assert text[0] == "40" and tuple(text[1].split()) == ATTRIBUTES and text[-1] == ""
    table = [line.split(",") for line in (small_set / "list_attr_celeba.csv").read_text().splitlines()]
    assert table[0] == ["image_id", *ATTRIBUTES]
    assert [line.split() for line in text[2:-1]] == table[1:]
    assert all(len(row) == 41 and set(row[1:]) <= {"-1", "1"} for row in table[1:])
    expected = draw_labels(40, seed=3).astype(int) * 2 - 1
    assert [list(map(int, row[1:])) for row in table[1:]] == expected.tolist()


def test_the_partition_runs_in_file_order_in_celebas_shares(small_set):
    rows = [line.split() for line in (small_set / "list_eval_partition.txt").read_text().splitlines()]
    # 40 x 162,770 / 202,599 = 32.1 train, up to 40 x 182,637 / 202,599 = 36.06 valid, the rest test
    assert [int(part) for _, part in rows] == [0] * 32 + [1] * 4 + [2] * 4
    table = (small_set / "list_eval_partition.csv").read_text().splitlines()
    assert table == ["image_id,partition", *(",".join(row) for row in rows)]


def test_the_contact_sheet_is_the_same_each_time_and_small_enough(small_set, tmp_path):
    first = draw_contact_sheet(small_set, tmp_path / "a.png").read_bytes()
    assert first == draw_contact_sheet(small_set, tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert 1100 < image.width < 1300
    assert len(first) < 600_000
    with pytest.raises(InputError, match=r"expected a name that ends in \.png"):
        draw_contact_sheet(small_set, tmp_path / "a.gif")
    with pytest.raises(InputError, match=r"no .*list_attr_celeba\.csv"):
        draw_contact_sheet(tmp_path, tmp_path / "c.png")


def test_the_contact_sheet_takes_a_table_of_ones_own(tmp_path):
    (tmp_path / "img_align_celeba").mkdir()
    for name in ("a 1.png", "b.jpg"):
        Image.new("RGB", (20, 30)).save(tmp_path / "img_align_celeba" / name)
    table = tmp_path / "list_attr_celeba.csv"
    text = "image_id,Hat & coat,Averyveryverylongname\na 1.png,1,0\nb.jpg,0,1\n"
    table.write_text(text, encoding="utf-8-sig")
    assert draw_contact_sheet(tmp_path, tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "no or doubled attribute names"),
        ("image_id,Bald\n", "has no rows"),
        ("image_id,Bald\n1.png,x\n", "has 'x' in column 2"),
        ("image_id,Bald\n../../outside.png,1\n", "write the name of a file in img_align_celeba/, no path"),
        ("image_id,Bald\n2.png,1\n", "unreadable image .*2.png"),
        ("image_id,Bald\n1.eps,1\n", "unreadable image .*1.eps .none of JPEG"),
        ("image_id,Bald\u200b\n1.png,1\n", "rename the column"),
        ("image_id,Bald\n1.png,1\n", None),
    ],
)
def test_a_contact_sheet_of_any_folder_is_drawn_or_refused_in_a_line(table, said, tmp_path):
    images = tmp_path / "img_align_celeba"
    images.mkdir()
    Image.new("RGB", (60, 80)).save(images / "1.png")
    (images / "1.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    (tmp_path / "list_attr_celeba.csv").write_text(table, "utf-8")
    if said is None:
        assert draw_contact_sheet(tmp_path, tmp_path / "a.png").is_file()
        return
    with pytest.raises(InputError, match=said) as raised:
        draw_contact_sheet(tmp_path, tmp_path / "a.png")
    assert "\n" not in str(raised.value) and not (tmp_path / "a.png").exists()


def test_the_readme_has_a_row_with_the_base_rate_for_every_attribute():
    rows = re.findall(
        r"^\| (\w+) \| .+ \| ([\d.]+) \|$", (ROOT / "data" / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert rows == [(name, f"{rate:.3f}") for name, (rate, _) in MODEL.items()]


# ---- folders and bad input


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"num_images": 0}, "num_images 0: expected a whole number, at least 1"),
        ({"num_images": 10**12}, r"num_images is 1e\+12: expected at most 1,000,000"),
        ({"seed": -1}, "seed -1"),
        ({"workers": 10**6}, r"workers is 1e\+06: expected at most 1,024"),
        ({"workers": 0}, "workers 0"),
        ({"correlation": 1.5}, r"correlation 1\.5: expected a number from 0"),
        ({"correlation": float("nan")}, "correlation nan"),
        ({"rates": {"Blad": 0.2}}, "'Blad'.*did you mean Bald"),
        ({"rates": {"Bald": 0.0}}, r"rate Bald=0\.0: expected a share"),
        ({"rates": {"Bald": 1.0}}, r"rate Bald=1\.0"),
        ({"rates": {"Bald": 0.6, "Black_Hair": 0.6}}, r"Black_Hair=0\.6 cannot hold beside Bald=0\.6"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_written(tmp_path, arguments, text):
    with pytest.raises(InputError, match=text):
        make_dataset(tmp_path / "never", **{"num_images": 4, "progress": False, **arguments})
    assert not any(tmp_path.iterdir())


def test_a_folder_with_other_things_is_never_touched(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"mine")
    for force in (False, True):
        with pytest.raises(InputError, match="is no generated set, so it is left alone"):
            make_dataset(tmp_path / "photos", 2, progress=False, force=force)
    assert files_of(tmp_path) == {"photos/mine.jpg": b"mine"}


@pytest.mark.parametrize("record", [b"[" * 100_000, b"\xff", b'{"script": 1}', None])
def test_a_record_that_is_none_makes_no_generated_set(tmp_path, record):
    folder = tmp_path / "set"
    folder.mkdir()
    os.mkfifo(folder / "made_by.json") if record is None else (folder / "made_by.json").write_bytes(record)
    with pytest.raises(InputError, match="is no generated set, so it is left alone"):
        make_dataset(folder, 2, progress=False, force=True)


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot write .*set: Not a directory: choose another --out"):
        make_dataset(tmp_path / "file" / "set", 2, progress=False)


def test_an_equal_set_is_used_again_and_another_one_only_replaced_by_force(tmp_path):
    said = []
    out = make_dataset(tmp_path / "set", 2, progress=False, note=said.append)
    before = (out / "made_by.json").stat().st_mtime_ns
    make_dataset(out, 2, progress=False, workers=2, note=said.append)
    assert (out / "made_by.json").stat().st_mtime_ns == before and len(said) == 1 and "used again" in said[0]
    with pytest.raises(InputError, match="holds another generated set: choose another --out, or --force"):
        make_dataset(out, 3, progress=False)
    make_dataset(out, 3, progress=False, force=True)
    assert json.loads((out / "made_by.json").read_text())["num_images"] == 3
    assert len(list((out / "img_align_celeba").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_run_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("data.make_synthetic_celeba.draw_face", fail)
    with pytest.raises(KeyboardInterrupt):
        make_dataset(tmp_path / "set", 2, progress=False)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--rate", "Smilling=0.2"], "did you mean Smiling"),
        (["--rate", "Bald"], "expected NAME=SHARE"),
        (["--rate", "Bald=0.2", "--rate", "Bald=0.3"], "given twice"),
        (["--num_images", "many"], "num_images"),
        (["--correlation", "-1"], "correlation -1.0"),
        (["--num_images", "9" * 5000], "num_images"),
        (["--out", ""], "expected a path"),
        (["--contact_sheet", "sheet.gif"], "expected a name that ends in .png"),
        (["--contact_sheet", ""], ""),
    ],
)
def test_the_command_line_says_one_line_and_ends_with_2(tmp_path, capsys, flags, text):
    assert main(["--out", str(tmp_path / "never"), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and text in error
    assert not any(tmp_path.iterdir())


def test_the_script_runs_from_the_repository_root_without_torch(tmp_path):
    out = tmp_path / os.fsdecode(b"caf\xe9")  # a name that is no UTF-8
    flags = ["--out", out, "--num_images", "3", "--workers", "2", "--rate", "Bald=0.5"]
    flags += ["--contact_sheet", str(tmp_path / "sheet.jpg")]
    code = (
        "import runpy, sys; sys.modules['torch'] = None; sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, str(SCRIPT.relative_to(ROOT)), *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and (out / "img_align_celeba/000003.jpg").is_file()
    assert "3 faces, 40 attributes" in done.stdout and (tmp_path / "sheet.jpg").is_file()


def test_rates_are_read_from_the_command_line():
    assert parse_shares("--rate", ["Bald=0.2", "Smiling=.4"], "Bald=0.2") == {"Bald": 0.2, "Smiling": 0.4}


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    no_space = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: (_ for _ in ()).throw(no_space))
    assert main(["--out", str(tmp_path / "set"), "--num_images", "2", "--workers", "1"]) == 2
    assert capsys.readouterr().err.endswith("set: No space left on device: choose another --out\n")
    assert not any(tmp_path.iterdir())


def test_a_sheet_that_cannot_be_written_leaves_no_half_one(small_set, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--contact_sheet: can.t write .*a.png: .* a file where a folder must be"):
        draw_contact_sheet(small_set, tmp_path / "file" / "a.png")


def test_a_contact_sheet_is_looked_at_before_anything_is_drawn(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for sheet in (tmp_path / "file" / "a.png", tmp_path / "set" / "img_align_celeba" / "000001.jpg"):
        assert main(["--out", str(tmp_path / "set"), "--num_images", "2", "--contact_sheet", str(sheet)]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: --contact_sheet") and said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
