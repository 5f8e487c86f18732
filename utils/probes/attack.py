"""What an attack is, and what it is run on: one network, its features, and the same images for every network."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from utils.probes.features import Features
from utils.probes.setup import AuditSetup


@dataclass(frozen=True)
class Attack:
    """One way to find a forgotten attribute in a network.

    name: its key in JSON
    run: function of a `Subject` that gives {place: scores}. A place is a stage or what else tells runs apart. Scores of
        the M test images, the larger the more likely positive: (M,), or (D, M) for D draws, whose mean AUC is the
        figure; None where the attack cannot be fitted
    level: "quick": at both levels; "full": at level full only
    decides: whether the verdict counts it
    costly: not run on an untrained network where an oracle is at hand
    """

    name: str
    run: Callable
    level: str = "quick"
    decides: bool = True
    costly: bool = False


@dataclass(eq=False)
class Subject:
    """One network under attack.

    name: oracle, original, unlearned or random; model: on the setup's device, in evaluation mode
    train, test: `Features` of the setup's training images (N) and test images (M)
    original: the original network's Subject, that of the original itself too; None where no original is at hand
    curves: {"head", "whole_net": relearning curve}, which the relearning attacks leave here for the report
    """

    name: str
    model: nn.Module
    train: Features
    test: Features
    setup: AuditSetup
    original: "Subject | None" = field(default=None, repr=False)
    curves: dict = field(default_factory=dict, repr=False)


def at_every_stage(fit, subject):
    """{stage: scores} of an attack on pooled features.

    Args: fit: function of (train (N, C), labels (N,), test (M, C), seed) that gives scores or None
    """
    train, test, setup = subject.train.stages, subject.test.stages, subject.setup
    return {stage: fit(train[stage], setup.y_train, test[stage], setup.seed) for stage in subject.test.places}
