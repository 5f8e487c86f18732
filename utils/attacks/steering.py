"""Steering: more of the original's class-mean difference in a stage of the subject, then a linear head fitted anew.

Who has the original's file has this direction. What is left along it, too faint for the layers behind, is made large
enough for them to read; adding the same amount for every image brought back less.
"""

import torch

from utils.attacks.passes import hooked, read_anew
from utils.probes.attack import Attack
from utils.probes.features import LAST, channel_axis
from utils.probes.fitting import rarer_class
from utils.probes.linear import LINEAR

GAIN = 10.0  # times a position's own component along the direction that is added to it


def run(subject):
    """Scores of the test images by a linear head on the last features, the subject steered at each stage but the last.

    With u the original's difference of class means at a stage, of length 1, and m the mean of the subject's component
    u'x there, each position's x becomes x + GAIN (u'x - m) u. The network's own head is not asked: an oracle has none.

    Args: subject: `utils.probes.attack.Subject`
    Returns: {stage: (M,) scores}; {} without an original, or where the training images lack a class
    """
    original, y = subject.original, subject.setup.y_train.astype(bool)
    if original is None or not rarer_class(y):
        return {}
    scores, last = {}, [stage for stage in subject.train.stages if stage != LAST][-1:]
    for stage in subject.train.maps:
        if stage in original.train.stages and stage not in last:  # behind it a linear head reads what it read before
            means = original.train.stages[stage]
            direction = torch.as_tensor(means[y].mean(0) - means[~y].mean(0), device=subject.setup.device)
            scores[stage] = _steered_scores(subject, stage, direction / direction.norm().clamp(min=1e-12))
    return scores


def _steered_scores(subject, stage, direction):
    """(M,) scores of a head on the subject's last features, more of the direction (C,) in the output of a stage."""
    middle = torch.as_tensor(subject.train.stages[stage].mean(0), device=direction.device) @ direction

    def steer(module, inputs, output):
        values, axis = output.movedim(channel_axis(output), 1), channel_axis(output)
        component = torch.einsum("nchw,c->nhw", values.float(), direction) - middle
        return (values + (GAIN * component[:, None] * direction[:, None, None]).to(output)).movedim(1, axis)

    with hooked(subject.model, {stage: steer}):
        return LINEAR.run(read_anew(subject, subject.model, ()))[LAST]


STEERING = Attack("steering", run, level="full", costly=True)
