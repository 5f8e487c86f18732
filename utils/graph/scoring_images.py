"""The images that step 2 scores, and for which attributes each of them counts."""

from dataclasses import dataclass

import numpy as np
import torch

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
        """
        order = np.lexsort([*self.scored_for.T, self.scored_for.sum(1)])[::-1]  # equal sets of attributes side by side
        parts = torch.from_numpy(self.scored_for[order]).split(batch_size)
        for (images, _), part in zip(self.data.batches(self.rows[order], batch_size, device), parts, strict=True):
            yield images, part


def choose_scoring_images(data, num_images):
    """The first `num_images` training images on which each attribute is 1.

    Returns: ScoringImages
    Raises: InputError if an attribute has no positive in the training part
    """
    chosen = [data.positives(attribute, "train")[:num_images] for attribute in data.attributes]
    rows = np.unique(np.concatenate(chosen))
    return ScoringImages(data, rows, np.stack([np.isin(rows, own) for own in chosen], axis=1))
