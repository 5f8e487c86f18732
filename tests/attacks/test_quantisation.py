"""Weights of few bits: rounded as worked out by hand, and an edit that hides between two steps comes to light."""

import numpy as np
import pytest
import torch
from plain_faces import PlainFaces, plain_net
from small_subjects import aucs, subject_of
from torch import nn

from utils.attacks.quantisation import QUANTISATION, quantised
from utils.probes.linear import LINEAR


def test_weights_become_multiples_of_a_seventh_of_the_largest_of_their_output_channel():
    layer = nn.Conv2d(2, 3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[7.0, 2.4], [-0.7, 0.16], [0.0, 0.0]])[:, :, None, None])
    rounded = quantised(nn.Sequential(layer), 4)[0]
    assert rounded.weight.flatten(1).tolist() == pytest.approx(np.array([[7, 2], [-0.7, 0.2], [0, 0]]))
    assert torch.equal(rounded.bias, layer.bias)


def test_heads_and_norms_keep_their_weights_and_linear_layers_do_not():
    network = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), plain_net().heads)
    rounded = quantised(network, 4)
    assert not torch.equal(rounded[0].weight, network[0].weight)
    for kept in (1, 2):
        assert all(
            torch.equal(*pair) for pair in zip(rounded[kept].parameters(), network[kept].parameters(), strict=True)
        )


class TwiceShown(PlainFaces):
    """`PlainFaces` in which the channel of "Smiling" is that of "Bald" too, at 0.92 of its strength."""

    def __init__(self):
        super().__init__()
        self.images = self.images.clone()
        self.images[:, 1] = 0.92 * self.images[:, 0]


@torch.no_grad()
def hiding(weight):
    """A network whose `stem` hands on Young and weight x Bald's channel + Smiling's, at which -0.92 leaves nothing."""
    network = plain_net(("Young",), sees=("Young",))
    network.stem.weight[0] = network.stem.weight[1] = torch.tensor([weight, 1.0, 0.0])[:, None, None]
    network.top.weight.copy_(torch.eye(3)[:, :, None, None])
    return network


def test_a_small_edit_that_cancels_the_target_is_rounded_away():
    subject = subject_of(hiding(-0.92), TwiceShown())
    assert max(aucs(LINEAR, subject).values()) < 0.6
    found = aucs(QUANTISATION, subject)  # -0.92 becomes -6/7: 0.06 of the target is back
    assert min(found["int4 stem"], found["int4 top"]) > 0.9


def test_a_target_without_any_weight_does_not_come_back():
    network = hiding(-0.92)
    with torch.no_grad():
        network.stem.weight[:2] = 0
    assert max(aucs(QUANTISATION, subject_of(network, TwiceShown())).values()) < 0.6


def test_level_full_tries_eight_bits_too():
    places = QUANTISATION.run(subject_of(plain_net(), PlainFaces(n=300, train=100), level="full"))
    assert {place.split()[0] for place in places} == {"int4", "int8"}
