"""The flags that the scripts share: checks, hints, one-line errors."""

import subprocess
import sys
from pathlib import Path

import pytest

from utils.common import arguments
from utils.common.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def parser():
    made = arguments.Parser(prog="step")
    arguments.add_task_arguments(made)
    arguments.add_network_arguments(made)
    arguments.add_data_arguments(made)
    arguments.add_run_arguments(made, batch_size=7)
    made.add_argument("--proportion", type=arguments.share, default=0.1, help="share, in (0, 1]")
    made.add_argument("--lr", type=arguments.positive_float, default=1e-3, help="peak")
    made.add_argument("--decay", type=arguments.non_negative_float, default=0.0, help="decay")
    return made


def test_the_defaults_are_the_first_setting_of_the_paper():
    args = parser().parse_args([])
    assert args.task_labels == ["Bald", "Mouth_Slightly_Open"] and args.target_class == [0]
    assert (args.data_path, args.cache_path, args.img_size) == ("data/synthetic_celeba", "cache", None)
    assert (args.results, args.save_path, args.batch_size) == ("results/results.jsonl", "checkpoints", 7)


def test_the_old_names_of_flags_still_work():
    args = parser().parse_args("--task Bald Smiling --target_class 1 --saved_model_path there".split())
    assert args.task_labels == ["Bald", "Smiling"] and args.target_class == [1] and args.save_path == "there"


