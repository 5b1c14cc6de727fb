"""How sparse a model is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import running
from neat_optax._leaves import by_path, everything
from neat_optax.sparsity import (
    leaf_sparsities,
    make_mask,
    sparsity,
    summary,
    to_bcoo,
    units,
)

PARAMS = {
    "dense": {"bias": np.zeros(3, "f4"), "kernel": np.float32([[0.0, 1.0, -0.0]])},
    "out": np.float32([[2.0], [np.nan], [0.0], [1.0], [-np.inf]]),
    "none": np.zeros((0, 4), "f4"),
}
share = jax.jit(sparsity, static_argnames="mask")


def test_by_hand():
    """Zeros of both signs count, what is not finite does not: 3 of 8."""
    assert sparsity(PARAMS) == np.float32(0.375)
    found = leaf_sparsities(PARAMS)
    assert list(found) == ["dense/kernel", "none", "out"]
    assert [leaf.shape for leaf in found.values()] == [(1, 3), (0, 4), (5, 1)]
    assert [leaf.size for leaf in found.values()] == [3, 0, 5]
    assert [int(leaf.zeros) for leaf in found.values()] == [2, 0, 1]
    shares = [leaf.sparsity for leaf in found.values()]
    np.testing.assert_array_equal(shares, np.float32([2 / 3, 0, 1 / 5]))


def test_the_user_says_which_arrays_count():
    assert np.asarray(share(PARAMS, mask=everything)) == np.float32(6 / 11)
    bias = by_path(lambda path, _: path == "dense/bias")
    assert np.asarray(share(PARAMS, mask=bias)) == 1
    assert next(iter(leaf_sparsities(PARAMS, mask=everything))) == "dense/bias"


def test_without_arrays():
    for tree in ({}, {"bias": np.zeros(3, "f4")}, np.zeros((0, 2), "f4")):
        found = sparsity(tree)
        assert (found, found.dtype, found.shape) == (0, jnp.float32, ())
    assert leaf_sparsities({}) == {}
    assert summary({}).splitlines() == [
        "array  shape  entries  nonzero  sparsity",
        "total               0        0     0.00%",
    ]


def test_two_arrays_of_one_path_both_count():
    tree = {"a/b": np.zeros((1, 2), "f4"), "a": {"b": np.ones((1, 2), "f4")}}
    assert np.asarray(share(tree)) == 0.5
    assert summary(tree).splitlines()[1:] == [
        "a/b    1x2          2        2     0.00%",
        "a/b    1x2          2        0   100.00%",
        "total               4        2    50.00%",
    ]


def test_summary():
    assert summary(PARAMS) == (
        "array         shape  entries  nonzero  sparsity\n"
        "dense/kernel  1x3          3        1    66.67%\n"
        "none          0x4          0        0     0.00%\n"
        "out           5x1          5        4    20.00%\n"
        "total                      8        5    37.50%\n"
        "dense/bias    3            3        0  left out"
    )


def test_summary_shows_the_biases_that_went_with_their_units():
    params = {"bias": np.ones(4, "f4"), "kernel": np.ones((2, 4), "f4")}
    tree = make_mask(params, 0.5, granularity=units(-1)) | {"key": jax.random.key(0)}
    assert summary(tree).splitlines()[1:] == [
        "kernel  2x4          8        4    50.00%",
        "total                8        4    50.00%",
        "bias    4            4        2  left out",
        "key                  1           left out",
    ]


def test_summary_of_large_arrays_of_one_array_and_of_a_scalar():
    assert summary(np.ones((40, 50), "f4")).splitlines() == [
        "array   shape  entries  nonzero  sparsity",
        "(root)  40x50    2,000    2,000     0.00%",
        "total            2,000    2,000     0.00%",
    ]
    assert summary(np.float32(0), mask=everything).splitlines()[1:] == [
        "(root)               1        0   100.00%",
        "total                1        0   100.00%",
    ]


def test_masks():
    mask = make_mask({"w": np.arange(8, dtype="f4").reshape(2, 4)}, 0.75)
    assert np.asarray(share(mask)) == 0.75
    assert summary(mask).splitlines()[1] == "w      2x4          8        2    75.00%"


def test_under_jit_and_vmap():
    assert np.asarray(share(PARAMS)) == 0.375
    found = jax.jit(leaf_sparsities)(PARAMS)
    assert [int(leaf.zeros) for leaf in found.values()] == [2, 0, 1]
    batch = np.float32([[[0, 1]], [[0, 0]]])
    assert jax.jit(jax.vmap(sparsity))(batch).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "complex64"])
def test_other_dtypes(dtype):
    assert np.asarray(share(np.array([[0, 1, 0, 3]], jnp.dtype(dtype)))) == 0.5


@pytest.mark.slow
@running.quickly()
def test_sparse_arrays_multiply_as_the_dense_ones():
    none = to_bcoo(PARAMS)["none"]
    assert (jnp.ones((2, 0)) @ none).tolist() == [[0.0] * 4] * 2
    rng = np.random.default_rng(0)
    w, x = rng.integers(-2, 3, size=(5, 4)).astype("f4"), rng.integers(9, size=(3, 5))
    x = jnp.asarray(x, jnp.float32)
    found = to_bcoo({"w": jnp.asarray(w)})["w"]
    assert found.nse == np.count_nonzero(w)
    np.testing.assert_array_equal(found.todense(), w)
    np.testing.assert_array_equal(x @ found, x @ w)


@pytest.mark.slow
def test_what_becomes_a_sparse_array():
    found = to_bcoo(PARAMS)
    assert found["dense"]["bias"] is PARAMS["dense"]["bias"]
    assert (found["dense"]["kernel"].nse, found["none"].nse, found["out"].nse) == (
        1,
        0,
        4,
    )
    chosen = by_path(lambda path, _: path == "dense/bias")
    bias = to_bcoo(PARAMS, mask=chosen)["dense"]["bias"]
    assert (bias.nse, bias.shape) == (0, (3,))
    half = to_bcoo(jnp.array([[0, 1.5]], jnp.bfloat16))
    assert (half.nse, half.dtype) == (1, jnp.bfloat16)


@pytest.mark.slow
@pytest.mark.parametrize(
    "axis_type",
    [AxisType.Explicit, AxisType.Auto],
    ids=str,
)
def test_on_a_mesh(axis_type):
    w = np.arange(32.0, dtype="f4").reshape(16, 2) % 3
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        placed = {"w": jax.device_put(w, NamedSharding(mesh, P("data")))}
        assert sparsity(placed) == np.mean(w == 0, dtype=np.float32)
        found = to_bcoo(placed)["w"]
    np.testing.assert_array_equal(found.todense(), w)


def test_bad_input():
    for call in (sparsity, leaf_sparsities, summary, to_bcoo):
        with pytest.raises(
            ValueError, match=r"^`mask` must hold True or False, got 'k'\.$"
        ):
            call(PARAMS, mask="k")
    message = (
        r"^`params` must have floating or complex leaves, got bool at \['w'\]; leave "
        r"other leaves out with optax\.masked\.$"
    )
    with pytest.raises(ValueError, match=message):
        to_bcoo({"w": jnp.ones((2, 2), bool)})
