"""How many are kept: exact counts from numbers that are not."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neat_optax.sparsity._division import count_kept

RAMP = optax.linear_schedule(0.0, 0.8, 10)
NUMBERS = pytest.mark.parametrize("number", [float, np.float32, jnp.float32])


def kept(size, sparsity):
    return int(count_kept([size], [sparsity]))


@NUMBERS
@pytest.mark.parametrize(
    ("size", "sparsity", "count"),
    [
        (10, 0.8, 2),
        (10, 0.9, 1),
        (10, 0.7, 3),
        (9, 1 / 3, 6),
        (7, 0.5, 3),
        (3, 0.5, 1),
        (100, 0.999, 1),
        (100, 0.99, 1),
        (100, 0.98, 2),
        (1000, 0.0, 1000),
        (1000, -0.5, 1000),
        (1000, 1.0, 1),
        (1000, 1.5, 1),
        (1, 0.5, 1),
        (0, 0.5, 1),
    ],
)
def test_counts_by_hand(size, sparsity, count, number):
    assert kept(size, number(sparsity)) == count


@NUMBERS
def test_counts_of_a_ramp(number):
    counts = [kept(20, number(0.08 * step)) for step in range(11)]
    assert counts == [20, 18, 16, 15, 13, 12, 10, 8, 7, 5, 4]
    traced = jax.jit(jax.vmap(lambda step: count_kept([20], [RAMP(step)])))
    assert traced(jnp.arange(11)).tolist() == counts


def test_a_plain_sparsity_is_exact_for_large_arrays():
    for sparsity, count in ((0.8, 20_000_000), (0.123456, 87_654_400), (1 - 1e-8, 1)):
        assert kept(10**8, sparsity) == count


def test_sizes_of_one_scope_add_up():
    """2.5 and 2.5 are 5; rounding of two hundred products does not add up."""
    assert count_kept([5, 5], [0.5, 0.5]) == 5
    assert count_kept([4, 4], [0.0, 0.75]) == 5
    for number in (float, np.float32, jnp.float32):
        assert count_kept([77] * 200, [number(0.8)] * 200) == 3080


@given(size=st.integers(1, 10**6), data=st.data())
def test_a_share_of_whole_weights_is_met_exactly(size, data):
    """Whether it is known, or a traced float32 that is not quite that share."""
    pruned = data.draw(st.integers(0, size - 1))
    for number in (float, np.float32, jnp.float32):
        assert kept(size, number(pruned / size)) == size - pruned


@given(size=st.integers(1, 10**6), sparsity=st.floats(0, 1, width=32))
def test_a_traced_count_is_the_exact_one_up_to_rounding(size, sparsity):
    """Never less, and one more only just below a whole number."""
    exact = size * (1 - Fraction(sparsity))
    rounding = 2 * size * Fraction(2) ** -23
    found = kept(size, jnp.float32(sparsity))
    assert max(exact // 1, 1) <= found <= max((exact + rounding) // 1, 1)
    tiny = size * Fraction(2) ** -51
    assert max(exact // 1, 1) <= kept(size, sparsity) <= max((exact + tiny) // 1, 1)
