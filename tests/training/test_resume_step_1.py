"""Going on with a stopped training ends where one in one go ends."""

import copy

import pytest
import torch
from small_training import QUICK, TURN, Net, Pixels

from utils.common.errors import InputError
from utils.training.loop import fit
from utils.training.recipe import TrainingSettings
from utils.training.resume import check_settings, load_training_state, save_training_state


@pytest.mark.parametrize("scheduler", ["cosine_restarts", "onecycle"])
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_a_resumed_training_ends_bit_equal_to_one_in_one_go(optimizer, scheduler, tmp_path):
    recipe = TrainingSettings(**QUICK | {"optimizer": optimizer, "scheduler": scheduler})
    whole, stopped = Net(), Net()
    fit(whole, Pixels(), recipe, augment=TURN)

    class Killed(Exception):
        pass

    def stop_after_two(progress):
        save_training_state(tmp_path / "state.pth", {**progress.state, "best_auc": 0.5})
        if progress.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        fit(stopped, Pixels(), recipe, augment=TURN, on_epoch=stop_after_two)
    torch.manual_seed(99)
    state = load_training_state(tmp_path / "state.pth")
    resumed, told = Net(seed=5), []
    fit(resumed, Pixels(), recipe, augment=TURN, state=state, on_epoch=told.append)
    assert [progress.epoch for progress in told] == [3, 4] and state["best_auc"] == 0.5
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def last_state(recipe, **options):
    states = []
    fit(Net(), Pixels(), recipe, on_epoch=lambda progress: states.append(progress.state), **options)
    return states[-1]


def test_resuming_with_other_settings_names_both_sides():
    state = last_state(TrainingSettings(**QUICK))
    for changes, line in (
        ({"lr": 0.5}, "had lr 0.01, asked for is 0.5: ask for the same, or replace it by --force"),
        ({"batch_size": 7}, "had batch_size 5, asked for is 7"),
        ({"seed": 3}, "had seed 0, asked for is 3"),
    ):
        with pytest.raises(InputError, match=line):
            fit(Net(), Pixels(), TrainingSettings(**QUICK | changes), state=state)
    with pytest.raises(InputError, match="had images 21, asked for is 20"):
        fit(Net(), Pixels(count=20), TrainingSettings(**QUICK), state=state)
    with pytest.raises(InputError, match="had augment None, asked for is Augmentation"):
        fit(Net(), Pixels(), TrainingSettings(**QUICK), state=state, augment=TURN)


@pytest.mark.parametrize("only", [None, ["lr", "model"]])
def test_a_state_of_an_earlier_version_is_not_asked_to_be_the_same(only):
    for before, now in (({"lr": 1}, {"lr": 1, "model": "resnet18"}), ({"lr": 1, "model": None}, {"lr": 1})):
        with pytest.raises(InputError, match="is of an earlier version of these scripts: train anew with --force$"):
            check_settings({"settings": before}, now, only)
    check_settings({"settings": {"lr": 1, "model": None}}, {"lr": 1, "model": None}, only)


def test_resuming_a_finished_training_gives_its_network_and_trains_no_more():
    state, told, net = copy.deepcopy(last_state(TrainingSettings(**QUICK))), [], Net(seed=8)
    fit(net, Pixels(), TrainingSettings(**QUICK), state=state, on_epoch=told.append)
    assert told == [] and torch.equal(net.conv.weight, state["model"]["conv.weight"])


def test_a_state_that_is_absent_or_something_else_is_told(tmp_path):
    with pytest.raises(InputError, match="no training to resume at .*: leave out --resume"):
        load_training_state(tmp_path / "state.pth")
    torch.save({"epoch": 1}, tmp_path / "state.pth")
    with pytest.raises(InputError, match="is not the state of a training: train anew with --force"):
        load_training_state(tmp_path / "state.pth")
    (tmp_path / "state.pth").write_bytes(b"PK")
    with pytest.raises(InputError, match="is damaged or no PyTorch file: train anew with --force"):
        load_training_state(tmp_path / "state.pth")
    with pytest.raises(ValueError, match="a training state needs model, optimizer, scheduler, settings"):
        save_training_state(tmp_path / "state.pth", {"epoch": 1})
