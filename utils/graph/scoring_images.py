"""The images that step 2 scores, and for which attributes each of them counts."""

from dataclasses import dataclass

import numpy as np

from utils.datasets.dataset import ImageDataset
from utils.graph.importance import score_groups


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
        """Temporary."""
        self.data.prepare(self.rows)
        for attributes, positions in score_groups(self.scored_for):
            for images, _ in self.data.batches(self.rows[positions], batch_size, device):
                yield attributes, images


def choose_scoring_images(data, num_images):
    """The first `num_images` training images on which each attribute is 1.

    Returns: ScoringImages
    Raises: InputError if an attribute has no positive in the training part
    """
    chosen = [data.positives(attribute, "train")[:num_images] for attribute in data.attributes]
    rows = np.unique(np.concatenate(chosen))
    return ScoringImages(data, rows, np.stack([np.isin(rows, own) for own in chosen], axis=1))
