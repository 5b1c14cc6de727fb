import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

import samplers
import weight_rules
from neat_optax.aggregators._correlation import correlation


def test_by_hand():
    rows = correlation(jnp.array([[4.0, 3.0], [3.0, 9.0]]))
    np.testing.assert_allclose(rows.matrix, [[1.0, 0.5], [0.5, 1.0]])
    np.testing.assert_array_equal(rows.norms, [2.0, 3.0])
    np.testing.assert_allclose(rows.per_norm, [1 / 2, 1 / 3])
    np.testing.assert_array_equal(rows.active, [True, True])


def test_zero_row_correlates_with_nothing():
    rows = correlation(jnp.array([[4.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(rows.matrix, np.eye(2))
    np.testing.assert_array_equal(rows.per_norm, [0.5, 0.0])
    np.testing.assert_array_equal(rows.active, [True, False])


@given(samplers.players(decades=12.0))
def test_cosines_at_every_length(j):
    rows = np.asarray(j, np.float32)
    found = correlation(jnp.asarray(rows @ rows.T))
    np.testing.assert_allclose(found.matrix, weight_rules.cosines(j), atol=2e-6)
    np.testing.assert_array_equal(jnp.diagonal(found.matrix), np.ones(len(j)))
    np.testing.assert_allclose(found.norms, np.linalg.norm(j, axis=1), rtol=1e-6)


def test_cosines_beyond_one_are_rounding():
    rows = correlation(jnp.array([[1.0, -1.001], [-1.001, 1.0]]))
    np.testing.assert_array_equal(rows.matrix, [[1.0, -1.0], [-1.0, 1.0]])


def test_dtypes():
    assert correlation(jnp.eye(2, dtype=jnp.bfloat16)).matrix.dtype == jnp.float32
    with jax.enable_x64(True):
        assert correlation(jnp.eye(2, dtype=jnp.float64)).matrix.dtype == jnp.float64
