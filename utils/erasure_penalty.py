"""How much a batch's features tell about the targets beyond what the kept outputs imply: the loss that erasure lowers.

Two measures of the same thing, both zero when the class means agree. *Gap*: the difference of the class means of each
channel, in standard deviations. *Adversary*: the same difference along the one direction that separates the classes
best, a ridge discriminant refitted before each step in closed form from running moments.

Everything is measured after the kept outputs are regressed out of features and target ("conditional"): a network that
never saw the target keeps what the kept labels imply, and so may this one.
"""

import torch

RIDGE = 1e-4  # of the regression on the kept outputs, whose columns have unit variance
LEAST_SPREAD = 0.02  # share of a target's variance below which the kept outputs as good as imply it
MEMORY = 0.8  # share of the old moments that survives a batch
ADVERSARY_SCALE = 0.25  # makes both measures about equally large on an untouched network


def residuals(values, confounders, weights):
    """What is left of (B, C) values after a weighted linear regression on [1, confounders].

    Args: confounders (B, Z), weights (B,) with sum 1
    """
    design = torch.cat([torch.ones_like(weights)[:, None], confounders], 1)
    weighted = design * weights[:, None]
    eye = torch.eye(design.shape[1], device=design.device)
    coefficients, _ = torch.linalg.solve_ex(design.T @ weighted + RIDGE * eye, weighted.T @ values)
    return values - design @ coefficients


class Penalty:
    """The penalty of one stage after another, with the running moments of its adversary.

    adversary: weight of the second measure; 0 leaves it out
    """

    def __init__(self, adversary=0.2):
        self.adversary = adversary
        self._moments = {}

    def __call__(self, stage, features, targets, confounders, weights):
        """Penalty of a batch at one stage, summed over targets; its gradient flows into the features only.

        Args: features (B, C), targets (B, T) 0/1, confounders (B, Z), weights (B,) with sum 1
        Returns: 0-dimensional tensor, in squared standard deviations
        """
        left = residuals(features, confounders, weights)
        wanted = residuals(targets, confounders, weights)
        spread = (weights[:, None] * wanted.square()).sum(0)  # (T,)
        whole = (weights[:, None] * targets).sum(0)
        spread = torch.maximum(spread, LEAST_SPREAD * whole * (1 - whole)) + 1e-8
        variance = (weights[:, None] * left.square()).sum(0)  # (C,)
        gaps = (weights[:, None] * wanted).T @ left / spread[:, None]  # (T, C)
        loss = (gaps.square() / (variance + 1e-6)).mean(1).sum()
        if not self.adversary:
            return loss
        directions = self._directions(stage, gaps.detach(), left.detach(), weights)
        projected = left @ directions.T  # (B, T)
        along = (weights[:, None] * wanted * projected).sum(0) / spread
        width = (weights[:, None] * projected.square()).sum(0) + 1e-8
        return loss + self.adversary * ADVERSARY_SCALE * (along.square() / width).sum()

    def _directions(self, stage, gaps, left, weights):
        """(T, C) discriminant directions from the running moments, this batch included."""
        new = gaps, (left * weights[:, None]).T @ left
        old = self._moments.get(stage, new)
        gaps, covariance = (MEMORY * a + (1 - MEMORY) * b for a, b in zip(old, new, strict=True))
        self._moments[stage] = gaps, covariance
        ridge = covariance.diagonal().mean() * torch.eye(len(covariance), device=covariance.device)
        return torch.linalg.solve_ex(covariance + ridge, gaps.T)[0].T
