"""What an audit asks: how thoroughly, about which attribute, on which images."""

from dataclasses import dataclass

import numpy as np

from utils.common.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Level:
    """How thorough an audit is.

    Attributes: `train_rows` most training images that probes and attacks see; `sizes` labelled images of
    the refitted head; `whole_net_sizes` those of fine-tuning; `draws` choices of labelled images a size;
    `one_draw_above` fine-tuning on more images than this is done once, not `draws` times
    """

    train_rows: int
    sizes: tuple
    whole_net_sizes: tuple
    draws: int = 3
    one_draw_above: int = 256


LEVELS = {
    "quick": Level(1500, (16, 64, 256, 1024), ()),
    "full": Level(20_000, (16, 64, 256, 1024, 4096), (16, 64, 256, 1024, 4096)),
}


@dataclass(frozen=True)
class AuditSetup:
    """What every net is asked: the images, the labels and the attribute.

    Attributes: `data` the data set; `target` the attribute; `train` and `test` row numbers; `train_labels` (N, K) and
    `test_labels` (M, K) of the data set's attributes; `level`, `seed`, `device`, `batch_size`, `resamples`
    """

    data: object
    target: str
    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray
    test_labels: np.ndarray
    level: Level
    seed: int = 0
    device: str = "cpu"
    batch_size: int = 256
    resamples: int = 1000

    @property
    def y_train(self):
        """(N,) labels of the target on the training images."""
        return self.train_labels[:, self.data.attributes.index(self.target)]

    @property
    def y_test(self):
        """(M,) labels of the target on the test images."""
        return self.test_labels[:, self.data.attributes.index(self.target)]

    def columns(self, attributes):
        """Columns of the labels for some attributes."""
        return [self.data.attributes.index(name) for name in attributes]


def set_up_audit(data, target, *, level="quick", seed=0, device="cpu", batch_size=256, resamples=1000):
    """The question about one attribute of a data set, its images chosen.

    The whole test part is used. Of the training part at most the level's `train_rows` are, at random, half of them with
    the attribute as far as there are so many.

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
    return AuditSetup(data, target, train, test, *labels, LEVELS[level], seed, str(device), batch_size, resamples)


def balanced_subset(labels, most, seed=0):
    """Sorted places of at most `most` of (N,) labels, drawn at random, half from each class as far as they go."""
    pools = [np.flatnonzero(np.asarray(labels) == value) for value in (0, 1)]
    counts = [len(pool) for pool in pools]
    rare = min(*counts, most // 2)
    taken = [rare, min(max(counts), most - rare)]
    taken = taken if counts[0] <= counts[1] else taken[::-1]
    generator = np.random.default_rng([seed, 4])
    drawn = [generator.choice(pool, count, replace=False) for pool, count in zip(pools, taken, strict=True)]
    return np.sort(np.concatenate(drawn))
