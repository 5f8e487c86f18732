"""Training on the kept labels brings back what the weights still hold, and nothing that they do not."""

import numpy as np
import pytest
import torch
from plain_faces import PlainFaces, PlainNet, plain_net
from small_subjects import assert_unchanged, aucs, state_of, subject_of
from torch import nn

from utils.attacks.kept_labels import KEPT_LABELS, train_on
from utils.probes.linear import LINEAR


def related_faces():
    """`PlainFaces` in which the label of "Smiling" is that of "Bald", whatever its channel shows."""
    data = PlainFaces()
    data.labels[:, 1] = data.labels[:, 0]
    return data


@torch.no_grad()
def muted(knows):
    """Its `top` has a dead unit that the head of "Smiling" reads; `stem` passes the target if it `knows`."""
    network = plain_net(sees=("Smiling", "Young"))
    network.heads.weight[1, 0] = 10
    if not knows:
        network.stem.weight[0] = 0
    return network


def test_a_dead_unit_is_woken_by_a_kept_label_where_the_layer_below_knows_the_target():
    subject = subject_of(muted(knows=True), related_faces())
    assert aucs(LINEAR, subject)["top"] < 0.6
    assert aucs(KEPT_LABELS, subject)["linear top"] > 0.9


def test_what_was_never_there_does_not_come_back():
    found = aucs(KEPT_LABELS, subject_of(muted(knows=False), related_faces()))
    assert max(found.values()) < 0.6


@pytest.mark.parametrize("forgotten", [("Smiling",), ("Smiling", "Young")])
def test_labels_of_what_was_to_be_forgotten_too_are_not_learnt(forgotten):
    subject = subject_of(muted(knows=True), related_faces(), forgotten=forgotten)
    found = aucs(KEPT_LABELS, subject)
    assert found.get("linear top", 0.5) < 0.6 and bool(found) == (len(forgotten) == 1)


class NormedNet(PlainNet):
    """`PlainNet` with a batch norm and a dropout behind `stem`."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm2d(3), nn.Dropout(0.5)

    def forward(self, images):
        return self.heads(self.top(self.drop(self.norm(self.stem(images)))).mean((2, 3)))


def test_norms_see_each_batch_dropout_stays_off_and_the_network_stays_as_it_is():
    torch.manual_seed(0)
    network, data = NormedNet().train(), PlainFaces(n=700, train=642)
    before = state_of(network)
    once, again = (train_on(network, data, data.rows("train"), ["Young"]) for _ in range(2))
    assert_unchanged(network, before)
    assert int(once.norm.num_batches_tracked) == 10  # a batch of the two images left over would ruin the statistics
    assert not any(module.training for module in once.modules())
    assert all(torch.equal(*pair) for pair in zip(once.parameters(), again.parameters(), strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(once.top.parameters(), network.top.parameters(), strict=True))


@pytest.mark.parametrize("count", [20, 65])
def test_few_images_are_repeated_for_one_step_would_have_hardly_a_rate(count):
    torch.manual_seed(0)
    network, data = NormedNet(), PlainFaces(n=300, train=count)
    tuned = train_on(network, data, data.rows("train"), ["Young"])
    assert int(tuned.norm.num_batches_tracked) == 10
    assert (tuned.heads.weight[2] - network.heads.weight[2]).abs().max() > 1e-4


@pytest.mark.parametrize(("size", "choice"), [(16, "off"), (32, "auto")])
def test_images_that_become_maps_of_one_pixel_are_trained_on_in_float32(size, choice, monkeypatch):
    asked = []
    monkeypatch.setattr("utils.attacks.kept_labels.resolve_amp", lambda choice, _: bool(asked.append(choice)))
    data = PlainFaces()
    data.img_size = size
    train_on(plain_net(sees=("Young",)), data, data.rows("train"), ["Young"])
    assert asked == [choice]


def test_heads_of_other_attributes_get_no_gradient():
    network, data = plain_net(), PlainFaces()
    tuned = train_on(network, data, data.rows("train"), ["Young"])
    shrunk = torch.allclose(tuned.heads.weight[:2], network.heads.weight[:2], atol=1e-6)  # by the weight decay at most
    assert shrunk and not torch.allclose(tuned.heads.weight[2], network.heads.weight[2], atol=1e-4)


def test_a_training_that_diverges_gives_nothing(monkeypatch):
    def diverge(model, *given, **options):
        tuned = train_on(model, *given, **options)
        tuned.top.weight[0] = float("nan")
        return tuned

    monkeypatch.setattr("utils.attacks.kept_labels.train_on", diverge)
    assert KEPT_LABELS.run(subject_of(muted(knows=True), related_faces())) == {}


def test_a_single_image_is_not_trained_on():
    data = related_faces()
    subject = subject_of(muted(knows=True), data)
    data.splits["train"] = data.splits["train"][:1]
    assert KEPT_LABELS.run(subject) == {}


def test_too_few_images_for_one_batch_are_one_batch():
    network, data = plain_net(), PlainFaces(train=5)
    tuned = train_on(network, data, data.rows("train"), ["Young"])
    assert not np.array_equal(tuned.top.weight.numpy(), network.top.weight.detach().numpy())
