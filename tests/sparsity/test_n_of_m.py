"""Of every m weights in a row, n are kept."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import samplers
from neat_optax import by_path
from neat_optax._leaves import everything
from neat_optax.sparsity import keep_mask, n_of_m, n_of_m_mask, saliency, snip
from running import run

SHAPES = {(8,): [0], (4, 8): [0, -1], (4, 3, 4): [2, -3], (2, 1, 8, 2): [-2]}


def mask_of(row, n=2, m=4, **options):
    """The mask of one row, along the last axis."""
    mask = n_of_m_mask(np.float32([row]), n, m, axis=-1, **options)
    return np.asarray(mask)[0].tolist()


def oracle(w, n, m, axis):
    """The best subset of every group: the latest among those of the largest sum."""
    rows = np.moveaxis(np.abs(w.astype(np.float64)), axis, -1)
    mask = np.zeros(rows.shape, bool)
    for where in np.ndindex(*rows.shape[:-1]):
        for start in range(0, rows.shape[-1], m):
            group = rows[where][start : start + m]
            subsets = itertools.combinations(range(m), n)
            best = max(subsets, key=lambda s: (group[list(s)].sum(), s))
            mask[where][[start + i for i in best]] = True
    return np.moveaxis(mask, -1, axis)


def test_two_of_four_by_hand():
    w = np.float32([[4.0, -1.0], [1.0, 7.0], [-3.0, 2.0], [2.0, -8.0]])
    columns = [[True, False, True, False], [False, True, False, True]]
    assert np.asarray(n_of_m_mask(w)).T.tolist() == columns
    rows = n_of_m_mask(w.T, axis=-1)
    assert rows.tolist() == columns


def test_every_group_by_itself():
    assert mask_of([9.0, 8.0, 7.0, 6.0, 1.0, 2.0, 3.0, 4.0]) == [
        *(True, True, False, False),
        *(False, False, True, True),
    ]
    assert mask_of([1.0, 2.0, 4.0, 3.0], n=1, m=2) == [False, True, True, False]
    assert mask_of([1.0, 2.0, 3.0], n=2, m=3) == [False, True, True]


def test_later_equals_are_kept():
    assert mask_of([1.0] * 4) == [False, False, True, True]
    assert mask_of([0.0, -0.0, 0.0, -0.0]) == [False, False, True, True]
    assert mask_of([2.0, 1.0, -1.0, 1.0]) == [True, False, False, True]


def test_all_of_m_and_one_of_one():
    assert mask_of([0.0, 1.0, 0.0, 0.0], n=4) == [True] * 4
    assert mask_of([0.0, 1.0], n=1, m=1) == [True] * 2


def test_what_is_not_finite_is_kept():
    assert mask_of([jnp.nan, 9.0, 8.0, -jnp.inf]) == [True, False, False, True]
    score = jnp.negative
    assert mask_of([jnp.nan, 9.0, 8.0, 1.0], score=score) == [True, False, False, True]


def test_a_convolution_is_cut_along_its_inputs():
    w = np.random.default_rng(0).normal(size=(3, 3, 8, 5)).astype("f4")
    mask = n_of_m_mask(w)
    np.testing.assert_array_equal(mask, oracle(w, 2, 4, 2))
    assert np.all(np.asarray(mask).reshape(9, 2, 4, 5).sum(2) == 2)


@pytest.mark.parametrize(
    ("shape", "axis"), [(shape, axis) for shape in SHAPES for axis in SHAPES[shape]]
)
@given(seed=samplers.seeds, n_and_m=st.sampled_from([(1, 2), (2, 4), (3, 4)]))
def test_agrees_with_the_best_of_all_subsets(shape, axis, seed, n_and_m):
    """Sizes 0 to 3: most groups have equals, and the latest subset the later ones."""
    w = np.random.default_rng(seed).integers(-3, 4, size=shape).astype("f4")
    mask = n_of_m_mask(w, *n_and_m, axis=axis, mask=everything)
    np.testing.assert_array_equal(mask, oracle(w, *n_and_m, axis))


def test_kernels_alone_by_default_and_by_choice():
    params = {
        "w": np.ones((4, 2), "f4"),
        "b": np.ones(3, "f4"),
        "h": np.ones((4, 4), jnp.bfloat16),
    }
    kept = {"w": 4, "b": 3, "h": 8}
    assert {k: np.asarray(m).sum() for k, m in n_of_m_mask(params).items()} == kept
    for mask, kept in (
        (by_path(lambda path, _: path == "w"), {"w": 4, "b": 3, "h": 16}),
        (by_path(lambda _, leaf: leaf.dtype == jnp.bfloat16), {"w": 8, "b": 3, "h": 8}),
    ):
        masks = n_of_m_mask(params, mask=mask)
        assert {k: np.asarray(m).sum() for k, m in masks.items()} == kept


def test_scores_with_gradients():
    w, g = np.float32([[[4.0, 3.0, 2.0, 1.0]], [[0.0, 1.0, 1.0, 9.0]]])
    for score in (saliency, snip):
        mask = n_of_m_mask(w, axis=-1, score=score, grad=g)
        assert mask.tolist() == [[False, True, False, True]]


def test_empty_arrays():
    assert n_of_m_mask({}) == {}
    assert n_of_m_mask(np.ones((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("spec", [P("data"), P(None, "data")], ids=["along", "across"])
@pytest.mark.parametrize(
    "axis_type",
    [AxisType.Explicit, pytest.param(AxisType.Auto, marks=pytest.mark.slow)],
    ids=str,
)
def test_on_a_mesh(axis_type, spec):
    """Groups of 4 straddle devices of 2 rows."""
    w = np.random.default_rng(0).normal(size=(16, 8)).astype("f4")
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        placed = jax.device_put(w, NamedSharding(mesh, spec))
        mask = n_of_m_mask(placed)
    np.testing.assert_array_equal(mask, oracle(w, 2, 4, 0))
    assert mask.sharding.is_equivalent_to(placed.sharding, 2)


def test_the_transformation_chooses_once_at_begin():
    tx = optax.chain(optax.sgd(1.0), n_of_m(1, 2, axis=-1, begin=1))
    grads = np.float32([[[2.0, 0.0]], [[-9.0, 0.0]], [[5.0, -9.0]]])
    _, visited, _ = run(tx, grads, np.float32([[4.0, 3.0]]))
    assert visited.tolist() == [[[2.0, 3.0]], [[0.0, 3.0]], [[0.0, 12.0]]]


def test_as_a_function_of_parameters():
    tx = keep_mask(functools.partial(n_of_m_mask, n=1, m=2))
    w = np.float32([[1.0], [2.0]])
    assert tx.init(w).mask.tolist() == [[False], [True]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"m": 3}, "`m` must divide axis -2 of every array, got 3"),
        ({"axis": 1}, "`m` must divide axis 1 of every array, got 4"),
        ({"axis": 2}, "`axis` must be an axis of every array, got 2"),
        ({"axis": -3}, "`axis` must be an axis of every array, got -3"),
    ],
    ids=str,
)
def test_arrays_that_do_not_fit(options, message):
    w = np.ones((4, 6), np.float32)
    message = (
        rf"(?m)^{re.escape(message)} for an array of shape \(4, 6\) at the root; "
        r"`mask` leaves arrays out\.$"
    )
    for call in (n_of_m_mask, lambda w, **kw: n_of_m(**kw).init(w)):
        with pytest.raises(ValueError, match=message):
            call(w, **options)


def test_a_first_convolution_is_named():
    params = {"conv": {"kernel": np.ones((3, 3, 1, 8), "f4"), "bias": np.ones(8)}}
    message = (
        r"(?m)^`m` must divide axis -2 of every array, got 4 for an array of shape "
        r"\(3, 3, 1, 8\) at conv/kernel; `mask` leaves arrays out\.$"
    )
    with pytest.raises(ValueError, match=message):
        n_of_m(2, 4).init(params)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 5}, r"`n` must be in \[1, 4\], got 5\.$"),
        ({"n": 0}, r"`n` must be in \[1, 4\], got 0\.$"),
        ({"n": 2.0}, r"`n` must be an integer >= 1, got 2\.0\.$"),
        ({"m": 0}, r"`m` must be an integer >= 1, got 0\.$"),
        ({"m": 4.0}, r"`m` must be an integer >= 1, got 4\.0\.$"),
        ({"axis": 0.5}, r"`axis` must be an integer, got 0\.5\.$"),
        ({"mask": 1}, r"`mask` must hold True or False, got 1\.$"),
    ],
    ids=str,
)
def test_bad_input(options, message):
    w = np.ones((4, 4), np.float32)
    for call in (n_of_m_mask, lambda w, **kw: n_of_m(**kw).init(w)):
        with pytest.raises(ValueError, match=rf"(?m)^{message}"):
            call(w, **options)


def test_bad_begin():
    for begin, message in (
        (-1, "an integer >= 0, got -1."),
        (0.5, "an integer >= 0, got 0.5."),
        (everything, f"an integer, got {everything!r}."),
    ):
        message = re.escape(f"`begin` must be {message}")
        with pytest.raises(ValueError, match=rf"^{message}$"):
            n_of_m(begin=begin)  # pyright: ignore[reportArgumentType]
