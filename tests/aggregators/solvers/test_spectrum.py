import numpy as np
import pytest

from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._spectrum import (
    eigenpairs,
    equal_projections,
    solve_least_squares,
)
from running import quick_jit

pairs, solve = quick_jit(eigenpairs), quick_jit(solve_least_squares)
projections = quick_jit(
    lambda gramian: equal_projections(
        correlation(gramian), np.ones(len(gramian), np.float32)
    )
)


def test_eigenvalues_that_count():
    """Those above P * eps of the largest: 2.4e-7 of it for two."""
    values, vectors, counts = pairs(np.diag(np.float32([1e-7, 1])))
    np.testing.assert_allclose(values, [1e-7, 1.0], rtol=1e-5)
    np.testing.assert_array_equal(counts, [False, True])
    np.testing.assert_allclose(np.abs(vectors), np.eye(2), atol=1e-6)
    assert np.all(np.asarray(pairs(np.diag(np.float32([3e-7, 1])))[2]))
    assert not np.any(np.asarray(pairs(np.zeros((3, 3), np.float32))[2]))


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_least_squares_agrees_with_numpy(rank):
    rng = np.random.default_rng(rank)
    factor = rng.normal(size=(5, rank))
    matrix, rhs = factor @ factor.T, rng.normal(size=5)
    expected = np.linalg.pinv(matrix, rcond=1e-6) @ rhs
    found = solve(np.float32(matrix), np.float32(rhs))
    bound = 1e-6 * np.linalg.norm(np.linalg.pinv(matrix, rcond=1e-6), 2) * 100
    np.testing.assert_allclose(found, expected, atol=bound)


def test_equal_projections_by_hand():
    """C y = 1 with the cosine .5: y = 1 / 1.5 for both; zero rows get 0."""
    found = projections(np.float32([[4, 0, 1], [0, 0, 0], [1, 0, 1]]))
    np.testing.assert_allclose(found.point, [2 / 3, 0.0, 2 / 3], rtol=1e-6)
    assert np.asarray(found.residual) <= 1e-6


def test_residual_says_how_unequal_they_are():
    """Opposed rows: the best is 0, which misses both by all that was wanted."""
    found = projections(np.float32([[1, -1], [-1, 1]]))
    np.testing.assert_allclose(found.residual, 1.0, rtol=1e-6)
    np.testing.assert_allclose(found.point, [0.0, 0.0], atol=1e-6)
