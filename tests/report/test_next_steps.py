"""The last lines of a script are commands that can be pasted."""

import importlib
import shlex

import pytest
from conftest import STEP_1, STEP_2, STEP_3

from utils.audit.verdict import NEXT_STEPS, WORDS
from utils.report import next_steps


def flags_of(script, *words):
    return vars(importlib.import_module(script).get_args_parser().parse_args(list(words)))


def parsed(line):
    """The flags of the command behind the last colon of `next: …: python SCRIPT.py …`, as its step reads them."""
    start, script, *words = shlex.split(line[line.index("python ") :])
    assert start == "python"
    return flags_of(script.removesuffix(".py"), *words)


SHARED = ["--task", "Bald", "5_o_clock Shadow", "--data_path", "my faces", "--cache_path", "none", "--save_path", "ck"]


def test_training_leads_to_the_graph_of_the_same_task():
    line = next_steps.after_training([], flags_of(STEP_1, *SHARED, "--model", "vgg11", "--img_size", "32"))
    found = parsed(line)
    assert "generate_graph.py" in line and found["task_labels"] == ["Bald", "5_o_clock Shadow"]
    assert (found["data_path"], found["cache_path"], found["save_path"]) == ("my faces", None, "ck")
    assert found["model"] is found["img_size"] is None  # they stand in the checkpoint
    assert next_steps.after_training([], flags_of(STEP_1)) == (
        "next: score its channels: python unlearning_multi_celeba_resnet18_generate_graph.py"
    )


@pytest.mark.parametrize(("word", "value"), [("--allow_missing", True), ("--no-allow_missing", False)])
def test_absent_images_and_the_results_file_are_handed_on_and_torchrun_stays(word, value, monkeypatch):
    words = [word, "--results", "my results/r.jsonl"]
    for line in (
        next_steps.after_training([], flags_of(STEP_1, *words)),
        next_steps.after_training(["Bald"], flags_of(STEP_1, *words)),
        next_steps.after_graph("x.png", flags_of(STEP_2, *words)),
        next_steps.after_unlearning("x", flags_of(STEP_3, *words)),
    ):
        found = parsed(line)
        assert (found["allow_missing"], found["results"]) == (value, "my results/r.jsonl")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert ": torchrun … unlearning_multi" in next_steps.after_training([], flags_of(STEP_1))


def test_an_oracle_leads_to_an_audit_against_it():
    found = parsed(next_steps.after_training(["Bald"], flags_of(STEP_1, "--setting", "I", "--leave_out", "0")))
    assert (found["setting"], found["target_class"], found["audit"]) == ("I", ["Bald"], "quick")


def test_a_graph_leads_to_pruning_with_the_same_weights():
    words = ["--target", "1", "--weights", "mine.pth", "--model", "vgg11", "--img_size", "32", "--proportion", "0.2"]
    line = next_steps.after_graph("graphs/x.png", flags_of(STEP_2, *SHARED, *words))
    found = parsed(line)
    assert line.startswith("look at graphs/x.png\n") and found["target_class"] == [1]
    assert (found["weights"], found["model"], found["img_size"]) == ("mine.pth", "vgg11", 32)


def test_unlearning_leads_to_its_audit_with_the_same_method():
    found = parsed(next_steps.after_unlearning("results/x", flags_of(STEP_3, "--method", "erase", "--strength", "2")))
    assert (found["method"], found["strength"], found["audit"]) == ("erase", 2.0, "quick")


def after(word, *flags):
    """The last line of step 3 with these flags after an audit that ended in a word."""
    verdicts = {"Bald": {"word": word, "reason": "so"}, "Young": {"word": word, "reason": "so"}}
    lines = next_steps.after_audit("results/x", verdicts, flags_of(STEP_3, *flags)).splitlines()
    assert lines[:3] == ["look at results/x", f"verdict on Bald: {word}: so", f"verdict on Young: {word}: so"]
    assert len(lines) == 4 and lines[3].startswith(f"next: {NEXT_STEPS[word]}")
    return lines[3]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("method", ["prune", "erase"])
def test_each_verdict_says_what_to_do_next_in_words_or_in_a_command_that_changes_something(word, method):
    flags = ["--task", "Bald", "Young", "--target", "Bald", "Young", "--method", method, "--audit", "quick"]
    line = after(word, *flags)
    if word in ("UNDECIDED", "ERASED AS FAR AS AN UNTRAINED NETWORK TELLS"):
        assert line == f"next: {NEXT_STEPS[word]}"
        return
    found = parsed(line.removeprefix(f"next: {NEXT_STEPS[word]}"))
    assert found["target_class"] == ["Bald", "Young"] and found["audit"] and found["given"] != flags
    if word == "ERASED":
        assert (found["audit"], found["evaluate_only"], found["method"]) == ("full", True, method)
    elif word == "SILENCED" and method == "erase":
        assert (found["method"], found["depth"], found["strength"]) == ("erase", "weights", 1.0)
    else:
        assert (found["method"], found["strength"]) == ("erase", "auto" if method == "erase" else 1.0)


def test_what_was_done_already_is_not_advised_again():
    assert after("ERASED", "--audit", "full") == f"next: {NEXT_STEPS['ERASED']}"
    last = after("SILENCED", "--method", "erase", "--depth", "weights", "--strength", "auto", "--audit", "quick")
    assert last == f"next: {NEXT_STEPS['SILENCED']}"


def test_a_verdict_of_other_files_is_followed_by_words_alone():
    verdicts = {"Bald": {"word": "SILENCED", "reason": "so"}, "Young": {"word": "ERASED", "reason": "so"}}
    lines = next_steps.after_audit("x", verdicts).splitlines()[3:]
    assert lines == [f"next: {NEXT_STEPS['SILENCED']}", f"next: {NEXT_STEPS['ERASED']}"]
