"""Sums and maps over blocks of columns equal those of the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import _blocks
from running import quick_jit

C = _blocks.COLUMNS
SIZES = [1, 5, C - 1, C, C + 1, 3 * C, 3 * C + 7]


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def flat(x):
    return np.reshape(np.asarray(x), (len(x), -1)).astype(np.float64)


@pytest.fixture
def lone_cpu(monkeypatch):
    """The tests run on eight devices, where nothing is cut into blocks."""
    monkeypatch.setattr(_blocks, "in_blocks", lambda: True)


@pytest.mark.parametrize("size", SIZES)
def test_sum_over_blocks_equals_the_whole(lone_cpu, size):
    del lone_cpu
    a, b, m = rows(2, size), rows(2, size, seed=1), np.exp(rows(size, seed=2))
    calls = []

    def products(pair, row):
        calls.append(pair[0].shape)
        return jnp.einsum("in,jn->ij", pair[0] / row[None], pair[1])

    found = quick_jit(lambda *x: _blocks.sum_over_blocks(products, *x))((a, b), m)
    expected = flat(a) / m @ flat(b).T
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * size**0.5 * 10)
    parts = {C, size % C} if size >= 2 * C else {size}
    assert {shape[1] for shape in calls} == parts


@pytest.mark.parametrize("size", SIZES)
def test_map_over_blocks_equals_the_whole(lone_cpu, size):
    del lone_cpu
    a = rows(3, 1, size)

    @quick_jit
    def doubled(a):
        return _blocks.map_over_blocks(lambda block, _: 2 * jnp.sum(block, axis=0), a)

    found = doubled(a)
    np.testing.assert_allclose(found, 2 * np.sum(a, axis=0), rtol=1e-5, atol=1e-6)
    assert found.shape == (1, size)


@pytest.mark.parametrize("shape", [(2,), (2, 0), (2, 3, 4), (2, 3, C)])
def test_blocks_of_any_shape(lone_cpu, shape):
    del lone_cpu
    a = rows(*shape)

    @quick_jit
    def both(a, flattened):
        found = _blocks.map_over_blocks(lambda block, _: block[0] - block[1], a)
        sums = _blocks.sum_over_blocks(lambda x, _: jnp.sum(x, axis=1), flattened)
        return found, sums

    found, total = both(a, a.reshape(len(a), -1))
    np.testing.assert_array_equal(found, a[0] - a[1])
    expected = np.sum(flat(a), axis=1)
    np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-3)


def test_blocks_are_for_a_lone_cpu_only():
    assert jax.device_count() == 8
    assert not _blocks.in_blocks()
