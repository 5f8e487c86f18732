"""What step 1 keeps: nothing is replaced unasked, a stop costs nothing, the same command with --resume goes on."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import STEP_1, run_step
from small_celeba import make_folder
from small_training import QUICK, TURN, Net, Pixels

from utils.common import paths
from utils.common.errors import InputError
from utils.common.interrupts import Stopping
from utils.datasets.augmentation import Augmentation
from utils.training.batches import Generators
from utils.training.loop import TrainingStopped, fit
from utils.training.recipe import TrainingSettings
from utils.training.resume import (
    KeptTraining,
    load_training_state,
    save_training_state,
    training_files,
)

SETTINGS = TrainingSettings(**QUICK)
FLAGS = "--task Bald Eyeglasses --device cpu --model shufflenet_v2_x0_5 --img_size 32 --batch_size 30 --cache_path none"
FLAGS = [*FLAGS.split(), "--epoch", 2]
RUN = Path("checkpoints") / "Bald_Eyeglasses"
NETWORK, BEST, STATE = RUN / "original.pth", RUN / "original_best.pth", RUN / "original_training_state.pth"


class Interrupting:
    """An augmentation that a signal comes during, at its `last` batch."""

    def __init__(self, last, number=signal.SIGTERM):
        self.left, self.number = last, number

    def __call__(self, images, generator):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.number)
        return TURN(images, generator)

    def __repr__(self):
        return repr(TURN)


@pytest.mark.parametrize("batches", [1, 4, 6, 7, 16])  # of 4 epochs with 4 batches each
def test_a_training_stopped_within_an_epoch_ends_bit_equal_to_one_in_one_go(batches, tmp_path):
    whole, losses, again = Net(), [], []
    fit(whole, Pixels(), SETTINGS, augment=TURN, on_epoch=lambda progress: losses.append(progress.loss))
    with pytest.raises(TrainingStopped) as stopped, Stopping() as stopping:
        fit(Net(), Pixels(), SETTINGS, augment=Interrupting(batches), stopping=stopping)
    assert stopped.value.code == 143
    state = stopped.value.state
    assert (state["epoch"], state["step"]) == ((batches - 1) // 4, (batches - 1) % 4 + 1)
    save_training_state(tmp_path / "state.pth", state)
    torch.manual_seed(99)
    resumed = Net(seed=5)
    again = losses[: state["epoch"]]
    state = load_training_state(tmp_path / "state.pth")
    fit(resumed, Pixels(), SETTINGS, augment=TURN, state=state, on_epoch=lambda progress: again.append(progress.loss))
    assert again == losses
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_state_of_another_network_does_not_fit_in_one_line():
    states = []
    fit(Net(), Pixels(), SETTINGS, on_epoch=lambda progress: states.append(progress.state))
    wrong = {**states[0], "model": {"conv.weight": torch.zeros(1)}}
    with pytest.raises(InputError, match=r"the model of the training state does not fit \(.*\): replace it by --force"):
        fit(Net(), Pixels(), SETTINGS, state=wrong)


@pytest.fixture(scope="module")
def finished(tiny_celeba, tmp_path_factory):
    """A folder in which step 1 has run to its end."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_step(STEP_1, *FLAGS, "--data_path", tiny_celeba)
    return folder


