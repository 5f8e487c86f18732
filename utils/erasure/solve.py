"""The equation of an edit, solved in closed form, and its solution brought to a low rank."""

import torch

LEAST_CURVATURE = 1e-4  # of the mean: a direction that moves no kept output still costs a little


def solve_edit(gram, covariance, right, ridge, curvature=None, rank=None):
    """M (C, D) float32 of M gram + ridge * G M covariance = right.

    With a curvature G the equation falls apart into one for each of its eigenvectors, with a ridge of its own; after
    whitening the inputs the same eigenvectors of `gram` serve all of them.

    Args:
        gram: (D, D) positive semidefinite; covariance: (D, D) positive definite, of the inputs; right: (C, D)
        ridge: positive number; curvature: (C, C) G, positive semidefinite; None: the identity
        rank: highest rank of M; of a higher one the part is kept that moves the values most; None: any
    Raises: torch.linalg.LinAlgError if the covariance is not positive definite, or numbers are not finite
    """
    if curvature is None:
        change = torch.linalg.solve(gram + ridge * covariance, right.T).T
    else:
        curvatures, directions = torch.linalg.eigh(curvature)
        curvatures = curvatures.clamp_min(LEAST_CURVATURE)
        factor = torch.linalg.cholesky(covariance)
        half = torch.linalg.solve_triangular(factor, gram, upper=False)
        shifts, basis = torch.linalg.eigh(torch.linalg.solve_triangular(factor, half.T, upper=False))
        whitened = torch.linalg.solve_triangular(factor.T, basis, upper=True)  # (D, D): its columns see variance 1
        rotated = (directions.T @ right @ whitened) / (shifts + ridge * curvatures[:, None])
        change = directions @ rotated @ whitened.T
    return change if rank is None or rank >= min(change.shape) else reduce_rank(change, covariance, rank)


def reduce_rank(change, covariance, rank):
    """The matrix of at most some rank whose outputs differ least from those of `change`, for inputs of a covariance.

    Args: change: (C, D); covariance: (D, D)
    Returns: (C, D)
    """
    _, vectors = torch.linalg.eigh(change @ covariance @ change.T)
    strongest = vectors[:, -rank:]
    return strongest @ (strongest.T @ change)
