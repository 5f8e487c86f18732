"""Each mistake of a user: one clear line, exit code 2, nothing written."""

import errno
import importlib
import os
import shutil
import subprocess
import sys
from hashlib import sha256

import pytest
import torch
from conftest import ROOT, STEP_1, STEP_2, STEP_3, run_command, run_step

from utils.common.arguments import run_script

TASK = ["--task", "Bald", "Eyeglasses"]
SMALL = ["--model", "shufflenet_v2_x0_5"]


@pytest.fixture(scope="module")
def workshop(tiny_celeba, tmp_path_factory):
    """A folder in which all three steps have run."""
    folder = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        data = ["--data_path", tiny_celeba, "--device", "cpu"]
        run_step(STEP_1, *TASK, *data, *SMALL, "--img_size", 32, "--epoch", 1, "--batch_size", 30)
        run_step(STEP_2, *TASK, *data, "--num_images", 4)
        run_step(STEP_3, *TASK, *data)
    return folder


def written(folder):
    """Every file with its place on the disk, size and time of its last change, the image cache aside.

    The system sets that time at every write, so a file that is written anew is seen though its bytes are the same.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts]
    found = {path: path.stat() for path in files}
    return {path: (of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns) for path, of in found.items()}


@pytest.fixture
def refuse_tool(workshop, monkeypatch, capsys):
    """A function that runs a script or a tool and checks that it ends with one line, code 2, and no file changed."""

    def check(script, *words, seen=written):
        monkeypatch.chdir(workshop)
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, words)])
        before = seen(workshop)
        step = importlib.import_module(script)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_script(step.main, step.get_args_parser())
        said = capsys.readouterr().err
        assert ended.value.code == 2
        assert seen(workshop) == before
        lines = [line for line in said.splitlines() if line.strip() and not line.startswith("warning: ")]
        assert len(lines) == 1 and lines[0].startswith("error: "), said
        return lines[0]

    return check


@pytest.fixture
def refuse(refuse_tool, tiny_celeba):
    """The same for scripts that read data."""

    def check(script, *words, data=tiny_celeba, seen=written):
        return refuse_tool(script, *words, "--data_path", data, "--device", "cpu", seen=seen)

    return check


def copy_of(data, folder):
    return shutil.copytree(data, folder / "copy")


def test_an_unknown_attribute_suggests_the_nearest(refuse):
    assert "Eyeglasses" in refuse(STEP_1, "--task", "Bald", "Eyeglases", "--img_size", 32)


def test_a_target_out_of_range_names_the_range(refuse):
    assert "--target_class 2" in refuse(STEP_2, *TASK, "--target_class", 2)


def test_an_unknown_target_is_named(refuse):
    assert "Smiling" in refuse(STEP_3, *TASK, "--target", "Smiling")


def test_forgetting_every_head_is_refused(refuse):
    assert "keep at least one" in refuse(STEP_2, *TASK, "--target_class", 0, 1)


def test_a_missing_folder_is_named(refuse, tmp_path):
    assert "nowhere" in refuse(STEP_1, *TASK, data=tmp_path / "nowhere")


def test_a_missing_table_is_named(refuse, tiny_celeba, tmp_path):
    data = copy_of(tiny_celeba, tmp_path)
    for table in data.glob("list_attr_celeba.*"):
        table.unlink()
    assert "list_attr_celeba" in refuse(STEP_1, *TASK, "--img_size", 32, data=data)


def test_missing_images_are_counted(refuse, tiny_celeba, tmp_path):
    data = copy_of(tiny_celeba, tmp_path)
    for number in (3, 5):
        (data / "img_align_celeba" / f"{number:06d}.jpg").unlink()
    said = refuse(STEP_1, *TASK, "--img_size", 32, data=data)
    assert "2" in said and "--allow_missing" in said


def test_a_truncated_image_is_named_before_training_starts(refuse, tiny_celeba, tmp_path):
    data = copy_of(tiny_celeba, tmp_path)
    broken = data / "img_align_celeba" / "000007.jpg"
    broken.write_bytes(broken.read_bytes()[:700])
    assert "000007.jpg" in refuse(STEP_1, *TASK, "--img_size", 32, "--force", data=data)


def test_a_row_with_a_wrong_column_count_is_named(refuse, tiny_celeba, tmp_path):
    data = copy_of(tiny_celeba, tmp_path)
    (data / "list_attr_celeba.csv").unlink()
    table = data / "list_attr_celeba.txt"
    lines = table.read_text().splitlines()
    lines[4] += " 1"
    table.write_text("\n".join(lines) + "\n")
    assert "5" in refuse(STEP_1, *TASK, "--img_size", 32, data=data)


def test_a_missing_checkpoint_says_which_step_makes_it(refuse):
    assert "run step 1 first" in refuse(STEP_2, "--task", "Bald", "Smiling")


def test_a_missing_graph_says_which_step_makes_it(refuse):
    assert "run step 2 first" in refuse(STEP_3, *TASK, "--target", "Eyeglasses")


def test_a_checkpoint_of_other_attributes_names_both(refuse):
    said = refuse(STEP_2, "--task", "Bald", "Smiling", "--run_name", "Bald_Eyeglasses")
    assert "Bald Eyeglasses" in said and "Bald Smiling" in said


def test_a_checkpoint_of_another_image_size_names_both(refuse):
    said = refuse(STEP_3, *TASK, "--img_size", 64)
    assert "32" in said and "64" in said


def test_a_damaged_checkpoint_is_refused(refuse, workshop):
    folder = workshop / "checkpoints" / "damaged"
    folder.mkdir(exist_ok=True)
    whole = (workshop / "checkpoints" / "Bald_Eyeglasses" / "original.pth").read_bytes()
    (folder / "original.pth").write_bytes(whole[: len(whole) // 2])
    assert "damaged" in refuse(STEP_2, *TASK, "--run_name", "damaged")


def test_a_graph_of_another_checkpoint_names_both_digests(refuse, workshop):
    folder = workshop / "checkpoints" / "other"
    folder.mkdir(exist_ok=True)
    shutil.copy(workshop / "checkpoints" / "Bald_Eyeglasses" / "pruned_Bald.pth", folder / "original.pth")
    graph = workshop / "graphs" / "Bald_Eyeglasses" / "Bald.json"
    assert "sha256" in refuse(STEP_3, *TASK, "--run_name", "other", "--graph", graph)


@pytest.mark.parametrize("value", ["0", "1.5", "-0.1", "half"])
def test_a_proportion_outside_its_range_is_refused(refuse, value):
    assert "expected a share above 0 and at most 1" in refuse(STEP_2, *TASK, "--proportion", value)


def test_an_attribute_without_positives_in_the_split_is_named(refuse, tiny_celeba, tmp_path):
    data = copy_of(tiny_celeba, tmp_path)
    (data / "list_attr_celeba.csv").unlink()
    table = data / "list_attr_celeba.txt"
    lines = table.read_text().splitlines()
    column = lines[1].split().index("Bald") + 1
    rows = [line.split() for line in lines[2:]]
    lines[2:] = [" ".join("-1" if i == column else cell for i, cell in enumerate(row)) for row in rows]
    table.write_text("\n".join(lines) + "\n")
    assert "Bald" in refuse(STEP_1, *TASK, "--img_size", 32, data=data)
    assert "Bald" in refuse(STEP_2, *TASK, data=data)


def test_weights_that_do_not_fit_list_the_names(refuse, tmp_path):
    torch.save({"surplus": torch.zeros(1)}, tmp_path / "mine.pth")
    said = refuse(STEP_2, *TASK, "--weights", tmp_path / "mine.pth", "--img_size", 32)
    assert "missing" in said and "unexpected: surplus" in said


def test_a_checkpoint_of_other_heads_is_not_taken_as_plain_weights(refuse, workshop):
    weights = workshop / "checkpoints" / "Bald_Eyeglasses" / "original.pth"
    said = refuse(STEP_2, "--task", "Eyeglasses", "Young", "--weights", weights, "--img_size", 32)
    assert "Bald Eyeglasses" in said and "Eyeglasses Young" in said


def test_a_whole_pickled_network_is_not_opened(refuse, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    assert "state_dict" in refuse(STEP_2, *TASK, "--weights", tmp_path / "module.pth")


@pytest.mark.parametrize(
    ("name", "said"),
    [("graphs/Bald_Eyeglasses/Bald.json", "by --graph"), ("graphs", "is a folder"), ("empty.pth", "is empty")],
)
def test_weights_that_are_none_say_what_they_are(name, said, refuse, workshop):
    (workshop / "empty.pth").touch()
    assert said in refuse(STEP_3, *TASK, "--weights", workshop / name, "--img_size", 32)


@pytest.mark.parametrize("words", ["--mean 0.4", "--mean 124 116 104 --std 58 57 57", "--mean imagenet"])
def test_a_normalisation_that_cannot_be_meant_is_refused(words, refuse):
    assert "--mean" in refuse(STEP_3, *TASK, *words.split())


def test_a_layer_that_is_none_lists_those_there_are(refuse):
    assert "stage4.3.branch2.3" in refuse(STEP_2, *TASK, "--layers", "layer9")


def test_left_out_names_must_be_among_the_task(refuse):
    assert "Smiling" in refuse(STEP_1, *TASK, "--leave_out", "Smiling")


ABSENT = "no/such/data"  # what is wrong with an output is said before the data is looked for
RUN = "checkpoints/Bald_Eyeglasses"
UNWRITABLE = [
    (STEP_1, ["--save_path", "checkpoints/Bald_Eyeglasses/original.pth"], "--save_path"),
    (STEP_1, ["--save_path", "p" * 300], "name a shorter path"),
    (STEP_1, ["--cache_path", f"{RUN}/original.pth", "--save_path", "new"], "--cache_path"),
    (
        STEP_1,
        ["--pretrained", f"{RUN}/original.pth", "--batch_size", "30"],
        "original.pth, which is read (--pretrained)",
    ),
    (STEP_2, ["--cache_path", "graphs/Bald_Eyeglasses/Bald.json"], "--cache_path"),
    (STEP_2, ["--show_cams", "2", "--results", "graphs/Bald_Eyeglasses/Bald.json/x.jsonl"], "--results"),
    (STEP_3, ["--results", "checkpoints"], "--results"),
    (STEP_3, ["--results", "graphs/Bald_Eyeglasses/Bald.json/x.jsonl"], "--results"),
    (STEP_3, ["--results", f"{RUN}/original.pth"], "which is read (--checkpoint)"),
    (STEP_3, ["--results", "mine.pth", "--weights", "mine.pth", "--img_size", "32"], "which is read (--weights)"),
    (
        STEP_3,
        ["--results", "graphs/Bald_Eyeglasses/Bald.json", "--graph", "graphs/Bald_Eyeglasses/Bald.json"],
        "--graph",
    ),
    (STEP_3, ["--weights", f"{RUN}/pruned_Bald.pth"], "pruned_Bald.pth"),
    (STEP_3, ["--results", "", "--audit", "quick"], "--results: expected a path, got ''"),
    ("tools.audit", ["--unlearned", "mine.pth", "--out", "mine.pth"], "--out"),
    ("tools.audit", ["--unlearned", "mine.pth", "--results", "mine.pth"], "which is read (--unlearned)"),
    ("tools.audit", ["--unlearned", "mine.pth", "--out", ""], "--out: expected a path"),
    ("tools.choose_strength", ["--results", "mine.pth/x.jsonl"], "mine.pth is a file where a folder must be"),
]


@pytest.mark.parametrize(("script", "words", "line"), UNWRITABLE)
def test_an_output_that_cannot_be_written_is_refused_before_data_is_read(script, words, line, refuse, workshop):
    if not (workshop / "mine.pth").exists():
        shutil.copy(workshop / RUN / "original.pth", workshop / "mine.pth")
    said = refuse(script, *TASK, *words, data=ABSENT)
    assert line in said and ABSENT not in said


def test_a_link_to_a_network_that_is_read_is_not_written_over(refuse, workshop, tmp_path):
    (tmp_path / "link.jsonl").symlink_to(workshop / RUN / "original.pth")
    assert "which is read" in refuse(STEP_3, *TASK, "--results", tmp_path / "link.jsonl", data=ABSENT)


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "img_align_celeba/000001.jpg"])
def test_the_data_is_not_written_over(name, refuse, tiny_celeba):
    before = (tiny_celeba / name).read_bytes()
    assert "which is read (--data_path)" in refuse(STEP_3, *TASK, "--results", tiny_celeba / name)
    assert (tiny_celeba / name).read_bytes() == before


@pytest.mark.parametrize("tool", ["tools.shrink", "tools.export"])
def test_a_tool_does_not_write_over_the_network_it_reads(tool, refuse_tool, workshop):
    network = f"{RUN}/original.pth"
    for out in (network, f"./checkpoints/../{network}"):
        said = refuse_tool(tool, "--checkpoint", network, "--out" if "shrink" in tool else "--exported", out)
        assert "which is read (--checkpoint)" in said


FULL = [
    (STEP_1, [*SMALL, "--run_name", "full", "--img_size", "32", "--epoch", "1", "--batch_size", "30"]),
    (STEP_2, ["--num_images", "4", "--released_txt"]),
    (STEP_2, ["--num_images", "4", "--show_cams", "2"]),
    (STEP_3, []),
    (STEP_3, ["--evaluate_only"]),
]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(("script", "words"), FULL)
def test_a_full_disk_is_one_line_and_nothing_is_half_written(script, words, code, refuse, monkeypatch):
    def full(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)

    def contents(folder):
        return {path: sha256(path.read_bytes()).hexdigest() for path in written(folder)}

    said = refuse(script, *TASK, *words, seen=contents)
    assert os.strerror(code) in said and "make room there" in said and ".tmp" not in said


def test_the_shell_sees_exit_code_2_and_one_line(workshop, tiny_celeba):
    done = run_command(STEP_2, *TASK, "--data_path", tiny_celeba, "--proportion", "2", folder=workshop)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("script", [STEP_1, STEP_2, STEP_3])
def test_help_answers_without_importing_torch(script, tmp_path):
    code = (
        f"import runpy, sys; sys.argv = ['x', '--help']; runpy.run_path({str(script)!r} + '.py', run_name='__main__')"
    )
    code = f"try:\n    {code}\nfinally:\n    print('torch' in sys.modules)"
    command = [sys.executable, "-c", "import sys\n" + code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.rstrip().endswith("False"), done.stderr
    assert "--task_labels" in done.stdout
