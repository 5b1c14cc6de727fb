"""Which entries are largest: exact counts, ties and special numbers."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import samplers
from neat_optax._largest import keep_largest

SHAPES = [(3, 2), (), (0, 4), (5,), (2, 1, 2)]
SPECIAL = [0.0, -0.0, 1e-45, -1e-45, 1.2e-38, 1.0, -1.0, 3e38, -3e38]
NOT_FINITE = [np.inf, -np.inf, np.nan]
many = jax.jit(keep_largest)


def kept(scores, count, alive=None):
    """The mask for one array, all of it alive by default."""
    scores = np.asarray(scores)
    alive = np.ones(scores.shape, bool) if alive is None else np.asarray(alive)
    return np.asarray(many([scores], [alive], np.int32(count))[0])


def oracle(scores, alive, count):
    """The last `count` of those alive in a stable order of the concatenated scores."""
    flat = np.concatenate([np.asarray(s, np.float64).ravel() for s in scores])
    lives = np.concatenate([np.asarray(a).ravel() for a in alive])
    order = np.argsort(np.where(np.isnan(flat), np.inf, flat), kind="stable")
    order = order[lives[order]]
    mask = np.zeros(flat.size, bool)
    mask[order[max(0, len(order) - count) :]] = True
    ends = np.cumsum([np.size(s) for s in scores])[:-1]
    parts = zip(np.split(mask, ends), scores, strict=True)
    return [part.reshape(np.shape(s)) for part, s in parts]


def assert_agrees(scores, alive, count):
    found = many(scores, alive, np.int32(count))
    for mask, expected in zip(found, oracle(scores, alive, count), strict=True):
        assert (mask.shape, mask.dtype) == (expected.shape, jnp.bool_)
        np.testing.assert_array_equal(mask, expected)


def test_by_hand():
    assert kept([3.0, -5.0, 4.0, 0.5], 2).tolist() == [True, False, True, False]


def test_later_equals_are_kept():
    assert kept([[2.0, 1.0], [1.0, 1.0]], 2).tolist() == [[True, False], [False, True]]
    assert kept([[1.0, 1.0], [1.0, 1.0]], 3).tolist() == [[False, True], [True, True]]


def test_later_arrays_are_kept_among_equals():
    ones, alive = np.ones((2, 1), "f4"), np.ones((2, 1), bool)
    first, last = many([ones, ones], [alive, alive], np.int32(3))
    assert (first.tolist(), last.tolist()) == ([[False], [True]], [[True], [True]])


def test_zeros_of_both_signs_are_equal():
    assert kept([0.0, -0.0], 1).tolist() == [False, True]
    assert kept([-0.0, 0.0], 1).tolist() == [False, True]


def test_subnormals_are_no_zeros():
    assert kept([1e-45, 0.0, 2e-45, -1e-45], 2).tolist() == [True, False, True, False]
    assert kept([-1e-45, -3e-45, 0.0], 2).tolist() == [True, False, True]


def test_not_a_number_is_as_large_as_infinity():
    assert kept([np.nan, 3e38, -np.inf, 5.0], 1).tolist() == [True] + [False] * 3
    assert kept([np.nan, np.inf, -np.nan, 5.0], 2).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_the_smallest_number_is_kept_before_what_is_dead():
    mask = kept([-np.inf, np.nan, 1.0], 3, [True, False, True])
    assert mask.tolist() == [True, False, True]


@pytest.mark.parametrize("count", range(-1, 9))
def test_every_count_is_exact(count):
    """Of seven entries five are alive, three of them equal."""
    alive = np.array([1, 1, 0, 1, 0, 1, 1], bool)
    scores = np.array([1.0, 2.0, 9.0, 1.0, 9.0, 1.0, -1.0], np.float32)
    assert kept(scores, count, alive).sum() == min(max(count, 0), 5)
    assert kept(np.zeros(7, "f4"), count).sum() == min(max(count, 0), 7)
    assert kept(np.zeros(7, "f4"), count, np.zeros(7, bool)).sum() == 0


def test_scalars_and_empty_arrays():
    assert kept(1.0, 1).tolist() is True
    assert kept(1.0, 0).tolist() is False
    assert kept(np.zeros((0, 3), "f4"), 1).shape == (0, 3)


@given(seed=samplers.seeds, count=st.integers(0, 18), special=st.booleans())
def test_several_arrays_share_one_threshold(seed, count, special):
    rng = np.random.default_rng(seed)
    palette = np.array(SPECIAL + NOT_FINITE if special else [-1.0, 0.0, 0.5, 2.0], "f4")
    scores = [rng.choice(palette, size=shape) for shape in SHAPES]
    alive = [rng.uniform(size=shape) < 0.8 for shape in SHAPES]
    assert_agrees(scores, alive, count)


@given(seed=samplers.seeds)
def test_a_large_array_agrees_with_a_stable_sort(seed):
    """Two digits, so that there are many equals at the threshold."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=(40, 50)), 1).astype("f4")
    assert_agrees([scores], [rng.uniform(size=scores.shape) < 0.9], rng.integers(2000))


