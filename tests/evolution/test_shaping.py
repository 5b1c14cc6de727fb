import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from neat_optax.evolution import (
    Shaping,
    centered_ranks,
    nes_utilities,
    raw,
    standardized,
)
from oracle import es as es_oracle

EVERY = pytest.mark.parametrize(
    "shaping", [raw, centered_ranks, standardized, nes_utilities], ids=lambda s: s.name
)
RANKS = pytest.mark.parametrize(
    "shaping", [centered_ranks, nes_utilities], ids=lambda s: s.name
)


@st.composite
def losses(draw):
    """[num_pairs, 2] of integers, so that maps keep their order and ties exactly."""
    count = draw(st.sampled_from([1, 4, 7]))
    flat = draw(st.lists(st.integers(-9, 9), min_size=2 * count, max_size=2 * count))
    return np.array(flat, np.float32).reshape(count, 2)


def shaped(shaping, values):
    return np.asarray(_compiled(shaping)(jnp.asarray(values, jnp.float32)))


@functools.cache
def _compiled(shaping):
    return jax.jit(shaping.utilities)


def test_by_hand():
    values = [[3.0, 1.0], [2.0, 10.0]]
    np.testing.assert_allclose(shaped(raw, values), [[-1, -3], [-2, 6]])
    expected = [[1 / 6, -1 / 2], [-1 / 6, 1 / 2]]
    np.testing.assert_allclose(shaped(centered_ranks, values), expected, rtol=1e-6)
    expected = np.array([[-1, -3], [-2, 6]]) / np.sqrt(12.5)
    np.testing.assert_allclose(shaped(standardized, values), expected, rtol=1e-6)
    second = np.log(1.5) / (np.log(1.5) + np.log(3))
    expected = [[1, 1 - 4 * (1 - second)], [1 - 4 * second, 1]]
    np.testing.assert_allclose(shaped(nes_utilities, values), expected, rtol=1e-5)


def test_ties_share_the_mean_of_their_ranks():
    expected = [[-0.5, 0.0], [0.0, 0.5]]
    np.testing.assert_array_equal(shaped(centered_ranks, [[1, 2], [2, 3]]), expected)


@EVERY
@hypothesis.given(values=losses())
def test_utilities_add_up_to_zero(shaping, values):
    utilities = shaped(shaping, values)
    size = max(1.0, np.abs(utilities).max())
    np.testing.assert_allclose(utilities.sum(), 0, atol=2e-5 * size)


@hypothesis.given(values=losses())
def test_ranks_agree_with_counting(values):
    expected = es_oracle.centered_ranks(values)
    np.testing.assert_allclose(shaped(centered_ranks, values), expected, atol=1e-6)


@RANKS
@hypothesis.given(values=losses())
def test_ranks_are_the_same_under_every_increasing_map(shaping, values):
    before = shaped(shaping, values)
    for increasing in (np.exp, np.arctan, lambda x: x**3, lambda x: 5 * x - 2):
        np.testing.assert_array_equal(shaped(shaping, increasing(values)), before)


@hypothesis.given(values=losses())
def test_standardized_is_the_same_under_every_increasing_affine_map(values):
    before = shaped(standardized, values)
    for affine in (lambda x: 4 * x, lambda x: x / 8 + 3, lambda x: x * 2.0**100):
        after = shaped(standardized, affine(values))
        np.testing.assert_allclose(after, before, atol=1e-4)


@EVERY
@hypothesis.given(values=losses())
def test_lower_losses_have_lower_utilities(shaping, values):
    order = np.argsort(values.ravel(), kind="stable")
    assert np.all(np.diff(shaped(shaping, values).ravel()[order]) >= -1e-6)


@RANKS
@hypothesis.given(values=losses(), seed=st.integers(0, 99))
def test_permuting_the_evaluations_permutes_the_utilities(shaping, values, seed):
    order = np.random.default_rng(seed).permutation(values.size)
    permuted = values.ravel()[order].reshape(values.shape)
    expected = shaped(shaping, values).ravel()[order].reshape(values.shape)
    np.testing.assert_array_equal(shaped(shaping, permuted), expected)


@EVERY
def test_equal_losses_have_equal_utilities_of_zero(shaping):
    for value in (0.0, 0.1, -7.0):
        utilities = shaped(shaping, np.full((4, 2), value))
        np.testing.assert_array_equal(utilities, np.full((4, 2), utilities[0, 0]))
        np.testing.assert_allclose(utilities, 0, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@EVERY
def test_a_failed_evaluation_is_defined(shaping, bad):
    values = np.array([[1.0, bad], [2.0, 5.0], [3.0, 4.0]])
    found = shaped(shaping, values)
    if shaping is raw:
        expected = 1.5 * np.array([[0, 0], [-1.5, 1.5], [-0.5, 0.5]])
    else:
        stands_for = 5.0 if shaping is standardized else 99.0
        values[0, 1] = stands_for
        expected = shaped(shaping, values)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@EVERY
def test_where_all_fail_nothing_counts(shaping):
    for bad in (np.nan, np.inf, -np.inf):
        utilities = shaped(shaping, np.full((3, 2), bad))
        np.testing.assert_array_equal(utilities[:, 0], utilities[:, 1])
        np.testing.assert_allclose(utilities, 0, atol=1e-6)


@EVERY
def test_under_jit_and_vmap(shaping):
    values = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    found = jax.jit(jax.vmap(shaping.utilities))(values)
    for one, expected in zip(found, values, strict=True):
        np.testing.assert_allclose(one, shaped(shaping, expected), atol=1e-6)


def test_a_shaping_shows_its_name():
    assert repr(centered_ranks) == "<shaping centered_ranks>"
    assert repr(Shaping("mine", lambda losses: losses)) == "<shaping mine>"
