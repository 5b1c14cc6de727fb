"""Learning rates of groups, from the plasticity of their weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import plasticity
from oracle import plasticity as oracle
from running import run


def test_learning_rates_of_groups():
    """The mean of a scope is over its leaves, whatever their sizes."""
    rng = np.random.default_rng(0)
    history = {"a": rng.normal(size=(3, 6)), "b": rng.normal(size=(3, 2))}
    signals = {}
    for name, past in history.items():
        signals[name] = [log_ratio(past[: t + 1]) for t in range(3)]
    gradients = jax.tree.map(lambda x: x.astype(np.float32), history)
    for scope in (neo.per_leaf, neo.whole_tree):
        tx = neo.plasticity.modulate_rate(optax.identity(), strength=0.5, scope=scope)
        out = jax.jit(functools.partial(played, tx))(gradients)
        for name, own in signals.items():
            shared = np.mean([*signals.values()], axis=0)
            signal = np.array(own if scope is neo.per_leaf else shared)
            wanted = np.clip(1 + 0.5 * signal, 0.8, 1.2)[:, None] * history[name]
            np.testing.assert_allclose(out[name], wanted, rtol=2e-5)


def played(tx, gradients):
    """What a transformation makes of each gradient."""

    def step(state, gradient):
        return tx.update(gradient, state)[::-1]

    first = jax.tree.map(lambda x: x[0], gradients)
    return jax.lax.scan(step, tx.init(first), gradients)[1]


def log_ratio(past):
    """The mean logarithm of the coefficients over those of the gradient alone."""
    numbers = oracle.Plasticity(), oracle.Plasticity(0, 1, 0)
    full, alone = (oracle.coefficient(list(past), x) for x in numbers)
    return np.mean(np.log(full / alone))


def test_a_coefficient_of_zero_does_not_push_the_rate():
    g = np.array([0, 1], np.float32)
    parts = [plasticity.coefficients(minimum=0.0) for _ in range(2)]
    tx = neo.plasticity.modulate_rate(optax.identity(), *parts, strength=1.0)
    update = jax.jit(lambda g: tx.update(g, tx.init(g))[0])(g)
    np.testing.assert_allclose(update, g, rtol=1e-6)


def test_extra_arguments_reach_the_optimizer():
    def scaled(updates, state, params=None, *, factor):
        del params
        return factor * updates, state

    inner = optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), scaled)
    tx, g = neo.plasticity.modulate_rate(inner, strength=0.0), np.float32([[1.0, -2.0]])
    updates, _, _ = run(tx, g, g[0], factor=np.float32([3.0]))
    np.testing.assert_allclose(updates, [[3.0, -6.0]], rtol=1e-6)


def test_records():
    """The signal is log 2, or log 4 at the second step."""
    twice = optax.stateless_with_tree_map(lambda g, _: 2 * g)
    once = optax.stateless_with_tree_map(lambda g, _: jnp.ones_like(g))
    tx = neo.plasticity.modulate_rate(
        optax.identity(), twice, once, strength=0.2, monitor=True
    )
    g = {"a": np.ones(3, np.float32), "b": np.full(1, 4, np.float32)}
    _, _, state = run(tx, jax.tree.map(lambda x: np.stack([x, 2 * x]), g), g)
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


def test_records_of_groups():
    """One entry for each group: the smallest and the largest are read from them."""
    g = {name: np.arange(1, 5, dtype="f4") ** n for n, name in enumerate("abc")}
    scope = neo.by_label({"a": "one", "b": "one", "c": "two"})
    tx = neo.plasticity.modulate_rate(optax.identity(), scope=scope, monitor=True)
    out, state = jax.jit(lambda g: tx.update(g, tx.init(g)))(g)
    multipliers = neo.diagnostics(state)["rate_multiplier"].per_leaf
    applied = [out[name][0] / g[name][0] for name in "bc"]
    np.testing.assert_allclose(multipliers, applied, rtol=1e-6)
    assert multipliers[0] != multipliers[1]


def test_the_default_reference_keeps_nothing():
    state = neo.plasticity.modulate_rate(optax.identity()).init(np.ones(3, np.float32))
    assert [x.shape for x in jax.tree.leaves(state.reference)] == [()]  # its step
    assert state.recorded == ()


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`minimum, maximum` must be in \(0, inf\)"):
        neo.plasticity.modulate_rate(optax.identity(), minimum=0.0)
    with pytest.raises(ValueError, match=r"`monitor` must be True or False, got 'no'"):
        neo.plasticity.modulate_rate(optax.identity(), monitor="no")  # pyright: ignore
