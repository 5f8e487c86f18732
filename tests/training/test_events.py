"""--log tensorboard: what is written is read back with TensorBoard's own reader."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import STEP_1, run_here

from utils.common.arguments import recorded_flags
from utils.common.normalisation import HALF
from utils.training import events

reader = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="not installed: tensorboard (requirements-dev.txt)"
)

event_file_writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
plugin_data_pb2 = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")


class Faces:
    """Twenty grey images, each of its own brightness."""

    normalisation = HALF

    def rows(self, split):
        assert split == "train"
        return np.arange(20)

    def batches(self, rows, batch_size, device):
        yield torch.linspace(-1, 1, 20)[rows][:, None, None, None].expand(-1, 3, 4, 4), None


def progress(epoch, loss):
    return SimpleNamespace(epoch=epoch, loss=loss, lr=0.1, images_per_second=9.0, accuracy={"Bald": 0.5})


def figures(auc):
    return {"Bald": {"auc": auc, "accuracy": 0.75, "balanced_accuracy": None, "tpr": 0.25, "tnr": 0.5}}


@pytest.fixture(autouse=True)
def numbered_from_0(monkeypatch):
    """The names of event files of one second are read in order as long as their numbers have one digit."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def write(folder, losses, begun=0, log="tensorboard", lr=0.25):
    """A training whose epochs had these losses; it goes on after `begun` epochs."""
    epochs = begun + len(losses)
    settings = {"lr": lr, "optimizer": "adamw", "attributes": ["Bald"], "seed": 0, "epochs": epochs}
    written = events.TrainingLog(log, folder / "original.pth", begun, settings, epochs)
    written.show(Faces(), lambda images, generator: images.flip(0))
    for number, loss in enumerate(losses, begun + 1):
        written.epoch(progress(number, loss), figures(None if number == 1 else 0.5 + number / 10))
    return written.folder


def read(folder):
    found = reader.EventAccumulator(str(folder), {reader.SCALARS: 0, reader.IMAGES: 0})
    return found.Reload()


def curve(found, name):
    return [(point.step, round(point.value, 4)) for point in found.Scalars(name)]


def settings_of(folder):
    """What TensorBoard shows of the settings, and the figures beside them."""
    found = read(folder / "settings")
    content = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams, found


def test_curves_pictures_and_settings_are_there(tmp_path, capsys):
    folder = write(tmp_path, [0.5, 0.25])
    found = read(folder)
    assert (
        curve(found, "training/loss") == [(1, 0.5), (2, 0.25)] and curve(found, "training/accuracy/Bald")[0][1] == 0.5
    )
    assert curve(found, "held out/auc/Bald") == [(2, 0.7)]  # undefined in the first epoch
    assert "held out/balanced_accuracy/Bald" not in found.Tags()["scalars"]
    assert len(found.Tags()["images"]) == 16
    (picture,) = found.Images("training images/00")
    assert (picture.width, picture.height) == (4, 4)
    asked, beside = settings_of(folder)
    assert asked["lr"].number_value == 0.25 and asked["attributes"].string_value == "['Bald']"
    assert curve(beside, "held out/auc/Bald") == [(0, 0.7)]
    assert capsys.readouterr().out == f"look at the curves: tensorboard --logdir {tmp_path / 'tensorboard'}\n"


def test_a_training_that_goes_on_takes_the_place_of_the_curve_behind_it(tmp_path):
    write(tmp_path, [0.5, 0.4, 0.3])
    folder = write(tmp_path, [0.2], begun=2)
    assert curve(read(folder), "training/loss") == [(1, 0.5), (2, 0.4), (3, 0.2)]
    assert len(read(folder).Images("training images/00")) == 1


def test_one_that_starts_anew_takes_the_place_of_all_but_not_before_its_first_epoch_is_done(tmp_path):
    folder = write(tmp_path, [0.5, 0.4], lr=0.25)
    again = events.TrainingLog("tensorboard", tmp_path / "original.pth", 0, {"lr": 0.5, "seed": 0}, 1)
    again.show(Faces(), None)
    assert curve(read(folder), "training/loss") == [(1, 0.5), (2, 0.4)]  # it was stopped before
    write(tmp_path, [0.1, 0.2], lr=0.001)
    asked, beside = settings_of(folder)
    assert curve(read(folder), "training/loss") == [(1, 0.1), (2, 0.2)] and asked["lr"].number_value == 0.001
    assert len(curve(beside, "held out/auc/Bald")) == len(read(folder).Images("training images/00")) == 1


def test_a_finished_training_adds_nothing(tmp_path):
    assert not write(tmp_path, [], begun=2).exists()


def test_what_cannot_be_written_is_said_before_any_work(tmp_path, tiny_celeba):
    (tmp_path / "checkpoints" / "r").mkdir(parents=True)
    (tmp_path / "checkpoints" / "r" / "tensorboard").touch()
    words = ["--task", "Bald", "--data_path", tiny_celeba, "--run_name", "r", "--log", "tensorboard"]
    done = run_here(STEP_1, *words, folder=tmp_path)
    assert done.returncode == 2 and "tensorboard" in done.stderr and "decode" not in done.stderr
    assert not (tmp_path / "cache").exists()


def test_without_the_flag_nothing_is_written_and_without_the_package_a_line_says_what_to_install(tmp_path, monkeypatch):
    assert not write(tmp_path, [0.5], log=None).exists()
    monkeypatch.setattr(events.importlib.util, "find_spec", lambda name: None)
    done = run_here(STEP_1, "--log", "tensorboard", folder=tmp_path)
    assert done.returncode == 2 and done.stderr.endswith(
        "error: --log tensorboard needs tensorboard, not installed here: pip install tensorboard\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_flag_is_in_no_checkpoint():
    assert "log" not in recorded_flags({"log": "tensorboard", "epoch": 3})
