"""Subjects whose features are drawn by hand, so that it is known which attacks can find the attribute in them."""

from types import SimpleNamespace

import numpy as np
import torch

from utils.audit.gaps import attack_gaps
from utils.audit.readouts import figures_of, run_attacks
from utils.audit.verdict import decide
from utils.common.run import Stopwatch
from utils.probes.attack import Subject
from utils.probes.features import LAST, Features
from utils.probes.setup import LEVELS

N, M, CHANNELS, SIDE = 500, 900, 16, 4


def _noise(generator, labels):
    return generator.normal(size=(len(labels), CHANNELS))


def nothing(generator, labels):
    """Channel means that tell nothing."""
    return _noise(generator, labels), 0


def shift(generator, labels):
    """One direction of the means, which lies along no channel."""
    means = _noise(generator, labels)
    means[:, 0] += 3 * labels
    return means @ np.linalg.qr(np.random.default_rng(0).normal(size=(CHANNELS, CHANNELS)))[0], 0


def position(generator, labels):
    """One channel brighter at one position and as much darker at the next: no mean tells."""
    pattern = np.zeros((CHANNELS, SIDE, SIDE))
    pattern[0, 0, :2] = 3, -3
    return _noise(generator, labels), labels[:, None, None, None] * pattern


def variance(generator, labels):
    """Pairs of channels that vary together in one class and against each other in the other one."""
    means = _noise(generator, labels)
    means[:, 1::2] = 0.85 * means[:, 1::2] + 0.5 * np.where(labels, 1, -1)[:, None] * means[:, ::2]
    return means, 0


def exclusive_or(generator, labels):
    """Two channels have the same sign with the attribute and opposite signs without."""
    means = _noise(generator, labels)
    means[:, 0] = 2 * generator.choice([-1.0, 1.0], len(labels)) + 0.4 * means[:, 0]
    means[:, 1] = 2 * np.sign(means[:, 0]) * np.where(labels, 1, -1) + 0.4 * means[:, 1]
    return means, 0


def parity_of_three(generator, labels):
    """Three of four channels whose signs multiply to plus with the attribute, to minus without; there is no map."""
    signs = generator.choice([-1.0, 1.0], (len(labels), 3))
    signs[:, 2] = signs[:, 0] * signs[:, 1] * np.where(labels, 1, -1)
    return np.c_[2 * signs, np.zeros(len(labels))] + 0.4 * _noise(generator, labels)[:, :4], None


def many_clusters(generator, labels):
    """A hundred clusters, half of them of images with the attribute, in no order."""
    centres = 4 * np.random.default_rng(1).normal(size=(100, CHANNELS))
    cluster = 2 * generator.integers(0, 50, len(labels)) + labels
    return centres[cluster] + 0.3 * _noise(generator, labels), 0


def make_subject(draw, seed=0):
    """`Subject` of N training and M test images with the features that `draw` gives for their labels."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(N + M) < 0.4).astype(int)
    means, pattern = draw(generator, labels)
    parts = [Features({"top": values, LAST: values}, None, (), None) for values in np.split(np.float32(means), [N])]
    if pattern is not None:
        maps = generator.normal(size=(N + M, means.shape[1], SIDE, SIDE)) + pattern
        maps += (means - maps.mean((2, 3)))[:, :, None, None]
        for part, values in zip(parts, torch.from_numpy(maps).bfloat16().split([N, M]), strict=True):
            part.maps["top"] = values
    setup = SimpleNamespace(y_train=labels[:N], y_test=labels[N:], test=np.arange(M), seed=0, level=LEVELS["quick"])
    return Subject("unlearned", None, *parts, setup)


def find(subject, attacks):
    """{attack: {place: `Placements`}} of some attacks."""
    return run_attacks(subject, attacks, Stopwatch("cpu"))


def verdict_on(subject, found, reference):
    """The verdict on a subject with its head at chance, from what attacks find in it and in an oracle."""
    head = {"value": 0.5, "interval": [0.48, 0.52]}
    gaps = attack_gaps(found, reference, None, subject.setup)
    figures = {"attacks": figures_of(found, subject.setup), "gaps": gaps, "other_gaps": {}, "kept": {}, "rates": []}
    return decide(target="Bald", auc=head, reference="oracle", **figures)
