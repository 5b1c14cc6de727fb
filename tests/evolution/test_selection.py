"""Selection: exact distributions, different parents, and who is never drawn."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neat_optax import evolution as evo

RULES = [evo.truncation(3), evo.tournament(3), evo.linear_rank(1.8)]
EVERY = pytest.mark.parametrize("rule", RULES, ids=repr)
KEY = jax.random.key(0)
NUMBERS = np.float32(np.arange(200_000) + 0.5) / np.float32(200_000)
"""They fill [0, 1) evenly."""


@functools.partial(jax.jit, static_argnums=2)
def drawn(key, fitness, shape):
    """The parents that each of the rules draws."""
    return [rule(key, fitness, shape) for rule in RULES]


def frequencies(rule, count):
    """The share of each place among even numbers."""
    return shares(rule, int(rule.pool(np.int32(count))), count)


def shares(rule, size, count):
    """The same, drawn from the first `size` places."""
    places = np.asarray(rule.place(NUMBERS, np.float32(size)), int)
    return np.bincount(places, minlength=count) / len(NUMBERS)


@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_truncation_draws_the_best_evenly(count):
    best = min(5, count)
    expected = np.where(np.arange(count) < best, 1 / best, 0)
    found = frequencies(evo.truncation(5), count)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 50])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_tournament_has_the_distribution_of_its_winners(count, size):
    left = np.arange(count, -1, -1.0)
    expected = (left[:-1] ** size - left[1:] ** size) / count**size
    found = frequencies(evo.tournament(size), count)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 50])
@pytest.mark.parametrize("pressure", [1.0, 1.5, 2.0])
def test_linear_rank_has_the_distribution_of_baker(count, pressure):
    places = np.arange(count)
    fall = 2 * (pressure - 1) * places / max(count - 1, 1)
    expected = (pressure - fall) / count if count > 1 else [1.0]
    found = frequencies(evo.linear_rank(pressure), count)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@EVERY
def test_a_second_parent_is_drawn_from_the_others_by_the_same_rule(rule):
    fitness = -np.arange(6, dtype=np.float32)
    pairs = np.asarray(drawn(KEY, fitness, (40_000, 2))[RULES.index(rule)])
    size = int(rule.pool(np.int32(6)))
    first, rest = frequencies(rule, 6), shares(rule, size - 1, 6)
    for one in range(size):
        share = np.mean(pairs[:, 0] == one)
        assert share == pytest.approx(first[one], abs=0.01)
        if share < 0.05:
            continue  # too few to count
        others = [i for i in range(6) if i != one]
        second = pairs[pairs[:, 0] == one, 1]
        found = [np.mean(second == i) for i in others]
        np.testing.assert_allclose(found, rest[:5], atol=0.03)


KINDS = st.sampled_from([np.nan, -np.inf, 1.0, 2.0, 3.0, np.inf])


@st.composite
def populations(draw):
    """Scores, and how many parents each child has: few shapes, since each compiles."""
    size, parents = draw(st.sampled_from([(1, 2), (4, 4), (9, 1), (9, 3)]))
    return np.float32(draw(st.lists(KINDS, min_size=size, max_size=size))), parents


@given(populations(), st.integers(0, 2**31))
def test_who_is_drawn(given, seed):
    scores, parents = given
    valid = scores > -np.inf
    rejected = np.isneginf(scores)
    allowed = valid if valid.any() else rejected if rejected.any() else np.isnan(scores)
    many = drawn(jax.random.key(seed), scores, (7, parents))
    for rule, found in zip(RULES, map(np.asarray, many), strict=True):
        assert found.shape == (7, parents)
        assert found.dtype == np.int32
        assert np.all(allowed[found])
        size = int(rule.pool(np.int32(allowed.sum())))
        for child in found:
            assert len(set(child.tolist())) >= min(parents, size)


def test_a_higher_offset_or_scale_of_fitness_draws_the_same():
    fitness = np.float32([0.5, -1.0, 2.0, 8.0, 3.0, -4.0])
    expected = drawn(KEY, fitness, (50, 2))
    for scaled in (fitness * 1e-6, fitness * 1e6 - 7e6, fitness - 100):
        found = drawn(KEY, np.float32(scaled), (50, 2))
        np.testing.assert_array_equal(found, expected)


@given(permutation=st.permutations(range(6)), seed=st.integers(0, 2**31))
def test_who_is_drawn_does_not_depend_on_where_they_stand(permutation, seed):
    """The same individuals are drawn, by their numbers in another order."""
    fitness = np.float32([0.5, -1.0, np.nan, 8.0, -np.inf, -4.0])
    moved, key = np.array(permutation), jax.random.key(seed)
    expected = drawn(key, fitness, (50, 2))
    found = drawn(key, fitness[moved], (50, 2))
    np.testing.assert_array_equal(moved[np.asarray(found)], expected)


def test_a_seed_is_a_key():
    fitness = np.arange(6, dtype=np.float32)
    np.testing.assert_array_equal(
        drawn(3, fitness, (50, 2)), drawn(jax.random.key(3), fitness, (50, 2))
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evo.truncation(0), r"^`k` must be an integer >= 1, got 0\.$"),
        (lambda: evo.truncation(len), r"^`k` must be an integer, got "),
        (lambda: evo.tournament(1.5), r"^`size` must be an integer >= 1, got 1\.5\.$"),
        (lambda: evo.linear_rank(2.5), r"^`pressure` must be in \[1, 2\], got 2\.5\.$"),
        (
            lambda: evo.select(0, evo.truncation, np.ones(2), (1, 1)),
            r"^`selection` must be of type Selection, .*; did you forget to call it\?$",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
