"""The equation of an edit, solved in closed form, and its solution brought to a low rank."""

import torch

LEAST_CURVATURE = 1e-4  # of the mean: what the kept outputs do not mind at all still costs a little


def solve_edit(pull, covariance, right, ridge, curvature=None, rank=None):
    """M of M pull + ridge * G M covariance = right.

    With a curvature G the equation falls apart into one for each of its eigenvectors, with a ridge of its own; after
    whitening the inputs the same eigenvectors of `pull` serve all of them.

    Args:
        pull: (D, D) positive semidefinite; covariance: (D, D) positive definite, of the inputs; right: (C, D)
        ridge: positive number; curvature: (C, C) G, positive semidefinite; None: the identity
        rank: highest rank of M; of a higher one the part is kept that moves the values most; None: any
    Returns: (C, D) float32
    Raises: torch.linalg.LinAlgError if numbers are not finite
    """
    if curvature is None:
        change = torch.linalg.solve_ex(pull + ridge * covariance, right.T)[0].T
    else:
        minded, directions = torch.linalg.eigh(curvature)
        minded = minded.clamp_min(LEAST_CURVATURE)
        factor = torch.linalg.cholesky_ex(covariance)[0]
        half = torch.linalg.solve_triangular(factor, pull, upper=False)
        pulled, basis = torch.linalg.eigh(torch.linalg.solve_triangular(factor, half.T, upper=False))
        whitened = torch.linalg.solve_triangular(factor.T, basis, upper=True)  # (D, D): its columns see variance 1
        answer = (directions.T @ right @ whitened) / (pulled + ridge * minded[:, None])
        change = directions @ answer @ whitened.T
    return change if rank is None or rank >= min(change.shape) else change_of_rank(change, covariance, rank)


def change_of_rank(change, covariance, rank):
    """The matrix of at most some rank whose outputs differ least from another's, for inputs of a covariance.

    Args: change (C, D); covariance (D, D)
    """
    _, vectors = torch.linalg.eigh(change @ covariance @ change.T)
    strongest = vectors[:, -rank:]
    return strongest @ (strongest.T @ change)
