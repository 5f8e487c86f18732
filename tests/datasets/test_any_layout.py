"""Folders in other layouts than CelebA's from table to pixels, and what a checkpoint keeps of how it was read."""

import importlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import STEP_1
from PIL import Image

from models import build_model
from utils.common.arguments import READING, recorded_flags
from utils.common.errors import InputError
from utils.common.normalisation import HALF
from utils.datasets.dataset import open_dataset
from utils.datasets.task import open_task, recorded_options
from utils.datasets.training_data import name_attributes, open_training_data
from utils.network.checkpoint import save_checkpoint
from utils.network.loading import LoadedNetwork
from utils.report.run_record import describe_network, original_checkpoint

SMALL = "mobilenet_v3_small"
ORANGE = (240, 120, 0)


def save_orange(path, kind):
    """A picture of one colour, in a kind of file that sets hold; what RGB it stands for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (30, 20), ORANGE)
    if kind == "16 bits":
        Image.fromarray(np.full((20, 30), 200 * 257, np.uint16)).save(path)
        return (200, 200, 200)
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    elif kind == "transparent":
        image.putalpha(0)  # the colour below is taken, as torchvision's readers do
        image.save(path)
    elif kind == "palette with a transparent colour":
        image.quantize(4).save(path, transparency=0)
    elif kind == "tall":
        image.resize((10, 70)).save(path)
    else:
        image.convert(kind).save(path, quality=95)
    grey = round(0.299 * 240 + 0.587 * 120)
    return (grey, grey, grey) if kind in ("L", "LA") else ORANGE


KINDS = {
    "RGB": "jpg",
    "L": "jpg",
    "LA": "png",
    "P": "png",
    "CMYK": "jpg",
    "16 bits": "png",
    "transparent": "png",
    "palette with a transparent colour": "png",
    "turned": "jpg",
    "tall": "webp",
}


@pytest.mark.parametrize("exact", [False, True])
def test_images_of_every_kind_and_size_become_squares_of_their_colour(tmp_path, exact):
    expected, rows = [], ["file,a"]
    for number, (kind, end) in enumerate(KINDS.items()):
        name = f"{number:02} {kind}.{end}"
        expected.append(save_orange(tmp_path / "x" / name, kind))
        rows.append(f"{name},{number % 2}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    options = {"img_size": 6, "split": "all", "cache_path": None, "exact_resize": exact}
    data = open_dataset(tmp_path, ["a"], **options)
    images, labels = next(data.batches(np.arange(len(expected)), 20, "cpu"))
    assert images.shape == (10, 3, 6, 6) and labels[:, 0].tolist() == [0, 1] * 5
    colours = (images.numpy() * 127.5 + 127.5).transpose(0, 2, 3, 1)
    assert np.abs(colours - np.array(expected)[:, None, None]).max() <= 6  # what JPEG and WebP round


def make_table(folder, rows, head="file,dog,cat"):
    for row in rows:
        save_orange(folder / row.split(",")[0], "RGB")
    (folder / "t.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def open_table(folder, names=("dog",), **options):
    return open_dataset(folder, names, **{"img_size": 4, "cache_path": None, **options})


UNKNOWN_LABELS = ["a.jpg,1,", "b.jpg,0,1", "c.jpg,,0", "d.jpg,1,0", "e.jpg,0,1"]


def test_rows_that_lack_a_chosen_label_are_an_error_or_left_out_everywhere(tmp_path):
    folder, notes = make_table(tmp_path, UNKNOWN_LABELS), []
    with pytest.raises(InputError, match=r"row 3 \(c.jpg\) of .* no label in column dog .*, and 0 more rows"):
        open_table(folder)
    data = open_table(folder, unknown_labels="skip", note=notes.append)
    assert notes == ["left out 1 of 5 table rows, which lack a label of dog"]
    assert data.image_ids.tolist() == ["a.jpg", "b.jpg", "d.jpg", "e.jpg"]
    assert data.labels.tolist() == [[1], [0], [1], [0]] and data.rows("train").tolist() == [0, 1, 2]
    both = open_table(folder, ("dog", "cat"), unknown_labels="skip", split="all")
    assert both.labels.tolist() == [[0, 1], [1, 0], [0, 1]]
    # an oracle that never sees dog is of the same rows as its original
    oracle = open_table(folder, ("cat",), unknown_labels="skip", split="all", also_known=("dog",))
    assert oracle.image_ids.tolist() == both.image_ids.tolist() and oracle.labels.tolist() == [[1], [0], [1]]
    # rows beyond the limit, and columns that are not asked for, need no label
    assert len(open_table(folder, ("cat",), limit=4, unknown_labels="skip", split="all")) == 3


def test_a_set_with_parts_of_its_own_is_not_mixed_unasked(tmp_path):
    parts = ["train", "test", "train", "val"]
    rows = [f"{n}.jpg,{n % 2},0,{part}" for n, part in enumerate(parts)]
    folder = make_table(tmp_path, rows, "file,dog,cat,split")
    data = open_table(folder)
    assert data.split == "official"
    assert [data.rows(part).tolist() for part in ("train", "valid", "test")] == [[0, 2], [3], [1]]
    assert open_table(folder, split="released").rows("test").tolist() == [3]
    make_table(tmp_path, [row.rpartition(",")[0] for row in rows])
    assert open_table(folder).split == "released"
    with pytest.raises(InputError, match="has no split of its own: pass --split released"):
        open_table(folder, split="official")


def test_all_stands_for_every_name_of_the_set(tmp_path):
    folder = make_table(tmp_path, ["a.jpg,1,0"])
    flags = {"data_path": folder, "layout": None, "table": "t.csv", "seed": 0}
    assert name_attributes(task_labels=["all"], **flags) == ["dog", "cat"]
    assert name_attributes(task_labels=["cat"], **flags) == ["cat"]


def test_step_1_records_how_it_read_the_folder_and_the_later_steps_need_its_path_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{n}.jpg,{'dog' if n % 2 else 'dog|cat'},{'test' if n > 7 else 'train'},{n}.jpg" for n in range(10)]
    folder = make_table(tmp_path / "set", rows, "file,tags,split,copy")
    (folder / "other.csv").write_text("beside it")
    rows[0] = rows[0].replace("dog|cat", "")
    (folder / "t.csv").write_text("\n".join(["file,tags,split,copy", *rows]))
    reading = ["--table", "t.csv", "--image_column", "file", "--names_column", "tags"]
    parser = importlib.import_module(STEP_1).get_args_parser()
    flags = vars(parser.parse_args(["--task", "all", "--data_path", str(folder), "--model", SMALL, *reading]))
    heads = name_attributes(**flags)
    made = original_checkpoint(
        build_model(SMALL, heads), 1, "original", open_training_data(heads, **flags), flags, {"pretrained": None}
    )
    save_checkpoint(tmp_path / "checkpoints" / "all" / "original.pth", made)
    task = open_task(task_labels=["all"], target_class=["dog"], data_path=folder, device="cpu")
    assert task.run == "all" and task.network.attributes == ("cat", "dog") and task.kept == ["cat"]
    data = task.open_data()
    assert data.split == task.data_options["split"] == "official" and len(data.rows("train")) == 8
    assert data.labels[:3].tolist() == [[0, 0], [0, 1], [1, 1]]


def loaded(file_heads=(), **arguments):
    return SimpleNamespace(arguments=arguments, img_size=4, normalisation=HALF, file_heads=file_heads)


def test_what_was_recorded_of_the_reading_serves_unless_another_is_named():
    made = {"split": "official", "table": "t.csv", "names_column": "tags", "seed": 0}
    network = loaded(**recorded_flags(made | {"layout": None}))
    assert "layout" not in network.arguments
    options = recorded_options(network, "d", None, None, None, layout=None, table=None)
    assert {"split": "official", "table": "t.csv", "names_column": "tags"}.items() <= options.items()
    assert "layout" not in options and "image_column" not in options
    assert recorded_options(network, "d", None, None, None, table="u.csv")["table"] == "u.csv"
    assert "table" not in recorded_options(network, "d", "all", None, None, layout="voc")


@pytest.mark.parametrize(
    ("layout", "kept"),
    [
        ("csv", {"layout": "csv", "table": "t.csv", "unknown_labels": "skip"}),
        ("voc", {"layout": "voc", "difficult": False, "unknown_labels": "skip"}),
        ("coco", {"layout": "coco", "unknown_labels": "skip"}),
    ],
)
def test_a_named_layout_takes_back_what_is_for_others_only(layout, kept):
    network = loaded(table="t.csv", difficult=False, unknown_labels="skip", layout="folders")
    options = recorded_options(network, "d", None, None, None, layout=layout)
    assert {flag: value for flag, value in options.items() if flag in READING} == kept


# the cut of a training on dog, cat and pig is after 3 of the 4 rows without h and e: a, b, c train, d tests
HALF_KNOWN = ["h.jpg,1,0,", "a.jpg,1,0,1", "b.jpg,0,1,0", "c.jpg,1,1,1", "d.jpg,0,0,0", "e.jpg,1,0,"]


@pytest.mark.parametrize(
    ("file_heads", "task_labels"),
    [
        (("dog", "cat", "pig"), ["dog", "cat", "pig"]),  # of the original some heads are picked
        (("dog", "cat"), ["dog", "cat", "pig"]),  # an oracle, or what was unlearned of picked heads
        (("dog", "cat"), ["all"]),
        (("dog", "cat", "pig"), ["dog", "all", "pig"]),  # a name among others
        (("dog", "cat", "pig"), ["dog", "cat", "pig", "of another set"]),
    ],
)
def test_picked_heads_are_tested_on_no_image_of_their_training(tmp_path, file_heads, task_labels):
    rows, head = HALF_KNOWN, "file,dog,cat,pig"
    if task_labels != ["all"]:  # then a column that no head is of does not matter
        rows, head = [f"{row},{'' if row < 'b' else 1}" for row in rows], f"{head},fur"
    folder = make_table(tmp_path, rows, head)
    network = loaded(file_heads, unknown_labels="skip", split="released", task_labels=task_labels)
    data = open_dataset(attributes=("dog", "cat"), **recorded_options(network, folder, None, None, None))
    assert [data.image_ids[data.rows(part)].tolist() for part in ("train", "test")] == [
        ["a.jpg", "b.jpg", "c.jpg"],
        ["d.jpg"],
    ]


@pytest.mark.parametrize(
    ("file_heads", "part", "noted"),
    [
        (("dog", "cat"), "same", False),
        (("cat", "dog"), "same", False),
        (("dog", "cat"), "0" * 16, True),
        (("dog", "cat", "pig"), "0" * 16, False),  # of labels that were not read
        (("dog", "cat"), None, False),
    ],
)
def test_other_training_images_are_told_where_their_labels_can_be_compared(tmp_path, file_heads, part, noted):
    data = open_table(make_table(tmp_path, HALF_KNOWN, "file,dog,cat,pig"), ("dog", "cat"))
    part = data.digest(file_heads) if part == "same" else part
    network = LoadedNetwork(None, SMALL, ("dog", "cat"), 4, "x.pth", "", arguments={"training_part": part})
    network = replace(network, file_heads=file_heads)
    assert ("note" in describe_network(network, data)) == noted
