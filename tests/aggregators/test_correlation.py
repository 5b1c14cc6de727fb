import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

import samplers
import stepping
import weight_rules
from neat_optax.aggregators._correlation import correlation


def correlated(gramian):
    """Of the first rows; the seats behind them are zero."""
    count = len(gramian)
    empty = weight_rules.SEATS - count
    rows = stepping.call(correlation, np.pad(gramian, (0, empty)))
    np.testing.assert_array_equal(rows.matrix[count:], np.eye(count + empty)[count:])
    assert not np.any(rows.active[count:])
    return jax.tree.map(lambda x: x[:count, :count] if x.ndim > 1 else x[:count], rows)


def test_by_hand():
    rows = correlated([[4.0, 3.0], [3.0, 9.0]])
    np.testing.assert_allclose(rows.matrix, [[1.0, 0.5], [0.5, 1.0]])
    np.testing.assert_array_equal(rows.norms, [2.0, 3.0])
    np.testing.assert_allclose(rows.per_norm, [1 / 2, 1 / 3])
    np.testing.assert_array_equal(rows.active, [True, True])


def test_zero_row_correlates_with_nothing():
    rows = correlated([[4.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(rows.matrix, np.eye(2))
    np.testing.assert_array_equal(rows.per_norm, [0.5, 0.0])
    np.testing.assert_array_equal(rows.active, [True, False])


@given(samplers.players(decades=12.0))
def test_cosines_at_every_length(j):
    rows = np.asarray(j, np.float32)
    found = correlated(rows @ rows.T)
    np.testing.assert_allclose(found.matrix, weight_rules.cosines(j), atol=2e-6)
    np.testing.assert_array_equal(np.diagonal(found.matrix), np.ones(len(j)))
    np.testing.assert_allclose(found.norms, np.linalg.norm(j, axis=1), rtol=1e-6)


def test_cosines_beyond_one_are_rounding():
    rows = correlated([[1.0, -1.001], [-1.001, 1.0]])
    np.testing.assert_array_equal(rows.matrix, [[1.0, -1.0], [-1.0, 1.0]])


def test_dtypes():
    def kept(dtype):
        gramian = jax.ShapeDtypeStruct((2, 2), dtype)
        return jax.eval_shape(correlation, gramian).matrix.dtype

    assert kept(jnp.bfloat16) == jnp.float32
    with jax.enable_x64(True):
        assert kept(jnp.float64) == jnp.float64
