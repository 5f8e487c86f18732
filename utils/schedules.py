"""Learning-rate schedules, stepped once a batch."""

import math

from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

SCHEDULERS = ("cosine_restarts", "onecycle", "constant")
WARM_UP_EPOCHS, CYCLE_EPOCHS, LOWEST = 1, 5, 1 / 40  # 5e-6 against the published peak of 2e-4


def cosine_restarts(epoch):
    """Share of the peak rate at a (fractional) epoch: the published schedule.

    A cycle of five epochs rises linearly from 1/40 of the peak over the first and falls back along a cosine over the
    other four; each restart halves the peak, while the lowest rate stays.
    """
    cycle, within = divmod(epoch, CYCLE_EPOCHS)
    peak = max(0.5**cycle, LOWEST)
    if within < WARM_UP_EPOCHS:
        return LOWEST + (peak - LOWEST) * within / WARM_UP_EPOCHS
    fallen = (within - WARM_UP_EPOCHS) / (CYCLE_EPOCHS - WARM_UP_EPOCHS)
    return LOWEST + (peak - LOWEST) * 0.5 * (1 + math.cos(math.pi * fallen))


def make_scheduler(name, optimizer, lr, steps_per_epoch, epochs):
    """A torch scheduler to be stepped after every batch. Raises ValueError for an unknown name."""
    if name == "onecycle":
        return OneCycleLR(optimizer, max_lr=lr, total_steps=steps_per_epoch * epochs)
    if name == "cosine_restarts":
        return LambdaLR(optimizer, lambda step: cosine_restarts(step / steps_per_epoch))
    if name == "constant":
        return LambdaLR(optimizer, lambda step: 1.0)
    raise ValueError(f"unknown scheduler {name!r}: expected one of {', '.join(SCHEDULERS)}")
