"""The images that step 2 scores, and for which attributes each of them counts."""

from dataclasses import dataclass

import numpy as np

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
        """Yield images (B, 3, H, W) on the device and their part of `scored_for` (B, K)."""
        self.data.prepare(self.rows)
        for number, (images, _) in enumerate(self.data.batches(self.rows, batch_size, device)):
            start = number * batch_size
            yield images, self.scored_for[start : start + len(images)]


def choose_scoring_images(data, num_images):
    """The first `num_images` training images on which each attribute is 1.

    Returns: ScoringImages
    Raises: InputError if an attribute has no positive in the training part
    """
    chosen = [data.positives(attribute, "train")[:num_images] for attribute in data.attributes]
    rows = np.unique(np.concatenate(chosen))
    return ScoringImages(data, rows, np.stack([np.isin(rows, own) for own in chosen], axis=1))
