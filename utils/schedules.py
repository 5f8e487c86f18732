"""Learning rate as a function of the step."""

import math

from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

SCHEDULES = ("cosine_restarts", "onecycle", "constant")
WARM_UP, CYCLE = 1, 5  # epochs: one up, four down
FLOOR = 1 / 40  # of the peak: 5e-6 for 2e-4


def cosine_restarts(epoch):
    """The published schedule: learning rate as a share of its first peak at a time in epochs, e.g. 0.5.

    Up from the floor in a line over 1 epoch, down again on half a cosine over 4, and anew with half the peak.
    """
    cycle, into = divmod(epoch, CYCLE)
    peak = max(0.5**cycle, FLOOR)
    if into < WARM_UP:
        return FLOOR + (peak - FLOOR) * into / WARM_UP
    return FLOOR + (peak - FLOOR) * (1 + math.cos(math.pi * (into - WARM_UP) / (CYCLE - WARM_UP))) / 2


def make_scheduler(name, optimizer, lr, epochs, steps_per_epoch):
    """A scheduler to be stepped after each optimizer step.

    Args:
        name: "cosine_restarts", "onecycle" (Smith & Topin 2019, PyTorch's defaults) or "constant"
        lr: peak learning rate
    Raises: ValueError for another name
    """
    if name == "onecycle":
        return OneCycleLR(optimizer, max_lr=lr, epochs=epochs, steps_per_epoch=steps_per_epoch)
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}: one of {', '.join(SCHEDULES)}")
    share = cosine_restarts if name == "cosine_restarts" else lambda epoch: 1.0
    return LambdaLR(optimizer, lambda step: share(step / steps_per_epoch))
