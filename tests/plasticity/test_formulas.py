"""Signals, their guards, and their sums on both roads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax.plasticity import _formulas
from neat_optax.plasticity._formulas import memory_signal

BAD = [np.nan, np.inf, -np.inf]
LAST = np.nextafter(np.float32(2.0**64), np.float32(0))  # the last with a square


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_guards_agree(dtype):
    """What has no finite square counts as 0 in each of them."""
    numbers = [1.5, -3.0, 0.0, 1e30, -1e25, *BAD]
    g = np.asarray(numbers, jnp.dtype(dtype))
    expected = np.array([1.5, -3.0, 0.0, 0, 0, 0, 0, 0])
    usable, magnitude, twice = jax.jit(
        lambda g: (
            _formulas.usable(g),
            _formulas.magnitude(g),
            _formulas.scaled(jnp.float32(2), g),
        )
    )(g)
    np.testing.assert_array_equal(usable, expected)
    np.testing.assert_array_equal(magnitude, np.abs(expected))
    np.testing.assert_array_equal(np.asarray(twice, np.complex64), 2 * expected)
    assert twice.dtype == g.dtype
    assert magnitude.dtype == jnp.float32


def test_the_last_number_with_a_finite_square():
    g = np.array([LAST, -LAST, 2.0**64], np.float32)
    assert np.isfinite(LAST * LAST)
    np.testing.assert_array_equal(jax.jit(_formulas.usable)(g), [LAST, -LAST, 0])


def test_a_sum_without_guard_is_not_used_where_it_matters():
    """Neither a sum that is not finite nor one with an entry that counts as 0."""
    total = jax.jit(_formulas.total_magnitude)
    good = np.array([1, -2], np.float32)
    for bad in (*BAD, 1e20, -1e38):
        poor = np.array([[3, bad], [0.5, 0]], np.float32)
        np.testing.assert_array_equal(total([good, poor]), [3.0, 3.5])
    np.testing.assert_array_equal(total([good, good]), [3, 3])


def test_large_numbers_with_finite_squares_are_all_summed():
    """Their sum is past the root of the largest number: guards are looked at."""
    found = jax.jit(_formulas.total_magnitude)([np.full(3, 1e19, np.float32)])
    np.testing.assert_allclose(found, [3e19], rtol=1e-6)
    assert _formulas.total_magnitude([]) == []


def test_sums_are_sums():
    m = np.array([[-1, 0], [3, 1e-30]], np.float32)
    v = np.array([[4, 0], [9, 0]], np.float32)
    total, of_memory, signal = jax.jit(
        lambda m, v: (
            _formulas.total(m),
            _formulas.total_memory_signal(m, v),
            memory_signal(m, v),
        )
    )(m, v)
    np.testing.assert_array_equal(total, 4.0)
    np.testing.assert_allclose(of_memory, np.sum(signal), rtol=1e-6)


def test_zeros_are_in_units_of_one():
    means = np.array([0, 4], np.float32)
    factor, offset = jax.jit(_formulas.over_mean)(means)
    assert (factor.tolist(), offset.tolist()) == ([0.0, 0.25], [1.0, 0.0])