def test_all_bits_of_float64_count():
    with jax.enable_x64(True):
        close = 1 + np.arange(4) * 2.0**-52
        assert kept(close[[2, 0, 3, 1]], 2).tolist() == [True, False, True, False]
        assert kept([0.0, -0.0, 5e-324], 2).tolist() == [False, True, True]
        rng = np.random.default_rng(0)
        palette = np.array([*SPECIAL, *NOT_FINITE, 1e300, 5e-324, 1 + 2.0**-52])
        for count in range(0, 20, 3):
            scores = [rng.choice(palette, size=shape) for shape in SHAPES]
            alive = [rng.uniform(size=shape) < 0.8 for shape in SHAPES]
            assert_agrees(scores, alive, count)


def test_a_batch_of_scores_and_of_counts():
    scores = np.random.default_rng(0).integers(0, 4, size=(5, 3, 4)).astype("f4")
    counts, alive = np.array([0, 1, 5, 12, 20]), np.ones((3, 4), bool)
    batched = jax.vmap(lambda s, c: keep_largest([s], [alive], c)[0])
    found = np.asarray(jax.jit(batched)(scores, counts))
    one = jax.vmap(lambda c: many([scores[0]], [alive], c)[0])(counts)
    one = np.asarray(one)
    for index, count in enumerate(counts):
        [expected] = oracle([scores[index]], [alive], count)
        np.testing.assert_array_equal(found[index], expected)
        np.testing.assert_array_equal(one[index], oracle(scores[:1], [alive], count)[0])


@pytest.mark.parametrize(
    "axis_type",
    [AxisType.Explicit, pytest.param(AxisType.Auto, marks=pytest.mark.slow)],
    ids=str,
)
def test_sharded_arrays_stay_where_they_are(axis_type):
    rng = np.random.default_rng(0)
    shapes, specs = [(16, 3), (2, 8), (5,)], [P("data"), P(None, "data"), P()]
    scores = [rng.integers(0, 4, size=shape).astype("f4") for shape in shapes]
    alive = [rng.uniform(size=shape) < 0.9 for shape in shapes]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    places = [NamedSharding(mesh, spec) for spec in specs]
    with jax.set_mesh(mesh):
        placed = [
            [jax.device_put(x, s) for x, s in zip(xs, places, strict=True)]
            for xs in (scores, alive)
        ]
        compiled = many.lower(*placed, np.int32(7)).compile()
        for count in (0, 7, 31, 100):
            found = compiled(*placed, np.int32(count))
            expected = oracle(scores, alive, count)
            for mask, want, place in zip(found, expected, places, strict=True):
                np.testing.assert_array_equal(mask, want)
                assert mask.sharding.is_equivalent_to(place, mask.ndim)
    moves = r"\b(sort|top-?k|gather|all-\w+|collective-\w+|reduce-scatter)(?:-start)?\("
    assert set(re.findall(moves, compiled.as_text(), re.I)) == {"all-reduce"}


@pytest.mark.slow
def test_without_jit():
    scores, alive = jax.device_put((np.float32([3, 1, 2, 2]), np.ones(4, bool)))
    with jax.disable_jit():
        (mask,) = keep_largest([scores], [alive], 2)
    assert mask.tolist() == [True, False, False, True]
