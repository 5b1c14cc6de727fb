import functools

import jax
import numpy as np
import pytest

from neat_optax.aggregators._gramian import (
    Extras,
    group_leaves,
    measure_gramian,
    measure_norms,
    measure_nothing,
)

J = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
TREE = {"a": J, "b": J[:, 0]}
STEP = np.zeros((), np.int32)


def broken(name, index, value):
    leaf = TREE[name].copy()
    leaf[index] = value
    return {**TREE, name: leaf}


@functools.partial(jax.jit, static_argnums=0)
def measured(owners, tree, given):
    extras = Extras.read(given, tree, 3)
    return measure_gramian(group_leaves(tree, extras, owners), extras, STEP)


def flat(tree):
    return np.concatenate([np.reshape(x, (3, -1)) for x in tree], axis=1, dtype=float)


def measure(tree, owners=(0, 0), **given):
    return jax.tree.map(np.asarray, measured(owners, tree, given))


def test_inner_products_over_the_whole_tree():
    found = measure(TREE)
    rows = flat(TREE.values())
    np.testing.assert_allclose(found.players.gramian[0], rows @ rows.T, rtol=1e-5)
    np.testing.assert_array_equal(found.players.scale, [1.0])
    np.testing.assert_array_equal(found.finite, [True] * 3)


def test_inner_products_by_scope():
    players = measure(TREE, owners=(1, 0)).players
    for index, leaf in ((1, TREE["a"]), (0, TREE["b"])):
        rows = flat([leaf])
        np.testing.assert_allclose(players.gramian[index], rows @ rows.T, rtol=1e-5)
    assert players.present.shape == (2, 3)


@pytest.mark.parametrize("power", [-25, -12, 12, 25])
def test_rescaled_by_a_power_of_two_out_of_range(power):
    """Squares of 1e-50 to 1e50, which float32 does not hold."""
    tree = jax.tree.map(lambda x: x * np.float32(10.0**power), TREE)
    players = measure(tree).players
    rows = flat(tree.values())
    scale = float(players.scale[0])
    assert np.log2(scale) == np.round(np.log2(scale))
    if abs(power) > 15:
        assert scale != 1
    actual = np.asarray(players.gramian[0], float) * scale**2
    np.testing.assert_allclose(actual, rows @ rows.T, rtol=1e-4)


def test_players_that_are_not_finite_or_absent_have_zero_rows():
    tree = broken("b", (1, 0), np.nan)
    found = measure(tree, present=np.array([False, True, True]))
    np.testing.assert_array_equal(found.finite, [True, False, True])
    np.testing.assert_array_equal(found.players.present[0], [False, False, True])
    gramian = found.players.gramian[0]
    rows = flat(TREE.values())
    square = gramian[2, 2] * found.players.scale[0] ** 2
    np.testing.assert_allclose(square, rows[2] @ rows[2], rtol=1e-5)
    np.testing.assert_array_equal(np.delete(np.ravel(gramian), 8), np.zeros(8))


def test_cross_products_with_a_second_batch():
    second = jax.tree.map(lambda x: x[::-1] * 2, TREE)
    players = measure(TREE, second_batch=second).players
    rows, others = flat(TREE.values()), flat(second.values())
    np.testing.assert_allclose(players.cross[0], rows @ others.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(players.gramian[0], rows @ rows.T, rtol=1e-5)


def test_a_second_batch_that_is_not_finite_drops_its_player():
    found = measure(TREE, second_batch=broken("a", (2, 0, 0), np.inf))
    np.testing.assert_array_equal(found.finite, [True, True, False])
    assert np.all(np.isfinite(found.players.cross))


def test_metric_divides_products():
    metric = {"a": np.full((4, 2), 4.0), "b": np.full(2, 0.25)}
    players = measure(TREE, metric=metric).players
    a, b = flat([TREE["a"]]), flat([TREE["b"]])
    expected = a @ a.T / 4 + b @ b.T * 4
    np.testing.assert_allclose(players.gramian[0], expected, rtol=1e-5)

    @jax.jit
    def lengths(tree, metric):
        extras = Extras.read({"metric": metric}, tree, 3)
        return measure_norms(group_leaves(tree, extras, (0, 0)), extras, STEP)

    diagonal = np.diag(np.diag(expected))
    found = lengths(TREE, metric).players
    np.testing.assert_allclose(found.gramian[0], diagonal, rtol=1e-5)


def test_without_a_gramian_only_finiteness_is_found():
    @jax.jit
    def measure(tree):
        extras = Extras.read({}, tree, 3)
        return measure_nothing(group_leaves(tree, extras, (0, 1)), extras, STEP)

    found = measure(broken("b", (0, 1), np.inf))
    np.testing.assert_array_equal(found.finite, [False, True, True])
    np.testing.assert_array_equal(found.players.gramian, np.zeros((2, 3, 3)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"present": np.ones(2, bool)},
            r"`present` must have one entry for each of t",
        ),
        ({"losses": np.ones((3, 1))}, r"the 3 players, got shape \(3, 1\)\."),
        (
            {"preference": (1.0, -1.0, 0.0)},
            "`preference` must be nonnegative numbers wi",
        ),
        ({"second_batch": {"a": J}}, "`second_batch` must have the tree structure of"),
        (
            {"metric": {"a": J, "b": J}},
            "`metric` must have the shapes of `updates of on",
        ),
    ],
)
def test_errors(given, message):
    with pytest.raises(ValueError, match=message):
        Extras.read(given, TREE, 3)
