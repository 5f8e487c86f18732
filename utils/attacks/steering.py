"""Steering: the original's class-mean difference as a direction in the subject's features.

Who has the original's file has this direction without a label of the subject's. A network edited from the original
shares its axes, so what is left along the direction is found without a fit; one trained apart has axes of its own.
"""

import torch

from utils.attacks.passes import hooked, read_anew
from utils.probes.attack import Attack
from utils.probes.features import LAST
from utils.probes.fitting import rarer_class
from utils.probes.linear import LINEAR


def run(subject):
    """Scores of the test images along the original's direction, and at level full by a head refitted after steering.

    At `stage`: the pooled features' component along the original's difference of class means there, unscaled, its
    sign kept. "steered stage": that difference is added to the stage's output at every position, for every image, which
    opens units that the missing target keeps shut, and a linear head is fitted anew to the last features. The
    network's own head is not asked: an oracle has none to compare it with.

    Args: subject: `utils.probes.attack.Subject`
    Returns: {place: (M,) scores}; {} without an original
    """
    original, y = subject.original, subject.setup.y_train.astype(bool)
    if original is None or not rarer_class(y):
        return {}
    shared = {stage: own for stage, own in original.train.stages.items() if stage in subject.test.stages}
    directions = {stage: own[y].mean(0) - own[~y].mean(0) for stage, own in shared.items()}
    scores = {stage: subject.test.stages[stage] @ directions[stage] for stage in subject.test.places if stage in shared}
    if subject.setup.level.name == "full":
        steered = [stage for stage in directions if stage in subject.train.maps]
        scores |= {f"steered {stage}": _steered_scores(subject, stage, directions[stage]) for stage in steered}
    return scores


def _steered_scores(subject, stage, direction):
    """(M,) scores of a linear head on the last features of the subject, its output at a stage moved along (C,)."""
    shift = torch.as_tensor(direction, device=subject.setup.device)[:, None, None]
    with hooked(subject.model, {stage: lambda module, inputs, output: output + shift.to(output)}):
        return LINEAR.run(read_anew(subject, subject.model, ()))[LAST]


STEERING = Attack("steering", run)
