"""--log tensorboard: what is written is read back with TensorBoard's own reader."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import STEP_1, run_here

from utils.common.arguments import recorded_flags
from utils.common.normalisation import HALF
from utils.training import events
from utils.training.recipe import TrainingSettings

reader = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="not installed: tensorboard (requirements-dev.txt)"
)

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


def write(folder, losses, state=None, log="tensorboard"):
    """A training whose epochs had these losses; it goes on after a state."""
    begun = state["epoch"] if state else 0
    settings = TrainingSettings(epochs=begun + len(losses), lr=0.25)
    written = events.TrainingLog(log, folder / "original.pth", state, settings)
    assert written.begin(Faces(), lambda images, generator: images.flip(0), "cpu") is written
    for number, loss in enumerate(losses, begun + 1):
        found = figures(None if number == 1 else 0.5 + number / 10)
        assert written.epoch(progress(number, loss), found) is found
    return written.folder


def read(folder):
    found = reader.EventAccumulator(str(folder), {reader.SCALARS: 0, reader.IMAGES: 0})
    return found.Reload()


def curve(found, name):
    return [(point.step, round(point.value, 4)) for point in found.Scalars(name)]


def test_curves_pictures_and_settings_are_there(tmp_path, capsys):
    found = read(write(tmp_path, [0.5, 0.25]))
    assert (
        curve(found, "training/loss") == [(1, 0.5), (2, 0.25)] and curve(found, "training/accuracy/Bald")[0][1] == 0.5
    )
    assert curve(found, "held out/auc/Bald") == [(2, 0.7)]  # undefined in the first epoch
    assert "held out/balanced_accuracy/Bald" not in found.Tags()["scalars"]
    assert curve(found, "last/held out/auc/Bald") == [(0, 0.7)]
    assert len(found.Tags()["images"]) == 16
    (picture,) = found.Images("training images/00")
    assert (picture.width, picture.height) == (4, 4)
    content = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    asked = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert asked["lr"].number_value == 0.25 and asked["optimizer"].string_value == "adamw"
    assert capsys.readouterr().out == f"look at the curves: tensorboard --logdir {tmp_path / 'tensorboard'}\n"


def test_a_training_that_goes_on_takes_the_place_of_the_curve_behind_it(tmp_path):
    write(tmp_path, [0.5, 0.4, 0.3])
    found = read(write(tmp_path, [0.2], state={"epoch": 2}))
    assert curve(found, "training/loss") == [(1, 0.5), (2, 0.4), (3, 0.2)]
    assert curve(read(write(tmp_path, [0.1])), "training/loss") == [(1, 0.1)]  # and one from the start, of all of it


def test_a_finished_training_adds_nothing(tmp_path):
    assert not write(tmp_path, [], state={"epoch": 2}).exists()


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
