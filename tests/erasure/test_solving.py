"""The equation of an edit against one solved the long way."""

import pytest
import torch

from utils.erasure.solving import reduce_rank, solve_edit


def positive(size, seed):
    root = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.T + 0.1 * torch.eye(size, dtype=torch.float64)


@pytest.mark.parametrize("curved", [False, True])
def test_the_solution_solves_the_equation(curved):
    gram, covariance, curvature = positive(6, 0), positive(6, 1), positive(4, 2)
    right = torch.randn(4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    change = solve_edit(gram, covariance, right, 0.3, curvature if curved else None)
    metric = curvature if curved else torch.eye(4, dtype=torch.float64)
    assert torch.allclose(change @ gram + 0.3 * metric @ change @ covariance, right, atol=1e-9)


def test_an_even_curvature_changes_nothing():
    gram, covariance = positive(6, 0), positive(6, 1)
    right = torch.randn(4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    even = solve_edit(gram, covariance, right, 0.3, torch.eye(4, dtype=torch.float64))
    assert torch.allclose(even, solve_edit(gram, covariance, right, 0.3), atol=1e-9)


def test_a_low_rank_keeps_what_moves_the_outputs_most():
    covariance = positive(6, 1)
    change = torch.randn(5, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    root = torch.linalg.cholesky(covariance)
    lost = torch.linalg.svdvals(change @ root)
    for rank in (1, 3):
        low = reduce_rank(change, covariance, rank)
        assert torch.linalg.matrix_rank(low) == rank
        assert ((change - low) @ root).norm() == pytest.approx(lost[rank:].norm().item())
    gram, right = positive(6, 0), torch.randn(5, 6, dtype=torch.float64)
    assert torch.linalg.matrix_rank(solve_edit(gram, covariance, right, 0.3, rank=2)) == 2


@pytest.mark.parametrize("curved", [False, True])
def test_an_equation_without_a_solution_is_an_error(curved):
    none, right = torch.zeros(3, 3, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64)
    with pytest.raises(torch.linalg.LinAlgError):
        solve_edit(none, none, right, 1.0, torch.eye(2, dtype=torch.float64) if curved else None)


def test_the_equation_with_diagonal_matrices_is_solved_by_division():
    gram, covariance = torch.diag(torch.tensor([3.0, 0.0])), torch.diag(torch.tensor([1.0, 2.0]))
    right = torch.tensor([[7.0, 2.0]])  # 3 + 0.5 * 1 = 3.5 and 0 + 0.5 * 2 = 1 divide it
    for curvature in (None, torch.eye(1)):
        assert torch.allclose(solve_edit(gram, covariance, right, 0.5, curvature), torch.tensor([[2.0, 2.0]]))


@pytest.mark.parametrize("curvature", [None, torch.eye(1)])
@pytest.mark.parametrize(
    ("gram", "covariance", "said"),
    [
        ([0.0, 2.0], [1.0, -1.0], "covariance is not positive definite"),  # 0 + 1 and 2 - 1: solved, but a saddle
        ([-3.0, 1.0], [1.0, 1.0], "not positive"),  # -3 + 1: solved, but the way up
        ([1.0, 1.0], [1.0, torch.nan], "covariance is not finite"),
    ],
)
def test_an_indefinite_equation_is_an_error_though_it_has_a_finite_solution(gram, covariance, said, curvature):
    gram, covariance, right = torch.diag(torch.tensor(gram)), torch.diag(torch.tensor(covariance)), torch.ones(1, 2)
    with pytest.raises(torch.linalg.LinAlgError, match=said):
        solve_edit(gram, covariance, right, 1.0, curvature)


def test_a_curvature_below_zero_is_an_error():
    with pytest.raises(torch.linalg.LinAlgError, match="curvature is not positive semidefinite"):
        solve_edit(torch.eye(2), torch.eye(2), torch.ones(2, 2), 1.0, torch.diag(torch.tensor([1.0, -1.0])))


def test_inputs_that_rounding_makes_alike_are_told_apart_after_whitening():
    gram, covariance = torch.full((2, 2), 100.0), torch.ones(2, 2)
    covariance[1, 1] += 2**-23  # lost in the sum of both
    assert torch.linalg.solve_ex(gram + 0.3 * covariance, torch.ones(2, 1)).info
    change = solve_edit(gram, covariance, torch.full((1, 2), -100.0), 0.3)
    assert change.isfinite().all() and abs(change.sum() + 100 / 100.3) < 0.01
