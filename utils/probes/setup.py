"""What an audit measures: how thoroughly, about which attribute, on which images."""

from dataclasses import dataclass

import numpy as np

from utils.common.errors import InputError, did_you_mean


@dataclass(frozen=True)
class AuditLevel:
    """How thorough an audit is.

    name: of the level
    train_rows: most training images that probes and attacks see
    sizes, fine_tuning_sizes: numbers of labelled images that the head alone and the whole network relearn from
    draws: choices of labelled images a size; one_draw_above: fine-tuning on more images than this is done once
    """

    name: str
    train_rows: int
    sizes: tuple
    fine_tuning_sizes: tuple
    draws: int = 3
    one_draw_above: int = 256


LEVELS = {
    "quick": AuditLevel("quick", 1500, (16, 64, 256, 1024), ()),
    "full": AuditLevel("full", 6000, (16, 64, 256, 1024, 4096), (16, 64, 256, 1024, 4096)),
}


@dataclass(frozen=True)
class AuditSetup:
    """What is the same for every network of an audit: the images, the labels, the attribute.

    data: the data set; target: the attribute; train (N,), test (M,): row numbers; train_labels (N, K), test_labels
    (M, K): of the data set's K attributes; level: `AuditLevel`; resamples: of the bootstrap; forgotten: attributes
    beside the target that no attack may learn from, as they were to be forgotten, too
    """

    data: object
    target: str
    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray
    test_labels: np.ndarray
    level: AuditLevel
    seed: int = 0
    device: str = "cpu"
    batch_size: int = 256
    resamples: int = 1000
    forgotten: tuple = ()

    @property
    def target_column(self):
        """Column of the labels that is the target's, an int."""
        return self.data.attributes.index(self.target)

    @property
    def y_train(self):
        """(N,) labels of the target on the training images."""
        return self.train_labels[:, self.target_column]

    @property
    def y_test(self):
        """(M,) labels of the target on the test images."""
        return self.test_labels[:, self.target_column]

    def columns(self, attributes):
        """Columns of the labels for some attributes, a list of int."""
        return [self.data.attributes.index(name) for name in attributes]


def set_up_audit(data, target, *, level="quick", seed=0, device="cpu", batch_size=256, resamples=1000, forgotten=()):
    """Choose the images of an audit of one attribute.

    All test images are used; of the training images at most the level's `train_rows`, drawn at random, half of them
    with the attribute as far as there are so many.

    Returns: AuditSetup
    Raises: InputError if the attribute or the level is unknown
    """
    if target not in data.attributes:
        hint = did_you_mean(target, data.attributes) or f": they are {', '.join(data.attributes)}"
        raise InputError(f"no attribute {target!r} among those opened{hint}")
    if level not in LEVELS:
        raise InputError(f"unknown audit level {level!r}: choose among {', '.join(LEVELS)}")
    train, test = data.rows("train"), data.rows("test")
    y = data.labels[train, data.attributes.index(target)]
    train = train[balanced_subset(y, LEVELS[level].train_rows, seed)]
    labels = data.labels[train], data.labels[test]
    how = {"device": str(device), "batch_size": batch_size, "resamples": resamples, "forgotten": tuple(forgotten)}
    return AuditSetup(data, target, train, test, *labels, LEVELS[level], seed, **how)


def balanced_subset(labels, most, seed=0):
    """Sorted places of at most `most` of (N,) labels, drawn at random, half from each class as far as they go."""
    pools = [np.flatnonzero(np.asarray(labels) == value) for value in (0, 1)]
    rare = min(*map(len, pools), most // 2)
    frequent = min(max(map(len, pools)), most - rare)
    sizes = (rare, frequent) if len(pools[0]) <= len(pools[1]) else (frequent, rare)
    generator = np.random.default_rng([seed, 4])
    drawn = [generator.choice(pool, size, replace=False) for pool, size in zip(pools, sizes, strict=True)]
    return np.sort(np.concatenate(drawn))
