"""Memories and means behind the coefficients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neat_optax as neo
import properties

SCOPES = {
    "per_leaf": neo.per_leaf,
    "whole_tree": neo.whole_tree,
    "by_label": neo.by_label({"a": "x", "b": "y", "c": "x"}),
}


def draw(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"a": (4, 3), "b": (5,), "c": ()}
    return {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in shapes.items()}


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e25])
def test_a_bad_entry_counts_as_zero_in_every_scope(scope, bad):
    tx, g = neo.plasticity.scale_by_plasticity(scope=scope), draw()
    zero, poor = ({**g, "a": g["a"].at[1, 2].set(x)} for x in (0.0, bad))
    step = jax.jit(tx.update)
    found, expected = step(poor, tx.init(g)), step(zero, tx.init(g))
    properties.assert_trees_close(found, expected)
    properties.assert_finite(found[0])


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_many_at_once(scope):
    """Under `vmap` one of them may need guards, and the other not."""
    tx = neo.plasticity.scale_by_plasticity(scope=scope, monitor=True)
    each = [draw(0), {**draw(1), "b": jnp.array([1.0, jnp.nan, 0, 2, 3])}]
    both = jax.tree.map(lambda *x: jnp.stack(x), *each)
    states = jax.vmap(tx.init)(both)
    update, after = jax.vmap(tx.update)(both, states)
    for n, g in enumerate(each):
        expected = tx.update(g, tx.init(g))
        found = jax.tree.map(lambda x, n=n: x[n], (update, after))
        properties.assert_trees_close(found, expected, rtol=1e-5)


@pytest.mark.parametrize("unused", ["activity", "memory"])
def test_what_is_unused_stays_unused(unused):
    tx = neo.plasticity.scale_by_plasticity(**{f"{unused}_weight": 0})
    state = tx.init(draw())
    names = ["activity"] if unused == "activity" else ["momentum", "variance"]
    _, after = tx.update(draw(), state)
    assert all(getattr(after, name) == () for name in names)
    properties.assert_same_types(after, state)


def test_a_state_edited_by_hand_is_taken_as_it_is():
    """The mean is that of the memories, not a number kept beside them."""
    weights = dict(activity_weight=1, gradient_weight=0, memory_weight=0)
    tx, g = neo.plasticity.coefficients(**weights), jnp.ones(2)
    state = tx.init(g)._replace(activity=jnp.array([1.0, 3.0]) / 0.95)
    alpha, _ = tx.update(jnp.zeros(2), state)
    np.testing.assert_allclose(alpha, [0.5, 1.5], rtol=1e-6)
