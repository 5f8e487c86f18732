"""What the inspector prints of a folder: counts by hand, and commands that step 1 takes."""

import shlex

import numpy as np
import pytest

from data import inspect_folder as look
from unlearning_multi_celeba_resnet18_original import get_args_parser
from utils.layouts.attribute_table import UNKNOWN, AttributeTable


def make_table(labels, names, files=None, **options):
    ids = np.array([f"{n}.jpg" for n in range(len(labels))])
    return AttributeTable(ids, names, np.array(labels, np.uint8), files=ids if files is None else files, **options)


LABELS = [[1, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, UNKNOWN]]


def test_rates_are_those_of_known_labels_and_pairs_those_that_go_together():
    table = make_table(LABELS, ("a", "b", "c"))
    lines = look.describe_names(table, {"train": np.arange(3), "test": np.array([3])}, 2)
    assert lines[0] == "names    3" and lines[2].split() == ["a", "50.0", "%", "66.7", "%", "0.0", "%", "0"]
    assert lines[-1] == "  … and 1 more, all rarer (--most 3 lists them)"
    pairs = look.describe_pairs(table)
    assert pairs[:2] == ["pairs    3 with a correlation above 0.5, or below -0.5", "  +1.00  a and b"]
    assert pairs[2].startswith("  -0.58  a and c")  # c is (0, 1, 0, 0): -0.5 / (sqrt(1) * sqrt(3/4))


def test_a_thousand_names_are_cut():
    table = make_table(np.eye(1000)[:20], tuple(f"n{k}" for k in range(1000)))
    lines = look.describe_names(table, {"train": np.arange(20)}, 50)
    assert len(lines) == 53 and "950 more" in lines[-1]
    labels = np.repeat(np.arange(20)[:, None] % 2, 1000, 1)
    assert len(look.describe_pairs(make_table(labels, table.names))) == 2 + look.MOST_PAIRS


@pytest.mark.parametrize(
    ("labels", "files", "words"),
    [
        ([[1, 0], [0, 1], [1, 0], [0, 1]], None, []),
        ([[1, 0], [0, 1], [1, 0], [0, 1], [1, UNKNOWN]], None, ["--unknown_labels", "skip"]),
        ([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]], np.array(["0", "1", "2", "3", ""]), ["--allow_missing"]),
    ],
)
def test_the_commands_are_taken_by_step_1(labels, files, words):
    table = make_table(labels, ("traffic light", "b"), files, parts=np.array([0, 0, 2, 2, 2])[: len(labels)])
    lines = look.commands(table, "official", "my data", {"table": "a b.csv"})
    assert len(lines) == 4 and all(line.startswith("python unlearning_multi") for line in lines[1:])
    given = shlex.split(lines[1])[2:]
    args = get_args_parser().parse_args(given)
    assert (args.task_labels, args.data_path, args.run_name, args.table) == (["all"], "my data", "my_data", "a b.csv")
    assert given[given.index("a b.csv") + 1 :] == words
    assert shlex.split(lines[3])[-2:] == ["--target_class", "traffic light"]


def test_names_that_could_not_be_measured_are_not_proposed():
    labels = [[1, 0, 1], [0, 0, 0], [1, 1, 1], [1, 0, 0]]
    table = make_table(labels, ("a", "b", "c"), parts=np.array([0, 0, 2, 2]))
    parts = {"train": np.array([0, 1]), "test": np.array([2, 3])}
    assert look.choose_heads(table, parts) == ["c"]  # every test image has a, no training image b
    assert "of no use: a, b (all or none of the train" in look.describe_lost(table, parts)[0]
    assert "too few names" in look.commands(table, "official", "d", {})[0]


# one test image has known labels of x and y, and has both: x and y cannot be measured together, x and z can
SPARSE = [[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, UNKNOWN, 0]]


@pytest.mark.parametrize(
    ("names", "labels", "reading", "proposed"),
    [
        (("x", "y", "z"), SPARSE, {}, ["x", "z"]),
        (("x", "y"), [[1, UNKNOWN], [UNKNOWN, 1], [0, UNKNOWN], [UNKNOWN, 0]], {}, None),  # no row has both
        (("x", "y"), [[1, 0], [0, 1], [1, 0], [0, UNKNOWN]], {"unknown_labels": "error"}, None),
        (("-x", "y", "<b>", "z"), [[1] * 4, [0] * 4] * 2, {}, ["y", "z"]),
        (("2", "10"), [[1, 0], [0, 1]] * 2, {}, ["all"]),
    ],
)
def test_what_is_proposed_is_what_step_1_can_train_and_its_words_can_say(names, labels, reading, proposed):
    table = make_table(labels, names, parts=np.array([0, 0, 2, 2]))
    lines = look.commands(table, "official", "d", reading)
    if proposed is None:
        assert "too few names" in lines[0] and len(lines) == 1
        return
    assert get_args_parser().parse_args(shlex.split(lines[1])[2:]).task_labels == proposed


def test_names_that_no_command_can_say_are_told():
    line = look.describe_unfit(make_table([[1, 0, 1]], ("-x", "y", "<b>")))
    assert line == ["  not taken: -x, <b> (-x: it begins with -: rename it)"]
    assert look.why_unfit("<b>").startswith("rename the column") and look.why_unfit("10") == ""


def test_a_folder_without_a_test_part_gets_no_command_and_left_classes_are_named(tmp_path, capsys):
    for file in ("train/x/1.jpg", "train/y/2.jpg", "car/3.jpg", "bus/4.jpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    look.main(look.get_args_parser().parse_args([str(tmp_path)]))
    said = capsys.readouterr().out
    assert "python" not in said and "lay out a train and a test part, or pass --split released" in said
    assert "split    none\n         no test images" in said
    assert "without a row: 2 (in bus, car): beside train/, val/ and test/ no other folder is a class" in said


def test_images_are_counted_with_and_without_a_row(tmp_path):
    for name in ("0.jpg", "9.jpg"):
        (tmp_path / name).touch()
    table = make_table([[0], [1]], ("a",), np.array(["0.jpg", ""]), folder=tmp_path)
    lines = look.describe_images(table)
    assert lines[1:] == [
        f"images   1 of 2 rows have their image below {tmp_path}",
        "         missing: 1 (first: 1.jpg)",
        "         without a row: 1",
    ]
