"""Training: the order of the images, an epoch by hand, predictions, values that two networks share."""

import copy
import math

import numpy as np
import pytest
import torch
from conftest import same_values_share
from small_training import QUICK, TURN, Net, Pixels
from torch import nn

from models import build_model
from models.heads import AttributeHeads, drop_head
from utils.common.errors import InputError
from utils.evaluation.predict import predict
from utils.network.modes import keeping_modes
from utils.training import loop
from utils.training.batches import rows_of_epoch
from utils.training.loop import fit, means_of, train_steps
from utils.training.recipe import TrainingSettings


def test_one_epoch_by_hand():
    # zero weights: every logit 0, loss ln 2, gradient of the bias (1/2 - y) averaged over images and heads
    heads = AttributeHeads(1, ("A", "B"))
    nn.init.zeros_(heads.weight), nn.init.zeros_(heads.bias)
    net = nn.Sequential(nn.Flatten(), heads)
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    loss, accuracy = means_of(train_steps(net, [(torch.ones(2, 1, 1, 1), labels)], optimizer)[0])
    assert loss == pytest.approx(math.log(2))
    assert accuracy == [0.0, 0.5]  # a logit of 0 says no
    assert heads.bias.tolist() == pytest.approx([(0.5 + 0.5) / 4, 0.0])
    assert heads.weight.flatten().tolist() == pytest.approx([0.25, 0.0])
    assert heads.weight.grad is None


def test_the_loss_is_the_mean_over_images_though_the_last_batch_is_short():
    heads = AttributeHeads(1, ("A",))
    nn.init.ones_(heads.weight), nn.init.zeros_(heads.bias)
    frozen = torch.optim.SGD(heads.parameters(), lr=0.0)
    images = torch.tensor([0.0, 1.0, 3.0]).reshape(3, 1, 1, 1)
    net, labels = nn.Sequential(nn.Flatten(), heads), torch.ones(3, 1)
    sums, steps = train_steps(net, [(images[:2], labels[:2]), (images[2:], labels[2:])], frozen)
    loss, accuracy = means_of(sums)
    assert steps == 2
    assert loss == pytest.approx(sum(math.log(1 + math.exp(-x)) for x in (0, 1, 3)) / 3, rel=1e-6)
    assert accuracy == [pytest.approx(2 / 3)]


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    rows = np.arange(100, 200)
    first, batch_size = rows_of_epoch(rows, TrainingSettings(seed=1), 0)
    torch.rand(5)  # nothing that others draw matters
    again, _ = rows_of_epoch(rows, TrainingSettings(seed=1, epochs=3, lr=1.0), 0)
    assert np.array_equal(first, again) and batch_size == 128
    assert sorted(first) == list(rows) and not np.array_equal(first, rows)
    for other in ((TrainingSettings(seed=2), 0), (TrainingSettings(seed=1), 1)):
        assert not np.array_equal(first, rows_of_epoch(rows, *other)[0])


def test_unshuffled_rows_come_as_they_are():
    rows = np.array([5, 3, 9, 4])
    assert rows_of_epoch(rows, TrainingSettings(shuffle=False), 3)[0].tolist() == [5, 3, 9, 4]


def test_a_last_batch_of_one_image_is_left_out_and_a_longer_one_is_not():
    assert len(rows_of_epoch(np.arange(9), TrainingSettings(batch_size=4), 0)[0]) == 8
    assert len(rows_of_epoch(np.arange(10), TrainingSettings(batch_size=4), 0)[0]) == 10
    assert len(rows_of_epoch(np.arange(3), TrainingSettings(batch_size=1), 0)[0]) == 3
    with pytest.raises(InputError, match="1 training images are too few"):
        rows_of_epoch(np.arange(1), TrainingSettings(batch_size=4), 0)


def test_a_net_without_one_head_sees_the_same_images_in_the_same_order():
    seen = []
    for attributes in (("A", "B"), ("B",)):
        data, images = Pixels(attributes=attributes), []
        keep = lambda batch, generator, images=images: images.append(TURN(batch, generator)) or images[-1]  # noqa: E731
        fit(Net(attributes, seed=len(attributes)), data, TrainingSettings(**QUICK), augment=keep)
        seen.append((data.asked, images))
    (rows_a, images_a), (rows_b, images_b) = seen
    assert len(rows_a) == 4 and all(map(np.array_equal, rows_a, rows_b))
    assert len(images_a) == 16 and all(map(torch.equal, images_a, images_b))


def test_it_learns_what_can_be_learnt():
    model, told = Net(), []
    fit(
        model,
        Pixels(count=80),
        TrainingSettings(**QUICK | {"epochs": 30, "scheduler": "onecycle"}),
        on_epoch=told.append,
    )
    assert [progress.epoch for progress in told] == list(range(1, 31))
    assert told[-1].accuracy["A"] > 0.9 and told[-1].loss < told[0].loss
    assert told[0].seconds > 0 and told[0].images_per_second == pytest.approx(80 / told[0].seconds)


def test_images_of_a_batch_that_is_left_out_do_not_count_as_trained_on():
    told = []
    fit(Net(), Pixels(count=17), TrainingSettings(**QUICK | {"epochs": 1, "batch_size": 16}), on_epoch=told.append)
    assert told[0].images_per_second == pytest.approx(16 / told[0].seconds)


