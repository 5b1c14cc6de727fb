import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._spectrum import (
    eigenpairs,
    equal_projections,
    solve_least_squares,
)


def test_eigenvalues_that_count():
    """Those above P * eps of the largest: 2.4e-7 of it for two."""
    values, vectors, counts = eigenpairs(jnp.diag(jnp.array([1e-7, 1.0])))
    np.testing.assert_allclose(values, [1e-7, 1.0], rtol=1e-5)
    np.testing.assert_array_equal(counts, [False, True])
    np.testing.assert_allclose(jnp.abs(vectors), np.eye(2), atol=1e-6)
    assert np.all(eigenpairs(jnp.diag(jnp.array([3e-7, 1.0])))[2])
    assert not np.any(eigenpairs(jnp.zeros((3, 3)))[2])


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_least_squares_agrees_with_numpy(rank):
    rng = np.random.default_rng(rank)
    factor = rng.normal(size=(5, rank))
    matrix, rhs = factor @ factor.T, rng.normal(size=5)
    expected = np.linalg.pinv(matrix, rcond=1e-6) @ rhs
    found = solve_least_squares(
        jnp.asarray(matrix, jnp.float32), jnp.asarray(rhs, jnp.float32)
    )
    bound = 1e-6 * np.linalg.norm(np.linalg.pinv(matrix, rcond=1e-6), 2) * 100
    np.testing.assert_allclose(found, expected, atol=bound)


def test_equal_projections_by_hand():
    """C y = 1 with the cosine .5: y = 1 / 1.5 for both; zero rows get 0."""
    gramian = jnp.array([[4.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    found = equal_projections(correlation(gramian), jnp.ones(3))
    np.testing.assert_allclose(found.point, [2 / 3, 0.0, 2 / 3], rtol=1e-6)
    assert found.residual <= 1e-6


def test_residual_says_how_unequal_they_are():
    """Opposed rows: the best is 0, which misses both by all that was wanted."""
    gramian = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
    found = equal_projections(correlation(gramian), jnp.ones(2))
    np.testing.assert_allclose(found.residual, 1.0, rtol=1e-6)
    np.testing.assert_allclose(found.point, [0.0, 0.0], atol=1e-6)
