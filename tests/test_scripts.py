"""The three scripts as a person edits them: the same defaults, in the same words, at the top of each parser."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT, STEP_1, STEP_2, STEP_3, run_here

SCRIPTS = (STEP_1, STEP_2, STEP_3)
# that --help lists; every one of them is read by somebody. The flags that say how a folder is read stand in the
# checkpoint, so step 3 takes them for --weights and does not list them
MOST_FLAGS_OF_STEP_3 = 27


def lines_of(script):
    return (ROOT / f"{script}.py").read_text(encoding="utf-8").splitlines()


def line_of(script, flag):
    found = [line.strip() for line in lines_of(script) if line.strip().startswith(f'add("{flag}"')]
    return found[0] if found else None


@pytest.mark.parametrize("flag", ["--task_labels", "--target_class", "--setting", "--run_name"])
def test_a_flag_of_the_task_is_the_same_line_in_every_script_that_has_it(flag):
    lines = {line_of(script, flag) for script in SCRIPTS} - {None}
    assert len(lines) == 1 and len([s for s in SCRIPTS if line_of(s, flag)]) >= 2


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_first_flags_are_those_that_users_edit_one_literal_a_line(script):
    flags = [re.match(r' +add\("(--\w+)"', line) for line in lines_of(script)]
    flags = [match[1] for match in flags if match]
    assert flags[0] == "--task_labels" and "--task" in line_of(script, "--task_labels")
    assert all("default=" in line_of(script, flag) for flag in flags[:3])


def test_step_3_has_few_flags():
    shown = subprocess.run([sys.executable, f"{STEP_3}.py", "--help"], cwd=ROOT, capture_output=True, text=True).stdout
    flags = re.findall(r"^  (--\w+)", shown, re.MULTILINE)
    assert 10 < len(flags) <= MOST_FLAGS_OF_STEP_3
    assert all(f"\n{group}:" in shown for group in ("task", "method", "network", "data", "run"))


def test_edited_defaults_run_the_three_steps_without_a_flag_of_the_task(tiny_celeba, tmp_path):
    edits = {
        'default=["Bald", "Mouth_Slightly_Open"]': 'default=["Eyeglasses", "Smiling"]',
        "type=a.head_or_place, default=[0]": "type=a.head_or_place, default=[1]",
        "type=a.share, default=0.1": "type=a.share, default=0.3",
    }
    found = dict.fromkeys(edits, 0)
    for script in SCRIPTS:
        text = (ROOT / f"{script}.py").read_text(encoding="utf-8")
        for old, new in edits.items():
            found[old] += text.count(old)
            text = text.replace(old, new)
        (tmp_path / f"{script}.py").write_text(text, encoding="utf-8")
    assert list(found.values()) == [3, 2, 1]
    for script, words in (
        (STEP_1, "--model shufflenet_v2_x0_5 --img_size 32 --epoch 1 --batch_size 30"),
        (STEP_2, "--num_images 4"),
        (STEP_3, ""),
    ):
        words = ["--data_path", tiny_celeba, "--device", "cpu", *words.split()]
        done = run_here(script, *words, folder=tmp_path, root=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoints" / "Eyeglasses_Smiling" / "pruned_Smiling.pth").is_file()
    assert "Smiling (forgotten)" in done.stdout
