"""What is pruned together: entries, units and blocks."""

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
from neat_optax import whole_tree
from neat_optax.sparsity import arrays, blocks, entries, make_mask, units
from running import quick_jit

DIVIDE = "`shape` must divide the last axes of every array"
CUTS = {shape: blocks(*shape) for shape in [(2,), (3, 2), (2, 3, 2)]}
KERNEL = np.float32([[1.0, -2.0, 3.0, 4.0], [5.0, 6.0, -7.0, 9.0]])


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def test_an_entry_is_a_group_of_its_own():
    assert entries.pool(KERNEL).tolist() == KERNEL.tolist()
    assert entries.groups((3, 4, 5)) == 60
    assert entries.groups(()) == 1


@pytest.mark.parametrize(
    ("granularity", "means", "count"),
    [
        (units(), [[3.0, 2.0, -2.0, 6.5]], 4),
        (units(1), [[3.0, 2.0, -2.0, 6.5]], 4),
        (units(-2), [[1.5], [3.25]], 2),
        (units(0), [[1.5], [3.25]], 2),
        (blocks(2), [[[-0.5], [3.5]], [[5.5], [1.0]]], 4),
        (blocks(2, 4), [[[[2.375]]]], 1),
        (blocks(2, 2), [[[[2.5]], [[2.25]]]], 2),
        (blocks(1, 1), KERNEL[:, None, :, None].tolist(), 8),
        (blocks(), KERNEL.tolist(), 8),
        (arrays, [[2.375]], 1),
    ],
    ids=str,
)
def test_a_group_has_the_mean_of_its_scores(granularity, means, count):
    pooled = np.asarray(quick_jit(granularity.pool)(KERNEL))
    assert pooled.size == granularity.groups(KERNEL.shape) == count
    np.testing.assert_array_equal(pooled.ravel(), np.ravel(means))


@pytest.mark.parametrize(
    ("granularity", "expected"),
    [
        (units(-1), [[0, 0, 1, 1], [0, 0, 1, 1]]),
        (blocks(2, 2), [[0, 0, 1, 1], [0, 0, 1, 1]]),
        (arrays, [[1, 1, 1, 1], [1, 1, 1, 1]]),
        slow(units(-2), [[0, 0, 0, 0], [1, 1, 1, 1]]),
        slow(blocks(2), [[0, 0, 0, 0], [1, 1, 1, 1]]),
        slow(blocks(1, 4), [[0, 0, 0, 0], [1, 1, 1, 1]]),
        slow(blocks(2, 1), [[0, 0, 1, 1], [0, 0, 1, 1]]),
        slow(entries, [[0, 0, 0, 0], [1, 1, 1, 1]]),
    ],
    ids=str,
)
def test_half_of_the_groups_by_hand(granularity, expected):
    """Sizes 1 2 3 4 over 5 6 7 9: columns have means 3, 4, 5, 6.5."""
    mask = make_mask(KERNEL, 0.5, granularity=granularity)
    np.testing.assert_array_equal(mask, np.array(expected, bool))


def test_a_convolution_loses_whole_filters_and_channels():
    """Filters are on the last axis, input channels before it."""
    w = np.random.default_rng(0).normal(size=(3, 3, 4, 6)).astype("f4")
    sizes = np.abs(w.astype(np.float64))
    for axis, others in ((-2, (0, 1, 3)), (3, (0, 1, 2))):
        mask = np.asarray(make_mask(w, 0.5, granularity=units(axis)))
        means = sizes.mean(axis=others, keepdims=True)
        expected = np.broadcast_to(means >= np.median(means), w.shape)
        np.testing.assert_array_equal(mask, expected)


@given(
    seed=samplers.seeds,
    shape=st.sampled_from(list(CUTS)),
    kept=st.integers(1, 8),
)
def test_blocks_agree_with_a_loop_over_blocks(seed, shape, kept):
    """All axes before the blocked ones are cut into single entries."""
    w = np.random.default_rng(seed).normal(size=(4, 6, 4)).astype("f4")
    lengths = (1,) * (3 - len(shape)) + shape
    counts = np.floor_divide(w.shape, lengths)
    means = np.empty(counts)
    for where in np.ndindex(*counts):
        cut = tuple(
            slice(i * n, (i + 1) * n) for i, n in zip(where, lengths, strict=True)
        )
        means[where] = np.abs(w[cut].astype(np.float64)).mean()
    kept = min(kept, means.size)
    sparsity = jnp.float32(1 - kept / means.size)
    mask = make_mask(w, sparsity, granularity=CUTS[shape])
    threshold = np.sort(means, axis=None)[-kept]
    np.testing.assert_array_equal(mask, np.kron(means >= threshold, np.ones(lengths)))


