"""Gradients from values in a chain with an optimizer: a small network learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import running
from es_losses import KEY, PARAMS, gradients_of, keys, loss
from neat_optax.evolution import Shaping, centered_ranks, es_value_and_grad, raw


def points():
    """Two classes that no line divides; the last input is constant."""
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    x[:, 2] = 1
    return x, np.sign(x[:, 0] * x[:, 1])


def network():
    rng = np.random.default_rng(1)
    return {
        "in": rng.normal(size=(3, 8)).astype(np.float32),
        "out": rng.normal(size=8).astype(np.float32) / 3,
    }


def squared_errors(params, x, y):
    return (jnp.tanh(x @ params["in"]) @ params["out"] - y) ** 2


def train(fn, tx, steps):
    """Parameters after so many steps in one scan, and the first value."""

    @running.quick_jit
    def run(params, x, y):
        def step(carry, key):
            params, state = carry
            value, grads = fn(key, params, x, y)
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, tx.init(params)), keys(steps))

    (params, _), values = run(network(), *points())
    return params, values[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "shaping",
    [centered_ranks, pytest.param(raw, marks=pytest.mark.slow)],
    ids=lambda s: s.name,
)
def test_with_adam_a_small_network_learns(shaping):
    def of_all(params, x, y):
        return jnp.mean(squared_errors(params, x, y))

    fn = es_value_and_grad(of_all, 0.05, 32, shaping=shaping, batch_size=8)
    params, _ = train(fn, optax.adam(0.05), 200)
    before, after = of_all(network(), *points()), of_all(params, *points())
    assert after < 0.25 * before


@pytest.mark.slow
@pytest.mark.parametrize(
    "reduce", [neo.aggregators.upgrad(), neo.player_neat_correction()]
)
def test_players_in_a_chain_with_what_corrects_conflicts(reduce):
    def of_halves(params, x, y):
        return jnp.mean(squared_errors(params, x, y).reshape(2, -1), axis=1)

    fn = es_value_and_grad(of_halves, 0.05, 32, batch_size=8)
    params, first = train(fn, optax.chain(reduce, optax.adam(0.05)), 200)
    assert first.shape == (2,)
    assert np.all(of_halves(params, *points()) < 0.4 * first)


def test_a_shaping_of_ones_own():
    signs = Shaping("signs", lambda losses: jnp.sign(losses - jnp.median(losses)))
    _, grads = gradients_of(loss, 0.1, 64, shaping=signs)(KEY, PARAMS)
    true = jax.jit(jax.grad(loss))(PARAMS)
    pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(true), strict=True)
    assert sum(np.vdot(a, b) for a, b in pairs) > 0