def test_the_cache_can_be_turned_off():
    assert parser().parse_args(["--cache_path", "none"]).cache_path is None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--proportion 0", "argument --proportion: expected a share above 0 and at most 1, got '0'"),
        ("--proportion 1.01", "expected a share above 0 and at most 1, got '1.01'"),
        ("--proportion nan", "expected a share above 0 and at most 1, got 'nan'"),
        ("--proportion ten", "expected a share above 0 and at most 1, got 'ten'"),
        ("--img_size 0", "expected a whole number of at least 1, got '0'"),
        ("--img_size 6.5", "expected a whole number of at least 1, got '6.5'"),
        ("--batch_size -3", "expected a whole number of at least 1, got '-3'"),
        ("--seed -1", "expected a whole number from 0 to"),
        ("--seed 4294967296", "expected a whole number from 0 to"),
        ("--lr 0", "expected a number above 0, got '0'"),
        ("--lr inf", "expected a number above 0, got 'inf'"),
        ("--decay -0.1", "expected a number of at least 0, got '-0.1'"),
        ("--split half", "argument --split: invalid choice: 'half'"),
        ("--img_sise 64", "unknown argument --img_sise: did you mean --img_size?"),
        ("--resu x", "unknown argument --resu: did you mean --results?"),
        ("Bald", "unknown argument Bald"),
        ("--task", "argument --task_labels/--task: expected at least one argument"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_code_two(words, line, capsys):
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(words.split())
    captured = capsys.readouterr()
    assert stopped.value.code == 2 and captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert line in captured.err


def test_the_limits_themselves_are_allowed():
    args = parser().parse_args("--proportion 1 --img_size 1 --seed 0 --decay 0 --target_class 0".split())
    assert (args.proportion, args.img_size, args.seed, args.decay, args.target_class) == (1.0, 1, 0, 0.0, [0])


def test_the_help_shows_defaults_where_there_are_some(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: checkpoints)" in text and "(default: 0)" in text
    assert "(default: None)" not in text


def test_the_room_opens_without_the_slow_packages():
    slow = "any(m in sys.modules for m in ('torch', 'numpy', 'pandas'))"
    code = f"import sys; import utils.common.arguments; sys.exit({slow})"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def end_of(main, monkeypatch, words=()):
    monkeypatch.setattr(sys, "argv", ["step.py", *words])
    with pytest.raises(SystemExit) as stopped:
        arguments.run_script(main, parser())
    return stopped.value.code


def test_a_user_s_mistake_ends_the_script_with_its_line(monkeypatch, capsys):
    def main(args):
        raise InputError(f"no such thing:\n  {args.data_path}")

    assert end_of(main, monkeypatch, ["--data_path", "x"]) == 2
    assert capsys.readouterr().err == "error: no such thing: x\n"


def test_a_file_that_cannot_be_written_is_one_line(monkeypatch, capsys, tmp_path):
    assert end_of(lambda args: open(tmp_path / "absent" / "file", "w"), monkeypatch) == 2
    assert (
        capsys.readouterr().err == f"error: No such file or directory: {tmp_path / 'absent' / 'file'}: check the path\n"
    )


def test_an_interrupted_script_says_so(monkeypatch, capsys):
    def main(args):
        raise KeyboardInterrupt

    assert end_of(main, monkeypatch) == 130
    assert capsys.readouterr().err == "stopped: run the same command again\n"


@pytest.mark.parametrize("error", [ValueError("bug"), KeyError("bug"), RuntimeError("bug")])
def test_an_error_of_the_program_keeps_its_traceback(error, monkeypatch):
    def main(args):
        raise error

    monkeypatch.setattr(sys, "argv", ["step.py"])
    with pytest.raises(type(error)):
        arguments.run_script(main, parser())


def test_a_script_that_goes_well_just_ends(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", ["step.py", "--seed", "4"])
    arguments.run_script(seen.append, parser())
    assert seen[0].seed == 4


def test_what_is_recorded_has_no_paths_and_devices():
    flags = vars(parser().parse_args(["--device", "cpu", "--weights", "w.pth"]))
    recorded = arguments.recorded_flags(flags)
    assert recorded["task_labels"] == ["Bald", "Mouth_Slightly_Open"] and recorded["proportion"] == 0.1
    assert list(recorded) == sorted(recorded)
    assert not {"device", "weights", "num_workers", "run_name"} & set(recorded)
    assert not [name for name in recorded if "path" in name]
    assert arguments.recorded_flags(recorded) == recorded


@pytest.mark.parametrize("row", ["I", "II", "III", "IV"])
def test_a_setting_of_the_paper_sets_attributes_targets_and_proportion(row):
    args, setting = parser().parse_args(["--setting", row]), arguments.SETTINGS[row]
    assert {name: getattr(args, name) for name in setting} == setting


def test_flags_that_are_given_win_over_the_setting():
    args = parser().parse_args("--proportion 0.2 --setting III --target No_Beard".split())
    assert args.task_labels == ["Mouth_Slightly_Open", "No_Beard", "Eyeglasses"]
    assert args.target_class == ["No_Beard"] and args.proportion == 0.2
    without = arguments.Parser(prog="step 1")
    arguments.add_task_arguments(without)
    assert not hasattr(without.parse_args(["--setting", "III"]), "proportion")


NAMES = ["Smiling", "No_Beard", "Eyeglasses"]


def test_targets_come_by_place_or_by_name_always_in_head_order():
    assert arguments.resolve_targets(NAMES, [2, 1]) == ["No_Beard", "Eyeglasses"]
    assert arguments.resolve_targets(NAMES, ["Eyeglasses", "Smiling"]) == ["Smiling", "Eyeglasses"]
    assert arguments.resolve_targets(NAMES, ["Eyeglasses", 0]) == ["Smiling", "Eyeglasses"]
    assert parser().parse_args("--target_class 1 Smiling".split()).target_class == [1, "Smiling"]


@pytest.mark.parametrize(
    ("names", "word", "head"),
    [
        (["1", "10", "2"], "1", "1"),  # by place it would be 10
        (["1", "10", "2"], "0", "1"),  # no name, so a place
        (["1", "0"], "0", "0"),
        (["10", "01"], "01", "01"),
    ],
)
def test_a_number_that_is_a_name_is_the_name(names, word, head):
    heads = parser().parse_args(["--target_class", word]).target_class
    assert arguments.resolve_targets(names, heads) == [head]
    assert arguments.leave_out_heads(names, heads)[1] == [head]


@pytest.mark.parametrize(
    ("heads", "line"),
    [
        ([3], "--target_class 3 is out of range: 0 to 2 .0 Smiling; 1 No_Beard; 2 Eyeglasses."),
        (["-1"], "--target_class -1: no such head"),
        (["Smilling"], "--target_class Smilling: no such head: did you mean Smiling?"),
        (["Qqqq"], "no such head: the heads are Smiling No_Beard Eyeglasses"),
        ([1, 1], "--target_class No_Beard No_Beard names a head twice"),
        (["Smiling", 0], "--target_class Smiling Smiling names a head twice"),
        ([0, 1, 2], "name every head of Smiling No_Beard Eyeglasses: forget at least one, keep at least one"),
        ([], "name no head"),
    ],
)
def test_targets_that_cannot_be_are_refused(heads, line):
    with pytest.raises(InputError, match=line):
        arguments.resolve_targets(NAMES, heads)


def test_the_only_head_cannot_be_forgotten():
    with pytest.raises(InputError, match="name every head of Bald"):
        arguments.resolve_targets(["Bald"], [0])


def test_heads_left_out_leave_at_least_one():
    assert arguments.leave_out_heads(NAMES, ["No_Beard", 0]) == (["Eyeglasses"], ["Smiling", "No_Beard"])
    assert arguments.leave_out_heads(NAMES, []) == (NAMES, [])
    with pytest.raises(InputError, match="--leave_out Bald: no such head"):
        arguments.leave_out_heads(NAMES, ["Bald"])
    with pytest.raises(InputError, match="--leave_out names every attribute"):
        arguments.leave_out_heads(NAMES, [0, 1, 2])


UNSEEN = ["a\u00a0b", "a\u200bb", "\ufeffa", "a\u202eb", "a\x9b31m", "a\u2028b", "a\udc80"]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a>b", "../../x", "a\nb", "a\x1b[31m", "a\x00", *UNSEEN])
def test_an_attribute_that_would_act_where_it_is_shown_is_refused(name):
    for check in (arguments.resolve_targets, arguments.leave_out_heads):
        with pytest.raises(InputError, match="rename the column") as refused:
            check(["Bald", name], ["Bald"])
        assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "name",
    ["5/9", "a$b", "Grün", "漢字", "=1+1", "R&B", "it's", 'say "x"', "a|b", "x" * 200, "Æther é", "ملتح", "בלונד"],
)
def test_other_names_are_names(name):
    assert arguments.resolve_targets(["Bald", name], [name]) == [name]