def test_the_same_seed_trains_the_same_network_and_another_does_not():
    nets = [Net(), Net(), Net()]
    for net, seed in zip(nets, (1, 1, 2), strict=True):
        torch.manual_seed(seed + 40)
        fit(net, Pixels(), TrainingSettings(**QUICK, seed=seed), augment=TURN)
    one, same, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_loss_that_is_no_number_stops_the_training_and_names_the_learning_rate():
    data = Pixels()
    data.images[3] = math.nan
    with pytest.raises(loop.TrainingDiverged, match="the loss is nan in epoch 1: use a --lr below 0.01"):
        fit(Net(), data, TrainingSettings(**QUICK))
    assert issubclass(loop.TrainingDiverged, InputError) and issubclass(loop.TrainingDiverged, RuntimeError)


def test_a_weight_that_is_no_number_stops_the_training_though_no_output_shows_it():
    net = Net()
    net.unused = nn.Parameter(torch.tensor([1.0, math.nan]))
    with pytest.raises(loop.TrainingDiverged, match="weights are not finite after epoch 1, though the loss is: use a"):
        fit(net, Pixels(), TrainingSettings(**QUICK))


def test_training_leaves_modes_and_gradients_as_they_were():
    net = Net().eval()
    net.drop.train()
    fit(net, Pixels(), TrainingSettings(**QUICK | {"epochs": 1}))
    assert not net.training and net.drop.training and not net.norm.training
    assert all(parameter.grad is None for parameter in net.parameters())


def test_compiling_is_a_switch(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model: compiled.append(model) or model)
    net = Net()
    fit(net, Pixels(), TrainingSettings(**QUICK | {"epochs": 1}))
    assert compiled == []
    fit(net, Pixels(), TrainingSettings(**QUICK | {"epochs": 1}, compile=True))
    assert compiled == [net]


def test_predictions_come_in_the_order_of_the_rows_and_do_not_depend_on_the_batch_size():
    net, data, rows = Net(), Pixels(), np.array([7, 2, 20, 2, 11])
    logits, labels = predict(net, data, rows, 2, "cpu")
    with torch.no_grad():
        expected = net.eval()(data.images[rows])
    assert torch.allclose(logits, expected, atol=1e-6) and torch.equal(labels, data.labels[rows])
    assert torch.allclose(predict(net, data, rows, 64, "cpu")[0], logits, atol=1e-6)
    assert logits.dtype == labels.dtype == torch.float32 and not logits.requires_grad


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_outputs_that_are_not_finite_name_the_cure(value):
    net = Net()
    with torch.no_grad():
        net.fc.bias[0] = value
    line = r"the network's outputs are not finite \(9 of 18 are NaN or infinite\), .* train it with a smaller --lr"
    with pytest.raises(InputError, match=line):
        predict(net, Pixels(), np.arange(9), 4, "cpu")


def test_predicting_leaves_the_network_as_it_was():
    net = Net().train()
    net.norm.eval()
    before = copy.deepcopy(net.state_dict())
    predict(net, Pixels(), np.arange(9), 4, "cpu")
    assert net.training and net.drop.training and not net.norm.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_modes_are_put_back_after_an_error_too():
    net = Net().eval()
    with pytest.raises(ZeroDivisionError), keeping_modes(net):
        net.train()
        raise ZeroDivisionError
    assert not any(module.training for module in net.modules())


def test_no_rows_give_no_predictions():
    logits, labels = predict(Net(), Pixels(), np.arange(0), 4, "cpu")
    assert logits.shape == labels.shape == (0, 2)


def test_bfloat16_is_near_float32_and_comes_back_as_float32():
    net, data = Net(), Pixels()
    exact, _ = predict(net, data, np.arange(21), 7, "cpu")
    rough, _ = predict(net, data, np.arange(21), 7, "cpu", bf16=True)
    assert rough.dtype == torch.float32 and not torch.equal(rough, exact)
    assert torch.allclose(rough, exact, atol=0.03)
    assert rough.sub(exact).abs().max() > 0


def test_training_in_bfloat16_keeps_float32_weights():
    net, told = Net(), []
    fit(net, Pixels(), TrainingSettings(**QUICK | {"amp": "bf16", "epochs": 1}), on_epoch=told.append)
    assert {value.dtype for value in net.parameters()} == {torch.float32} and math.isfinite(told[0].loss)


def test_values_shared_by_two_networks():
    one = Net(seed=1)
    assert same_values_share(one, one) == same_values_share(one, copy.deepcopy(one)) == 1.0
    assert same_values_share(one, Net(seed=2)) < 0.02  # batch norms are alike when fresh and do not count
    part = Net(seed=2)
    with torch.no_grad():
        part.conv.weight[0] = one.conv.weight[0]
    assert same_values_share(one, part) == 0.25  # one filter of four


def test_heads_are_compared_by_name_not_by_row():
    one, other = Net(("A", "B"), seed=1), Net(("B",), seed=2)
    assert same_values_share(one, other) < 0.02
    with torch.no_grad():
        other.fc.weight[0] = one.fc.weight[1]
    assert same_values_share(one, other) == same_values_share(other, one) == 1.0


def test_a_seed_of_its_own_gives_a_net_that_shares_nothing_and_the_same_seed_shares_the_trunk():
    def build(attributes, seed):
        torch.manual_seed(seed)
        return build_model("shufflenet_v2_x0_5", attributes)

    original = build(("A", "B"), 0)
    assert same_values_share(original, build(("B",), 0)) == 1.0
    assert same_values_share(original, build(("B",), 1)) < 0.02
    assert same_values_share(original, drop_head(copy.deepcopy(original), "A")) == 1.0
