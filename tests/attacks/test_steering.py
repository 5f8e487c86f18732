"""Steering lifts what is too faint for the layers behind it, along the original's direction and along no other."""

import numpy as np
import pytest
import torch
from plain_faces import PlainFaces, plain_net
from small_subjects import ParityNet, aucs, subject_of

from utils.attacks.steering import GAIN, STEERING
from utils.probes.features import LAST
from utils.probes.linear import LINEAR


@torch.no_grad()
def faint(strength):
    """Its `stem` hands on so much of the target's channel, and its `top` lets pass what is above one half."""
    network = ParityNet(("Smiling", "Young"))
    for layer in (network.stem, network.top):
        layer.weight.copy_(torch.eye(3)[:, :, None, None])
        layer.bias.zero_()
    network.stem.weight[0] *= strength
    network.top.bias[0] = -0.5
    return network


def test_a_target_too_faint_for_the_relu_behind_it_reaches_the_last_features():
    subject = subject_of(faint(0.2), PlainFaces(), original=plain_net())
    assert aucs(LINEAR, subject)[LAST] < 0.6
    assert aucs(STEERING, subject)["stem"] > 0.9


def test_what_is_not_there_cannot_be_lifted():
    assert aucs(STEERING, subject_of(faint(0.0), PlainFaces(), original=plain_net()))["stem"] < 0.6


def test_an_original_with_another_direction_lifts_nothing():
    turned = plain_net()
    with torch.no_grad():
        turned.stem.weight.copy_(turned.stem.weight.roll(1, 0))  # the target's channel is its second
    assert aucs(STEERING, subject_of(faint(0.2), PlainFaces(), original=turned))["stem"] < 0.6


def test_each_position_moves_by_its_own_component():
    network, data = plain_net(), PlainFaces(n=60, train=30)
    subject = subject_of(network, data, original=network)
    means, y = subject.train.stages["stem"], subject.setup.y_train.astype(bool)
    direction = means[y].mean(0) - means[~y].mean(0)
    direction /= np.linalg.norm(direction)
    seen = []
    handle = network.top.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    STEERING.run(subject)
    handle.remove()
    before = torch.cat([images for images, _ in data.batches(subject.setup.train, 256, "cpu")]).mean((2, 3)).numpy()
    expected = before + GAIN * np.outer((before - means.mean(0)) @ direction, direction)
    assert seen[0].mean((2, 3)).numpy() == pytest.approx(expected, abs=1e-4)


def test_the_last_stage_alone_is_left_out_even_if_it_has_no_map():
    subject = subject_of(plain_net(), PlainFaces(n=60, train=30), original=plain_net())
    assert list(STEERING.run(subject)) == ["stem"]
    del subject.train.maps["top"]  # as where its map has one position
    assert list(STEERING.run(subject)) == ["stem"]


def test_without_an_original_there_is_no_direction():
    assert STEERING.run(subject_of(plain_net(), PlainFaces())) == {}
