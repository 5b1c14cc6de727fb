"""Gramians and weighted sums of stacked leaves, whole and in blocks of columns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import _blocks, _stacked
from running import quick_jit

gramian = quick_jit(_stacked.gramian)
largest_entry = quick_jit(_stacked.largest_entry)
weighted_sum = quick_jit(_stacked.weighted_sum)
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


def test_gramian_against_numpy():
    leaves = [rows(3, 4, 5), rows(3, 7, seed=1), rows(3, seed=2)]
    expected = sum(flat(x) @ flat(x).T for x in leaves)
    found = gramian(leaves)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32


def test_gramian_with_others_a_scale_and_a_metric():
    a, b = rows(3, 4, 5), rows(3, 4, 5, seed=1)
    metric = np.exp(rows(4, 5, seed=2))
    found = gramian([a], [b], np.float32(0.5), [metric])
    expected = flat(a) / metric.ravel() @ flat(b).T / 4
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_gramian_of_complex_leaves_is_that_of_real_pairs():
    a = rows(3, 4) + 1j * rows(3, 4, seed=1)
    pair = np.concatenate([a.real, a.imag], axis=1)
    found = gramian([a])
    np.testing.assert_allclose(found, pair @ pair.T, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gramian_of_low_precision_is_summed_in_float32(dtype):
    """A sum of 4096 ones stops at 256 in bfloat16, and at 2048 in float16."""
    precisely = {"xla_allow_excess_precision": False}
    gramian = jax.jit(_stacked.gramian, compiler_options=precisely)
    found = gramian([np.ones((2, 4096), jnp.dtype(dtype))])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.full((2, 2), 4096.0))


def test_largest_entry_and_nan():
    leaves = [np.float32([[1.0, -3.0], [np.nan, 0.0]]), np.float32([[2.0], [1.0]])]
    found = np.asarray(largest_entry(leaves))
    assert found[0] == 3
    assert np.isnan(found[1])
    assert largest_entry([np.zeros((2, 0), np.float32)]).tolist() == [0, 0]


def test_squared_norms_and_products():
    a, v = rows(3, 4, 5), rows(4, 5, seed=1)
    norms = quick_jit(_stacked.squared_norms)(a)
    np.testing.assert_allclose(norms, np.sum(flat(a) ** 2, axis=1), rtol=1e-5)
    products = quick_jit(_stacked.products)(a, v)
    np.testing.assert_allclose(products, flat(a) @ v.ravel(), rtol=1e-4, atol=1e-5)


def test_weighted_sum_with_and_without_everyone():
    a, weights = rows(3, 4, 2), np.array([0.5, -1.0, 2.0], np.float32)
    found = weighted_sum(weights, np.ones(3, bool), a)
    expected = np.tensordot(weights, a, axes=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    broken = a.copy()
    broken[1, 0, 0] = np.nan
    found = weighted_sum(weights, np.array([True, False, True]), broken)
    expected = np.tensordot(weights[[0, 2]], a[[0, 2]], axes=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_weighted_sum_keeps_the_dtype_and_adds_in_float32():
    ones = np.ones((1024, 2), jnp.bfloat16)
    weights, everyone = np.ones(1024, np.float32), np.ones(1024, bool)
    found = np.asarray(weighted_sum(weights, everyone, ones))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.astype(np.float32), [1024.0, 1024.0])


@pytest.mark.parametrize("blocks", [False, True])
def test_products_of_sums_against_numpy(blocks, monkeypatch):
    """The last player is not finite; a sum that cancels is right to its own length."""
    monkeypatch.setattr(_blocks, "in_blocks", lambda: blocks)
    size = 2 * C + 3 if blocks else 6
    a, b = rows(4, size), rows(4, 3, seed=1) + 1j * rows(4, 3, seed=2)
    a[1] = -a[0] + 1e-4 * a[1]
    b[1] = -b[0]
    a[3, 1] = np.nan
    metric = [np.exp(rows(size, seed=3)), np.ones(3, np.float32)]
    weights = np.array([[1, 1, 0, 0], [1, 0, 2, 0]], np.float32)
    measure = jax.jit(_stacked.products_of_sums)
    three = np.arange(4) < 3
    found = np.asarray(measure(weights, three, [a, b], np.float32(0.5), metric))
    flat_a, flat_b = flat(a[:3]) / 2, np.concatenate([b.real, b.imag], axis=1)[:3] / 2
    sums = weights[:, :3] @ flat_a, weights[:, :3] @ np.float64(flat_b)
    expected = sums[0] / metric[0] @ flat_a.T + sums[1] @ flat_b.T
    np.testing.assert_array_equal(found[:, 3], [0.0, 0.0])
    for row, exact in zip(found[:, :3], expected, strict=True):
        np.testing.assert_allclose(row, exact, atol=2e-5 * np.max(np.abs(exact)))
