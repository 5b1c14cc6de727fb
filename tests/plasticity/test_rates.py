"""Learning rates of groups, from the plasticity of their weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import plasticity
from oracle import plasticity as oracle


def once(tx, gradient):
    return tx.update(gradient, tx.init(gradient))[0]


def test_learning_rates_of_groups():
    """The mean of a scope is over its leaves, whatever their sizes."""
    rng = np.random.default_rng(0)
    history = [{"a": rng.normal(size=6), "b": rng.normal(size=2)} for _ in range(3)]
    numbers = oracle.Plasticity()
    alone = oracle.Plasticity(0, 1, 0)
    for scope in (neo.per_leaf, neo.whole_tree):
        tx = neo.plasticity.modulate_rate(optax.identity(), strength=0.5, scope=scope)
        state = tx.init(jax.tree.map(jnp.asarray, history[0]))
        for t, gradient in enumerate(history):
            out, state = tx.update(jax.tree.map(jnp.asarray, gradient), state)
            signals = {}
            for name in gradient:
                past = [g[name] for g in history[: t + 1]]
                ratio = oracle.coefficient(past, numbers)
                ratio = ratio / oracle.coefficient(past, alone)
                signals[name] = np.mean(np.log(ratio))
            for name, g in gradient.items():
                own = signals[name]
                shared = own if scope is neo.per_leaf else np.mean([*signals.values()])
                wanted = np.clip(1 + 0.5 * shared, 0.8, 1.2) * g
                np.testing.assert_allclose(out[name], wanted, rtol=2e-5)


def test_a_coefficient_of_zero_does_not_push_the_rate():
    g = jnp.array([0.0, 1.0])
    parts = [plasticity.coefficients(minimum=0.0) for _ in range(2)]
    tx = neo.plasticity.modulate_rate(optax.identity(), *parts, strength=1.0)
    np.testing.assert_allclose(once(tx, g), g, rtol=1e-6)


def test_measures():
    """The signal is log 2, or log 4 at the second step."""
    twice = optax.stateless_with_tree_map(lambda g, _: 2 * g)
    once = optax.stateless_with_tree_map(lambda g, _: jnp.ones_like(g))
    tx = neo.plasticity.modulate_rate(
        optax.identity(), twice, once, strength=0.2, monitor=True
    )
    g = {"a": jnp.ones(3), "b": jnp.full(1, 4.0)}
    state = tx.init(g)
    for scale in (1, 2):
        _, state = jax.jit(tx.update)(jax.tree.map(lambda x, s=scale: s * x, g), state)
    found = neo.diagnostics(state, g)
    assert found.keys() == {"rate_multiplier", "rate_signal", "rate_clipped"}
    signals = np.log([[2, 4], [8, 16]])
    multipliers = [[1 + 0.2 * np.log(2), 1.2], [1.2, 1.2]]
    clipped = [[0, 1], [1, 1]]
    columns = dict(
        rate_signal=signals, rate_multiplier=multipliers, rate_clipped=clipped
    )
    for name, column in columns.items():
        by_leaf, (a, b) = found[name].per_leaf, np.mean(column, axis=1)
        np.testing.assert_allclose([by_leaf["a"], by_leaf["b"]], [a, b], rtol=1e-6)
        latest = np.average(np.asarray(column)[:, 1], weights=[3, 1])
        np.testing.assert_allclose(found[name].latest, latest, rtol=1e-6)


def test_measures_of_groups():
    """One entry for each group: the smallest and the largest are read from them."""
    g = {name: jnp.arange(1.0, 5.0) ** n for n, name in enumerate("abc")}
    scope = neo.by_label({"a": "one", "b": "one", "c": "two"})
    tx = neo.plasticity.modulate_rate(optax.identity(), scope=scope, monitor=True)
    out, state = tx.update(g, tx.init(g))
    multipliers = neo.diagnostics(state)["rate_multiplier"].per_leaf
    applied = [out[name][0] / g[name][0] for name in "bc"]
    np.testing.assert_allclose(multipliers, applied, rtol=1e-6)
    assert multipliers[0] != multipliers[1]


def test_the_default_reference_keeps_nothing():
    state = neo.plasticity.modulate_rate(optax.identity()).init(jnp.ones(3))
    assert [x.shape for x in jax.tree.leaves(state.reference)] == [()]  # its step
    assert state.recorded == ()


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`minimum, maximum` must be in \(0, inf\)"):
        neo.plasticity.modulate_rate(optax.identity(), minimum=0.0)
    with pytest.raises(ValueError, match=r"`monitor` must be True or False, got 'no'"):
        neo.plasticity.modulate_rate(optax.identity(), monitor="no")  # pyright: ignore