def written(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def train(tiny_celeba, tmp_path, monkeypatch):
    """A function that runs step 1 in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        words = [*map(str, FLAGS), "--data_path", str(tiny_celeba), *map(str, words)]
        monkeypatch.setattr(sys, "argv", ["step_1.py", *words])
        run_step(STEP_1, *words)

    return run


@pytest.mark.parametrize(
    ("number", "batch"), [(signal.SIGTERM, 2), (signal.SIGINT, 3), (signal.SIGTERM, 5)]
)  # of 3 + 3
def test_a_signal_saves_and_names_the_command_that_ends_as_if_nothing_had_been(
    number, batch, train, finished, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        left, augment = [batch], Augmentation.__call__

        def interrupted(self, images, generator=None):
            left[0] -= 1
            if not left[0]:
                signal.raise_signal(number)
            return augment(self, images, generator)

        patch.setattr(Augmentation, "__call__", interrupted)
        with pytest.raises(SystemExit) as ended:
            train()
    assert ended.value.code == 128 + number
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("stopped; go on with: python step_1.py --task Bald ") and said[-1].endswith(" --resume")
    train("--resume")
    assert NETWORK.read_bytes() == (finished / NETWORK).read_bytes()
    assert BEST.read_bytes() == (finished / BEST).read_bytes()
    assert f"going on with epoch {(batch - 1) // 3 + 1} of 2, after" in capsys.readouterr().out


def test_a_signal_during_an_evaluation_costs_no_epoch(train, finished, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr("utils.evaluation.predict.evaluate", lambda *_: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit) as ended:
            train()
    assert ended.value.code == 143
    train("--resume")
    assert "going on with epoch 1 of 2, after 3 of its batches" in capsys.readouterr().out
    assert NETWORK.read_bytes() == (finished / NETWORK).read_bytes()


@pytest.mark.parametrize("file", ["original.pth", "original_best.pth", "original_training_state.pth"])
def test_a_signal_while_files_are_written_costs_none_of_them(file, train, finished, monkeypatch):
    write, left = paths.write_atomically, [1]

    def interrupted(path, content):
        if path.name == file and left:
            left.pop()
            signal.raise_signal(signal.SIGTERM)
        return write(path, content)

    monkeypatch.setattr("utils.network.tensor_files.write_atomically", interrupted)
    with pytest.raises(SystemExit):
        train()
    train("--resume")
    assert NETWORK.read_bytes() == (finished / NETWORK).read_bytes()
    assert BEST.read_bytes() == (finished / BEST).read_bytes()


def test_a_stop_in_the_last_evaluation_names_the_command_that_evaluates(train, finished, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    with monkeypatch.context() as patch:
        patch.setattr("utils.evaluation.predict.evaluate", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(SystemExit) as ended:
            train("--resume")
    assert ended.value.code == 130
    said = capsys.readouterr().err.strip()
    assert said.startswith("stopped; go on with: python step_1.py") and said.endswith(" --resume")


def test_signals_while_the_state_of_a_stopped_training_is_written_are_ignored(tmp_path, monkeypatch):
    files = training_files(tmp_path, "run")
    kept, state = KeptTraining(files, {}, 1), {}

    def interrupted(path, content):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
        state.update(content)

    monkeypatch.setattr("utils.training.resume.save_training_state", interrupted)
    with pytest.raises(SystemExit), Stopping(), kept.saved_when_stopped():
        raise TrainingStopped(signal.SIGTERM, {"step": 3})
    assert state["step"] == 3


def test_signals_while_the_state_of_a_stopped_training_is_gathered_are_ignored(monkeypatch):
    states = Generators.states
    monkeypatch.setattr(Generators, "states", lambda self: signal.raise_signal(signal.SIGTERM) or states(self))
    with pytest.raises(TrainingStopped) as stopped, Stopping() as stopping:
        fit(Net(), Pixels(), SETTINGS, augment=Interrupting(2), stopping=stopping)
    assert stopped.value.state["step"] == 2


def test_a_stop_before_the_first_batch_that_was_to_replace_a_training_repeats_the_command(train, monkeypatch, capsys):
    train("--epoch", 1)
    network, state = NETWORK.read_bytes(), STATE.read_bytes()
    monkeypatch.setattr("utils.training.loop.train_epochs", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        train("--force", "--lr", 1)
    assert ended.value.code == 143 and capsys.readouterr().err.strip().endswith(" --force --lr 1")
    assert (NETWORK.read_bytes(), STATE.read_bytes()) == (network, state)


def test_resume_starts_anew_where_nothing_was_saved_and_after_a_kill_between_the_first_two_files(train, capsys):
    train("--resume", "--epoch", 1)
    assert "no training to resume at" in capsys.readouterr().out
    first = NETWORK.read_bytes()
    STATE.unlink()
    train("--resume", "--epoch", 1)
    assert NETWORK.read_bytes() == first and STATE.is_file()
    STATE.unlink()
    with pytest.raises(InputError, match="original.pth is there, but no training state .*: train anew with --force"):
        train("--resume", "--epoch", 1, "--lr", 0.5)
    train("--force", "--epoch", 1, "--lr", 0.5)
    assert NETWORK.read_bytes() != first and load_training_state(STATE)["settings"]["lr"] == 0.5


def test_force_lets_no_state_outlive_its_network(train, monkeypatch):
    train("--epoch", 1)
    monkeypatch.setattr("utils.training.resume.save_checkpoint", lambda *_: exec("raise OSError(28, 'full')"))
    with pytest.raises(OSError, match="full"):
        train("--epoch", 1, "--force")
    assert not STATE.exists() and NETWORK.exists()


def test_resuming_a_finished_training_says_so_and_writes_nothing(train, finished, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    before = written(finished)
    train("--resume")
    said = capsys.readouterr().out
    assert "the training is finished (2 of 2 epochs): nothing is left to train" in said and "wrote" not in said
    assert written(finished) == before
    (finished / NETWORK).rename(finished / "aside.pth")
    with pytest.raises(InputError, match="is of a finished training, but .*original.pth is gone: use --force"):
        train("--resume")
    (finished / "aside.pth").rename(finished / NETWORK)


@pytest.mark.parametrize(
    "flags", [["--force", "--resume"], ["--force", "--evaluate_only"], ["--resume", "--evaluate_only"]]
)
def test_flags_that_exclude_each_other_are_refused(flags, train, capsys):
    with pytest.raises(SystemExit):
        train(*flags)
    assert "does nothing with" in capsys.readouterr().err


def test_a_training_that_is_there_is_refused_without_resume_or_force(train, finished, monkeypatch, tiny_celeba, capsys):
    monkeypatch.chdir(finished)
    before = written(finished)
    for more in ([], ["--img_size", 48], ["--lr", 1]):
        with pytest.raises(InputError, match="original.pth holds a training already: .*--resume.*--force.*--run_name"):
            train(*more)
    assert written(finished) == before


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--model", "customresnet"], "had model shufflenet_v2_x0_5, asked for is customresnet"),
        (["--img_size", 48], "had img_size 32, asked for is 48"),
        (["--split", "all"], "had split released, asked for is all"),
        (["--limit", 100], "had limit None, asked for is 100"),
        (["--allow_missing"], "had allow_missing False, asked for is True"),
        (["--as_released"], "had (shuffle True|as_released False), asked for is"),
        (["--seed", 4], "had seed 0, asked for is 4"),
        (["--lr", 1], "had lr 0.0002, asked for is 1.0"),
        (["--epoch", 3], "had epochs 2, asked for is 3"),
        (["--no-hflip"], "had hflip True, asked for is False"),
        (["--task", "Bald", "Smiling", "--run_name", "Bald_Eyeglasses"], "had attributes .*Eyeglasses.*, asked for"),
    ],
)
def test_resuming_with_other_flags_names_both_sides(flags, line, train, finished, monkeypatch):
    monkeypatch.chdir(finished)
    before = written(finished)
    with pytest.raises(InputError, match=line):
        train("--resume", *flags)
    assert written(finished) == before


def test_an_evaluation_takes_size_network_and_images_from_the_checkpoint_unless_a_flag_is_given(
    finished, tiny_celeba, monkeypatch, capsys
):
    monkeypatch.chdir(finished)
    shared = ["--task", "Bald", "Eyeglasses", "--device", "cpu", "--cache_path", "none", "--data_path", tiny_celeba]
    run_step(STEP_1, *shared, "--limit", 60, "--split", "all", "--run_name", "all", *FLAGS[5:9], "--epoch", 1)
    capsys.readouterr()
    run_step(STEP_1, *shared, "--run_name", "all", "--evaluate_only")
    said = capsys.readouterr().out
    assert "60 train, 60 test (all split" in said and "shufflenet_v2_x0_5 from " in said and "Bald       | 60 |" in said
    run_step(STEP_1, *shared, "--run_name", "all", "--evaluate_only", "--split", "released", "--limit", 80)
    assert "60 train, 20 test (released split" in capsys.readouterr().out
    with pytest.raises(InputError, match="has model shufflenet_v2_x0_5, asked for is resnet18"):
        run_step(STEP_1, *shared, "--run_name", "all", "--evaluate_only", "--model", "resnet18")


def test_a_test_part_without_a_class_is_trained_on_with_a_warning(tmp_path, monkeypatch, capsys):
    labels = np.array([[1, 0]] * 6 + [[0, 1]] * 6 + [[0, 1]] * 4, np.uint8)  # sorted: the last quarter has no first one
    names = ["--task", "Bald", "Smiling", "--data_path", make_folder(tmp_path / "d", np.c_[labels, labels[:, :1]])]
    monkeypatch.chdir(tmp_path)
    run_step(STEP_1, *names, *FLAGS[3:], "--batch_size", 4)
    said, warned = capsys.readouterr()
    for line in ("none of the 4 test images have Bald", "all of the 4 test images have Smiling"):
        assert f"warning: {line}" in warned
    assert "mean AUC -  " in said and "nan" not in said
    assert said.splitlines()[-2].split("|")[-1].strip() == "-"


def test_a_network_that_diverges_is_one_line_and_leaves_no_file(train):
    with pytest.raises(InputError, match="use a --lr below 1e|train it with a smaller --lr"):
        train("--optimizer", "sgd", "--lr", 1e30)
    assert not RUN.exists()
