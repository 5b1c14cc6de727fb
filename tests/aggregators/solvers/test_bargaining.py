import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import samplers
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._bargaining import bargain

solve = jax.jit(lambda gramian, exponent: bargain(correlation(gramian), exponent))
SHAPE = [(5, 20)]
EPS = np.finfo(np.float32).eps


def test_by_hand():
    """Uncorrelated rows of lengths n: z^(1 + s) = n^(s - 1)."""
    found = solve(jnp.diag(jnp.array([1.0, 16.0, 81.0])), 2.0)
    expected = np.array([1.0, 4.0, 9.0]) ** (1 / 3)
    np.testing.assert_allclose(found.weights, expected, rtol=1e-6)


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0, 2.0, 5.0])
@given(j=samplers.improvable(shapes=SHAPE, decades=2.0))
def test_condition_holds(j, exponent):
    rows = np.asarray(j, np.float32)
    found = solve(jnp.asarray(rows @ rows.T), exponent)
    z = np.asarray(found.weights, float)
    lengths = np.linalg.norm(j, axis=1)
    matrix = (j @ j.T) / lengths[:, None] / lengths
    assert np.all(z > 0)
    wanted = lengths ** (exponent - 1) / z**exponent
    violation = np.abs(matrix @ z / wanted - 1)
    # Gains are sums that cancel: rounding enters by the size of their terms.
    rounding = 16 * EPS * (np.abs(matrix) @ z) / wanted
    assert np.all(violation <= np.maximum(1e-4, rounding))
    assert found.residual <= max(1e-4, np.max(rounding))


@given(samplers.stationary(shapes=SHAPE))
def test_without_a_solution_all_is_zero(j):
    rows = np.asarray(j, np.float32)
    found = solve(jnp.asarray(rows @ rows.T), 1.0)
    np.testing.assert_array_equal(found.weights, np.zeros(5))
    assert found.residual == 0


def test_zero_rows_have_no_weight():
    found = solve(jnp.diag(jnp.array([1.0, 0.0, 4.0])), 1.0)
    np.testing.assert_allclose(found.weights, [1.0, 0.0, 1.0], rtol=1e-6)
    nothing = solve(jnp.zeros((3, 3)), 1.0)
    np.testing.assert_array_equal(nothing.weights, np.zeros(3))


@pytest.mark.slow
def test_vmap_equals_a_loop():
    rng = np.random.default_rng(0)
    rows = np.abs(rng.normal(size=(4, 3, 8)))
    gramians = jnp.asarray(rows @ rows.swapaxes(1, 2), jnp.float32)
    together = jax.jit(jax.vmap(lambda g: bargain(correlation(g), 1.0)))(gramians)
    for index, gramian in enumerate(gramians):
        alone = solve(gramian, 1.0).weights
        np.testing.assert_allclose(together.weights[index], alone, rtol=1e-5)
