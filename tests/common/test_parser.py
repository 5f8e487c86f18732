"""Defaults edited by hand, paths, hints for flags of another step, flags that exclude each other."""

import importlib

import pytest
from conftest import STEP_1, STEP_2, STEP_3

from utils.common import arguments
from utils.common.parser import FLAGS_OF_STEPS

STEPS = {"step 1": STEP_1, "step 2": STEP_2, "step 3": STEP_3}


def parser(script=STEP_3):
    return importlib.import_module(script).get_args_parser()


def refused(capsys, made, *words):
    with pytest.raises(SystemExit) as stopped:
        made.parse_args(list(words))
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("flag", "default", "value"),
    [
        ("target_class", 1, [1]),
        ("target_class", "1", [1]),
        ("target_class", ["1", "Bald"], [1, "Bald"]),
        ("target_class", (0, 1), [0, 1]),
        ("target_class", "large", ["large"]),
        ("target_class", "round large", ["round", "large"]),
        ("task_labels", "round", ["round"]),
        ("task_labels", "round large", ["round", "large"]),
        ("task_labels", ("round", "large"), ["round", "large"]),
        ("strength", 2, 2.0),
        ("strength", "2", 2.0),
        ("strength", "auto", "auto"),
        ("batch_size", "64", 64),
        ("seed", 3, 3),
        ("img_size", 64, 64),
        ("save_path", "~/there", "/home/me/there"),
    ],
)
def test_a_default_edited_in_the_script_counts_as_if_it_were_typed(flag, default, value, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    made = parser()
    made.set_defaults(**{flag: default})
    assert getattr(made.parse_args([]), flag) == value
    assert getattr(made.parse_args([]), flag) == value  # parsing changes nothing


@pytest.mark.parametrize(
    ("script", "flag", "default", "line"),
    [
        (STEP_2, "proportion", 2, "the default of --proportion is 2 in the script: expected a share"),
        (STEP_2, "proportion", [0.1], "expected a share above 0 and at most 1, got '[0.1]'"),
        (STEP_2, "importance", "gradcm", "the default of --importance is 'gradcm' in the script: choose from gradcam"),
        (STEP_3, "batch_size", 12.5, "the default of --batch_size is 12.5 in the script: expected a whole number"),
        (STEP_3, "batch_size", "many", "expected a whole number of at least 1, got 'many'"),
        (STEP_3, "method", 1, "choose from prune, erase"),
        (STEP_3, "evaluate_only", "False", "is 'False' in the script: expected True or False"),
        (STEP_1, "hflip", "no", "is 'no' in the script: expected True or False"),
        (STEP_1, "hflip", 0, "is 0 in the script: expected True or False"),
        (STEP_1, "setting", "V", "choose from I, II, III, IV"),
        (STEP_1, "save_path", "", "expected a path, got ''"),
    ],
)
def test_a_default_that_cannot_be_is_one_line(script, flag, default, line, capsys):
    made = parser(script)
    made.set_defaults(**{flag: default})
    assert line in refused(capsys, made)


@pytest.mark.parametrize("script", STEPS.values())
def test_the_scripts_own_defaults_are_taken_as_they_are(script):
    made = parser(script)
    before = {action.dest: action.default for action in made._actions if action.dest != "help"}
    assert vars(made.parse_args([])) == before | {"given": set()}


@pytest.mark.parametrize("flag", ["save_path", "results", "data_path", "cache_path", "weights", "graph"])
def test_the_home_folder_may_stand_behind_an_equals_sign(flag, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert getattr(parser().parse_args([f"--{flag}=~/x"]), flag) == "/home/me/x"
    assert getattr(parser().parse_args([f"--{flag}=~no_such_user/x"]), flag) == "~no_such_user/x"
    assert getattr(parser().parse_args([f"--{flag}=a~/x"]), flag) == "a~/x"


@pytest.mark.parametrize("words", [["--results", ""], ["--save_path="], ["--results", " "], ["--data_path", ""]])
def test_an_empty_path_is_refused(words, capsys):
    assert "expected a path, got '" in refused(capsys, parser(), *words)


@pytest.mark.parametrize(
    ("script", "word", "hint"),
    [
        (STEP_1, "--target", "--target: it is a flag of steps 2 and 3"),
        (STEP_1, "--target_class=1", "--target_class=1: it is a flag of steps 2 and 3"),
        (STEP_1, "--weights", "it is a flag of steps 2 and 3"),
        (STEP_2, "--leave_out", "it is a flag of step 1"),
        (STEP_2, "--no-hflip", "it is a flag of step 1"),
        (STEP_3, "--proportion", "it is a flag of step 2"),
        (STEP_3, "--epoch", "it is a flag of step 1"),
        (STEP_3, "--proportions", "did you mean --proportion? It is a flag of step 2"),
        (STEP_1, "--targets", "did you mean --target? It is a flag of steps 2 and 3"),
        (STEP_1, "--epochs", "did you mean --epoch?"),
        (STEP_2, "--proportoin", "did you mean --proportion?"),
    ],
)
def test_a_flag_of_another_step_is_called_so(script, word, hint, capsys):
    assert hint in refused(capsys, parser(script), word, "1")


def test_the_flags_are_those_of_the_steps_they_are_said_to_be_of():
    flags = {
        step: {name for a in parser(script)._actions for name in a.option_strings} for step, script in STEPS.items()
    }
    for flag, steps in FLAGS_OF_STEPS.items():
        assert {step for step in flags if flag in flags[step]} == {f"step {n}" for n in steps if n in "123"}, flag


@pytest.mark.parametrize("value", ["1.0", "2", "auto"])
def test_a_flag_that_would_be_passed_over_is_refused_whatever_its_value(value, capsys):
    assert "--strength is for --method erase" in refused(capsys, parser(), "--strength", value)
    said = refused(capsys, parser(), "--strength", value, "--method", "erase", "--evaluate_only")
    assert "--strength does nothing with --evaluate_only" in said
    assert parser().parse_args(["--method", "erase", f"--strength={value}"]).method == "erase"


def test_a_default_edited_for_another_method_is_no_mistake():
    made = parser()
    made.set_defaults(strength=2.0)
    assert made.parse_args(["--method", "prune"]).strength == 2.0


def test_tools_know_the_steps_flags_too(capsys):
    made = arguments.Parser(prog="tool")
    assert "it is a flag of step 3" in refused(capsys, made, "--strength", "1")
    assert refused(capsys, made, "strength") == "error: unknown argument strength\n"


def test_flags_that_add_to_a_list_are_known_to_be_given():
    made = arguments.Parser(prog="tool")
    made.add_argument("--rate", nargs="+", action="extend", default=[])
    made.add_argument("--verbose", action="count", default=0)
    found = made.parse_args("--rate a b --rate c".split())
    assert found.rate == ["a", "b", "c"] and found.given == {"rate"} and made.parse_args([]).rate == []


@pytest.mark.parametrize("value", ["181", "1e9", "-1", "nan"])
def test_a_rotation_beyond_half_a_turn_is_refused(value, capsys):
    assert "expected degrees from 0 to 180" in refused(capsys, parser(STEP_1), f"--rotation={value}")
