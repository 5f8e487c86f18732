"""The images that step 2 scores, and for which attributes each of them counts."""

from dataclasses import dataclass

import numpy as np
import torch

from utils.common import distributed
from utils.datasets.dataset import ImageDataset


@dataclass(frozen=True)
class ScoringImages:
    """Images of a data set, each a scoring image of one attribute or several.

    rows: (N,) row numbers, ascending; scored_for: (N, K) bool, image n is a scoring image of attribute k
    """

    data: ImageDataset
    rows: np.ndarray
    scored_for: np.ndarray

    @property
    def counts(self):
        """{attribute: number of its scoring images}."""
        return dict(zip(self.data.attributes, self.scored_for.sum(0).tolist(), strict=True))

    def batches(self, batch_size, device):
        """Yield (images (B, 3, H, W) on the device, scored_for (B, K) bool on the CPU); the last batch may be smaller.

        Images scored for most attributes come first: a batch goes back as often as one of its images has attributes.
        Several processes take turns; one that has no batch in the last turn gets an empty one.
        """
        order = np.lexsort([*self.scored_for.T, self.scored_for.sum(1)])[::-1]  # equal sets of attributes side by side
        starts, turn = range(0, len(order), batch_size), distributed.world_size()
        own = [order[start : start + batch_size] for start in starts[distributed.rank() :: turn]]
        batches = self.data.batches(self.rows[np.concatenate([order[:0], *own])], batch_size, device)
        for (images, _), part in zip(batches, own, strict=True):
            yield images, torch.from_numpy(self.scored_for[part])
        if len(own) < -(-len(starts) // turn):
            side = self.data.img_size
            yield torch.zeros(0, 3, side, side, device=device), torch.from_numpy(self.scored_for[:0])


def choose_scoring_images(data, num_images):
    """The first `num_images` training images on which each attribute is 1.

    Returns: ScoringImages
    Raises: InputError if an attribute has no positive in the training part
    """
    chosen = [data.positives(attribute, "train")[:num_images] for attribute in data.attributes]
    rows = np.unique(np.concatenate(chosen))
    return ScoringImages(data, rows, np.stack([np.isin(rows, own) for own in chosen], axis=1))
