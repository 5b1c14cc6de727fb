"""Signals, their guards, and their sums on both roads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax.plasticity import _signals
from neat_optax.plasticity._signals import memory_signal

BAD = [np.nan, np.inf, -np.inf]
LAST = np.nextafter(np.float32(2.0**64), np.float32(0))  # the last with a square


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_guards_agree(dtype):
    """What has no finite square counts as 0 in each of them."""
    numbers = [1.5, -3.0, 0.0, 1e30, -1e25, *BAD]
    g = jnp.asarray(numbers, dtype)
    expected = np.array([1.5, -3.0, 0.0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(_signals.usable(g), expected)
    np.testing.assert_array_equal(_signals.magnitude(g), np.abs(expected))
    twice = _signals.scaled(jnp.float32(2), g)
    np.testing.assert_array_equal(np.asarray(twice, np.complex64), 2 * expected)
    assert twice.dtype == g.dtype
    assert _signals.magnitude(g).dtype == jnp.float32


def test_the_last_number_with_a_finite_square():
    g = jnp.array([LAST, -LAST, 2.0**64])
    assert np.isfinite(LAST * LAST)
    np.testing.assert_array_equal(_signals.usable(g), [LAST, -LAST, 0])


@pytest.mark.parametrize("bad", [*BAD, 1e20, -1e38])
def test_a_sum_without_guard_is_not_used_where_it_matters(bad):
    """Neither a sum that is not finite nor one with an entry that counts as 0."""
    good, poor = jnp.array([1.0, -2.0]), jnp.array([[3.0, bad], [0.5, 0.0]])
    for found in (_signals.total_magnitude, jax.jit(_signals.total_magnitude)):
        np.testing.assert_array_equal(found([good, poor]), [3.0, 3.5])
        np.testing.assert_array_equal(found([good, good]), [3.0, 3.0])


def test_large_numbers_with_finite_squares_are_all_summed():
    """Their sum is past the root of the largest number: guards are looked at."""
    found = _signals.total_magnitude([jnp.full(3, 1e19)])
    np.testing.assert_allclose(found, [3e19], rtol=1e-6)
    assert _signals.total_magnitude([]) == []


def test_sums_are_sums():
    m = jnp.array([[-1.0, 0.0], [3.0, 1e-30]])
    v = jnp.array([[4.0, 0.0], [9.0, 0.0]])
    np.testing.assert_array_equal(_signals.total(m), 4.0)
    found = _signals.total_memory_signal(m, v)
    np.testing.assert_allclose(found, jnp.sum(memory_signal(m, v)), rtol=1e-6)


def test_zeros_are_in_units_of_one():
    factor, offset = _signals.over_mean(jnp.array([0.0, 4.0]))
    assert (factor.tolist(), offset.tolist()) == ([0.0, 0.25], [1.0, 0.0])
