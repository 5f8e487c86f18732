"""Numbers for the channels of a network: which are one channel, which are 0 where they are read, which must stay."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Carried:
    """The channels of a node's output.

    ids: their numbers, (C,) int64; value: the constant that each holds for every image, nan if it varies, (C,)
    form: "maps" (N, C, H, W), "row" (N, C), or "flat" (N, C * positions), positions not known
    """

    ids: np.ndarray
    value: torch.Tensor
    form: str = "maps"


class ChannelBook:
    """What is known about the numbered channels of a network."""

    def __init__(self):
        self.count, self.same, self.pinned, self.reads, self.layers = 0, [], [], [], {}

    def new(self, number):
        """Numbers of so many new channels, (number,) int64."""
        self.count += number
        return np.arange(self.count - number, self.count)

    def join(self, one, other):
        """Channel i of both is one channel: they go together or not at all."""
        self.same.append(np.stack([one.ids, other.ids]))

    def pin(self, *channels):
        """These stay, whatever they hold."""
        self.pinned += [known.ids for known in channels if known is not None]

    def read(self, channels, positions=1):
        """A layer reads these; returns their numbers as it sees them."""
        self.reads.append((channels.ids, (channels.value == 0).numpy()))
        return np.repeat(channels.ids, positions)

    def note(self, layer, inputs, outputs):
        """A layer's channels (`inputs` None: not known); a layer that is run twice keeps all of them."""
        if layer in self.layers:
            self.pinned += [ids for ids in (*self.layers[layer], inputs, outputs) if ids is not None]
        self.layers[layer] = (inputs, outputs)

    def gone(self):
        """(count,) bool: which channels can go. One channel stays in every layer."""
        pairs = np.concatenate([np.zeros((2, 0), np.int64), *self.same], axis=1)
        links = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=(self.count, self.count))
        kinds, kind = connected_components(links, directed=False)
        read, kept = np.zeros(kinds, bool), np.zeros(kinds, bool)
        for ids, zero in self.reads:
            read[kind[ids]] = True
            kept[kind[ids[~zero]]] = True
        for ids in self.pinned:
            kept[kind[ids]] = True
        gone = read & ~kept
        for ids in (ids for sides in self.layers.values() for ids in sides if ids is not None):
            if gone[kind[ids]].all():
                gone[kind[ids[0]]] = False
        return gone[kind]
