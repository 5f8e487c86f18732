"""Stitching finds what the original's own layers read, in any linear disguise, and nothing else."""

import numpy as np
import pytest
import torch
from plain_faces import NAMES, PlainFaces, plain_net
from small_subjects import aucs, parity_faces, parity_net, subject_of
from torch import nn

from models.heads import AttributeHeads
from utils.attacks.steering import STEERING
from utils.attacks.stitching import STITCHING, fit_map
from utils.probes.linear import LINEAR

TURNED = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0].astype(np.float32)


def blocked(mixed):
    """A parity net whose upper layer reads nothing, what it knows lies turned in the lower one."""
    network = parity_net(mixed)
    with torch.no_grad():
        network.top.weight.zero_()
    return network


def test_a_parity_under_a_rotation_is_found_by_the_originals_rest_and_by_no_linear_probe():
    subject = subject_of(blocked(TURNED), parity_faces(), original=parity_net())
    assert max(abs(value - 0.5) for value in aucs(LINEAR, subject).values()) < 0.06
    found = aucs(STITCHING, subject)
    assert found["stem"] > 0.99
    assert found["top"] == 0.5  # a stage that is all zero gives one score for all


def test_a_network_that_sees_one_channel_of_three_gives_the_original_nothing_to_read():
    blind = blocked(np.outer([1, 2, -1], [0, 1, 0]).astype(np.float32))
    found = aucs(STITCHING, subject_of(blind, parity_faces(), original=parity_net()))
    assert abs(found["stem"] - 0.5) < 0.06


def test_the_original_stitched_into_itself_answers_as_it_does():
    subject = subject_of(parity_net(), parity_faces(), original=parity_net())
    scores = STITCHING.run(subject)
    for stage in ("stem", "top"):
        assert np.corrcoef(scores[stage], subject.test.logits[:, 0])[0, 1] > 0.995, stage


def test_nothing_of_the_images_reaches_the_original_round_the_stage():
    network = parity_net()
    network.forward = lambda images: network.heads(
        torch.relu(network.top(network.stem(images) + images)).mean((2, 3))  # a way round the stem
    )
    subject = subject_of(blocked(np.zeros((3, 3), np.float32)), parity_faces(), original=network)
    assert aucs(STITCHING, subject)["stem"] == 0.5


def test_a_map_is_the_ridge_regression_of_all_positions():
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(40, 4, 3, 3, generator=generator) + 100  # a large mean does not cost digits
    weight, shift = torch.randn(5, 4, generator=generator), torch.randn(5, generator=generator)
    theirs = torch.einsum("dc,nchw->ndhw", weight, own) + shift[:, None, None]
    found, bias = fit_map(own, theirs)
    assert found.shape == (5, 4, 1, 1)
    assert torch.allclose(found[:, :, 0, 0], weight, atol=0.01)  # a ridge of a thousandth shrinks by as much
    assert torch.allclose(torch.nn.functional.conv2d(own, found, bias), theirs, atol=0.05)


@pytest.mark.parametrize("attributes", [None, ("Smiling", "Young")])
def test_without_an_original_that_answers_there_is_nothing_to_stitch(attributes):
    original = None if attributes is None else plain_net(attributes)
    assert STITCHING.run(subject_of(plain_net(), PlainFaces(), original=original)) == {}


class JoinedNet(nn.Module):
    """Joins the values of its first stage with what another layer reads off the images."""

    def __init__(self):
        super().__init__()
        self.other, self.stem, self.top = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(6, 3, 1)
        self.heads = AttributeHeads(3, NAMES)
        self.attributes = self.heads.attributes

    def forward(self, images):
        values = torch.cat([self.other(images), self.stem(images)], 1)
        return self.heads(torch.relu(self.top(values)).mean((2, 3)))


def test_a_stage_that_is_joined_with_another_is_stitched_and_the_other_sees_no_image():
    network = JoinedNet().eval()
    with torch.no_grad():
        network.top.bias.fill_(5)  # no unit is dead
        network.heads.weight.copy_(torch.eye(3))
    subject = subject_of(network, PlainFaces(), original=network)
    images = torch.cat([images for images, _ in subject.setup.data.batches(subject.setup.test, 256, "cpu")])
    with torch.no_grad():
        other = network.other(torch.zeros_like(images))
        values = torch.relu(network.top(torch.cat([other, network.stem(images)], 1)))
        expected = network.heads(values.mean((2, 3)))[:, 0].numpy()
    assert np.corrcoef(STITCHING.run(subject)["stem"], expected)[0, 1] > 0.999


class ChannelsLast(nn.Module):
    """A stage whose maps have the channels last, as those of Swin transformers."""

    def __init__(self, stage):
        super().__init__()
        self.inner = stage

    def forward(self, maps):
        return self.inner(maps).movedim(1, -1)


@pytest.mark.parametrize("attack", [STITCHING, STEERING], ids=lambda attack: attack.name)
def test_maps_with_the_channels_last_are_attacked_as_others_are(attack):
    scores, data = [], PlainFaces(n=200, train=100, noise=0.1)
    for wrap in (nn.Sequential, ChannelsLast):
        networks = plain_net(), parity_net(TURNED)
        for network in networks:
            network.stem = wrap(network.stem)
            network.forward = lambda images, network=network, last=wrap is ChannelsLast: network.heads(
                network.top(network.stem(images).movedim(-1, 1) if last else network.stem(images)).mean((2, 3))
            )
        scores.append(attack.run(subject_of(networks[1], data, original=networks[0])))
    assert scores[0].keys() == scores[1].keys() >= {"stem"}
    for stage, found in scores[0].items():
        assert scores[1][stage] == pytest.approx(found, abs=1e-4), stage
