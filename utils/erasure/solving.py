"""The equation of an edit, solved with a curvature, checked, and held to a rank."""

import torch

LEAST_CURVATURE = 1e-4  # of the mean: a direction that moves no kept output still costs a little
COVARIANCE = "the inputs' covariance"
LEAST_EIGENVALUE = 0.1  # below 0, of the largest: what rounding does to a matrix without the rank of its size


def solve_edit(gram, covariance, right, ridge, curvature=None, rank=None):
    """M (C, D) float32 of M gram + ridge * G M covariance = right.

    With a curvature G the equation falls apart into one for each of its eigenvectors, with a ridge of its own; after
    whitening the inputs the same eigenvectors of `gram` serve all of them.

    Args:
        gram: (D, D) positive semidefinite; covariance: (D, D) positive definite, of the inputs; right: (C, D)
        ridge: positive number; curvature: (C, C) G, positive semidefinite; None: the identity
        rank: highest rank of M; of a higher one the part is kept that moves the values most; None: any
    Raises: torch.linalg.LinAlgError if a matrix is not as said here, or numbers are not finite
    """
    if curvature is None:
        for matrix, what in ((covariance, COVARIANCE), (gram + ridge * covariance, "the sum of shifts and covariance")):
            rounding = LEAST_EIGENVALUE * matrix.diagonal().abs().max() * torch.eye(len(matrix)).to(matrix)
            _factorise(matrix + rounding, what)  # solved unchecked, an indefinite one gives a finite, wrong edit
        solution, failed = torch.linalg.solve_ex(gram + ridge * covariance, right.T)
        if failed:  # inputs that hardly vary, rounded away: whitened first, they can be told apart
            return solve_edit(gram, covariance, right, ridge, torch.eye(len(right)).to(right), rank)
        change = solution.T
    else:
        curvatures, directions = torch.linalg.eigh(curvature)
        _check_semidefinite(curvatures, "the curvature")
        curvatures = curvatures.clamp_min(LEAST_CURVATURE)
        factor = _factorise(covariance, COVARIANCE)
        half = torch.linalg.solve_triangular(factor, gram, upper=False)
        shifts, basis = torch.linalg.eigh(torch.linalg.solve_triangular(factor, half.T, upper=False))
        _check_semidefinite(shifts, "the shifts' Gram matrix")
        if shifts[0] < -0.5 * ridge * curvatures[0]:  # rounding must not eat up the ridge
            shifts = shifts.clamp_min(0)
        whitened = torch.linalg.solve_triangular(factor.T, basis, upper=True)  # (D, D): its columns see variance 1
        rotated = (directions.T @ right @ whitened) / (shifts + ridge * curvatures[:, None])
        change = directions @ rotated @ whitened.T
    return change if rank is None or rank >= min(change.shape) else reduce_rank(change, covariance, rank)


def _factorise(matrix, what):
    """Lower Cholesky factor of a matrix. Raises: torch.linalg.LinAlgError saying `what` it is, if it has none."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed or not factor.isfinite().all():
        why = "not positive definite" if matrix.isfinite().all() else "not finite"
        raise torch.linalg.LinAlgError(f"{what} is {why}")
    return factor


def _check_semidefinite(eigenvalues, what):
    """Refuse (D,) rising eigenvalues of which some are clearly below 0."""
    if not eigenvalues[0] >= -LEAST_EIGENVALUE * eigenvalues[-1].abs():
        raise torch.linalg.LinAlgError(f"{what} is not positive semidefinite")


def reduce_rank(change, covariance, rank):
    """The matrix of at most some rank whose outputs differ least from those of `change`, for inputs of a covariance.

    Args: change: (C, D); covariance: (D, D)
    Returns: (C, D)
    """
    _, vectors = torch.linalg.eigh(change @ covariance @ change.T)
    strongest = vectors[:, -rank:]
    return strongest @ (strongest.T @ change)