def test_groups_of_several_arrays_share_a_threshold():
    """Means 1.5, 3.5 | 2.5, 2.5: two of the four are kept, equal ones later."""
    params = [*np.float32([[[1.0, 2.0], [3.0, 4.0]], [[2.5, 2.5], [1.0, 4.0]]])]
    masks = make_mask(params, 0.5, granularity=units(0), scope=whole_tree)
    firsts = [np.asarray(mask)[:, 0].tolist() for mask in masks]
    assert firsts == [[False, True], [False, True]]


def test_whole_arrays_are_compared():
    """Means 1.5 and 2: half of the arrays are kept."""
    params = [np.float32([[1.0, 2.0]]), np.float32([[4.0], [0.0]])]
    masks = make_mask(params, 0.5, granularity=arrays, scope=whole_tree)
    assert [np.ravel(m).tolist() for m in masks] == [[False] * 2, [True] * 2]


@pytest.mark.parametrize(
    "granularity", [entries, units(-1), units(0), blocks(2, 2), arrays], ids=str
)
def test_what_is_decided_is_spread_over_a_group(granularity):
    """Numbers and truths alike."""

    @quick_jit
    def pool_and_spread(kernel):
        pooled = granularity.pool(kernel)
        spread = granularity.spread(pooled, kernel)
        kept = granularity.spread(pooled > 3, kernel)
        return pooled, granularity.pool(spread), spread, kept

    pooled, again, spread, kept = jax.device_get(pool_and_spread(KERNEL))
    assert (spread.shape, spread.dtype) == (KERNEL.shape, KERNEL.dtype)
    np.testing.assert_allclose(again, pooled)
    np.testing.assert_array_equal(kept, spread > 3)


def test_a_number_is_one_unit():
    granularity = units(-1)
    assert (granularity.groups(()), granularity.pool(np.float32(1)).item()) == (1, 1.0)


def test_empty_arrays_have_no_groups_or_empty_ones():
    for granularity in (entries, units(-1), units(-2), blocks(2, 2), arrays):
        for shape in ((0, 4), (4, 0)):
            mask = jax.eval_shape(
                lambda w, g=granularity: make_mask(w, 0.5, granularity=g),
                np.ones(shape, np.float32),
            )
            assert (mask.shape, mask.dtype) == (shape, jnp.bool_)
    mask = make_mask(np.ones((0, 4), np.float32), 0.5, granularity=units(-1))
    assert mask.shape == (0, 4)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [slow(P("data")), P(None, "data")])
@pytest.mark.parametrize(
    "axis_type",
    [AxisType.Explicit, pytest.param(AxisType.Auto, marks=pytest.mark.slow)],
    ids=str,
)
def test_groups_on_a_mesh(axis_type, spec):
    """Blocks of 4 rows and columns straddle devices of 2."""
    w = np.random.default_rng(0).normal(size=(16, 16)).astype("f4")
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    for granularity in (units(-1), blocks(4, 4), arrays):
        expected = make_mask(w, 0.5, granularity=granularity)
        with jax.set_mesh(mesh):
            placed = jax.device_put(w, NamedSharding(mesh, spec))
            mask = make_mask(placed, 0.5, granularity=granularity)
        np.testing.assert_array_equal(mask, expected)
        assert mask.sharding.is_equivalent_to(placed.sharding, 2)


@pytest.mark.parametrize(
    "sparsity", [0.5, jax.device_put(np.float32(0.5))], ids=["plain", "traced"]
)
@pytest.mark.parametrize(
    ("granularity", "message"),
    [
        (units(2), "`axis` must be an axis of every array, got 2"),
        (units(-3), "`axis` must be an axis of every array, got -3"),
        (blocks(3), f"{DIVIDE}, got (3,)"),
        (blocks(1, 8), f"{DIVIDE}, got (1, 8)"),
        (blocks(1, 1, 1), f"{DIVIDE}, got (1, 1, 1)"),
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_named(granularity, message, sparsity):
    message = (
        rf"^{re.escape(message)} for an array of shape \(3, 4\) at kernel; `mask` "
        r"leaves arrays out\.$"
    )
    params = {"kernel": np.ones((3, 4), "f4")}
    with pytest.raises(ValueError, match=message):
        make_mask(params, sparsity, granularity=granularity)


def test_bad_input():
    for length in (0, -1, 2.0, True):
        with pytest.raises(
            ValueError, match=rf"^`shape` must be an integer >= 1, got {length}\.$"
        ):
            blocks(2, length)
    for axis in (0.5, None, True):
        with pytest.raises(
            ValueError, match=rf"^`axis` must be an integer, got {axis}\.$"
        ):
            units(axis)
    message = (
        r"^`granularity` must be of type Granularity, got .*; did you forget to ca"
    )
    with pytest.raises(ValueError, match=message):
        make_mask(KERNEL, 0.5, granularity=units)  # pyright: ignore
