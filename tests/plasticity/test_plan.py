"""Averages and means behind the coefficients."""

import jax
import numpy as np
import pytest

import neat_optax as neo
import properties
import running

SCOPES = {
    "per_leaf": neo.per_leaf,
    "whole_tree": neo.whole_tree,
    "by_label": neo.by_label({"a": "x", "b": "y", "c": "x"}),
}


def draw(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"a": (4, 3), "b": (5,), "c": ()}
    return {k: np.asarray(rng.normal(size=s), np.float32) for k, s in shapes.items()}


def spoilt(entry):
    g = draw()
    g["a"][1, 2] = entry
    return g


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_a_bad_entry_counts_as_zero_in_every_scope(scope):
    tx = neo.plasticity.scale_by_plasticity(scope=scope)
    step = jax.jit(lambda g: tx.update(g, tx.init(g)))
    expected = step(spoilt(0.0))
    for bad in (np.nan, np.inf, 1e25):
        found = step(spoilt(bad))
        properties.assert_trees_close(found, expected)
        properties.assert_finite(found[0])


@pytest.mark.parametrize(
    "scope",
    [
        neo.per_leaf,
        *(pytest.param(x, marks=pytest.mark.slow) for x in [*SCOPES.values()][1:]),
    ],
    ids=repr,
)
def test_many_at_once(scope):
    """Under `vmap` one of them may need guards, and the other not."""
    tx = neo.plasticity.scale_by_plasticity(scope=scope, monitor=True)
    step = lambda g: tx.update(g, tx.init(g))  # noqa: E731
    each = [draw(0), {**draw(1), "b": np.array([1, np.nan, 0, 2, 3], np.float32)}]
    mapped, alone = running.quick_jit(jax.vmap(step)), running.quick_jit(step)
    both = mapped(jax.tree.map(lambda *x: np.stack(x), *each))
    for n, g in enumerate(each):
        found = jax.tree.map(lambda x, n=n: x[n], both)
        properties.assert_trees_close(found, alone(g), rtol=1e-5)


@pytest.mark.parametrize("unused", ["activity", "memory"])
def test_what_is_unused_stays_unused(unused):
    kinds = dict(activity=neo.plasticity.activity(), memory=neo.plasticity.memory())
    names = {a.name for kind in kinds.values() for a in kind.averages}
    gone = {average.name for average in kinds[unused].averages}
    kinds[unused] = kinds[unused]._replace(weight=0)
    tx = neo.plasticity.scale_by_plasticity(
        [neo.plasticity.gradient(), *kinds.values()]
    )
    state, after = jax.eval_shape(
        lambda g: (tx.init(g), tx.update(g, tx.init(g))[1]), draw()
    )
    assert after.averages.keys() == names - gone
    properties.assert_same_types(after, state)


def test_a_state_edited_by_hand_is_taken_as_it_is():
    """The mean is that of the averages, not a number kept beside them."""
    tx = neo.plasticity.coefficients([neo.plasticity.activity(1)])
    state = tx.init(np.ones(2, np.float32))
    edited = {"activity": np.array([1.0, 3.0], np.float32) / np.float32(0.95)}
    step = jax.jit(lambda g, s: tx.update(g, s)[0])
    alpha = step(np.zeros(2, np.float32), state._replace(averages=edited))
    np.testing.assert_allclose(alpha, [0.5, 1.5], rtol=1e-6)
