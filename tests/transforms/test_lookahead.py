"""Lookahead over plain parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import running


def descend(tx, steps, gradient=1.0):
    gradients = np.full((steps, 1), gradient, np.float32)
    _, after, _ = running.run(tx, gradients, np.float32([2.0]))
    return after[:, 0].tolist()


def test_by_hand():
    """Two steps of -.5 from 2 to 1, half-way back to 1.5, and the same again."""
    tx = neo.keep_slow_params(optax.sgd(0.5), period=2, step_size=0.5)
    assert descend(tx, 4) == [1.5, 1.5, 1.0, 1.0]


def test_a_whole_step_is_no_lookahead():
    tx = neo.keep_slow_params(optax.sgd(0.5), period=2, step_size=1.0)
    assert descend(tx, 3) == [1.5, 1.0, 0.5]


def test_agrees_with_optax_lookahead():
    fast = optax.adam(0.1)
    ours = neo.keep_slow_params(fast, 3, 0.25)
    theirs = optax.lookahead(fast, 3, 0.25)
    params = np.float32([1.0, -2.0])
    gradients = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    _, fast_after, state = running.run(ours, gradients, params)
    pair = optax.LookaheadParams.init_synced(params)
    _, pairs, _ = running.run(theirs, gradients, pair)
    np.testing.assert_allclose(fast_after, pairs.fast, rtol=1e-6)
    np.testing.assert_allclose(state.slow, pairs.slow[-1], rtol=1e-6)


def test_extra_arguments_reach_the_optimizer():
    tx = neo.keep_slow_params(
        neo.neat(0.1, opponent=neo.opponents.given(), monitor=True)
    )
    ones = np.ones((1, 2), np.float32)
    _, _, state = running.run(tx, ones, ones[0], opponent=-ones)
    np.testing.assert_allclose(neo.diagnostics(state)["conflict"].mean, 1.0, rtol=1e-6)


def test_the_slow_parameters_are_a_copy():
    """Parameters may be donated without taking the slow ones with them."""
    tx = neo.keep_slow_params(optax.sgd(0.1))
    params = jnp.ones(3)
    state = tx.init(params)
    params = jax.jit(lambda p: p + 1, donate_argnums=0)(params)
    np.testing.assert_array_equal(state.slow, [1.0, 1.0, 1.0])


def test_missing_params():
    tx = neo.keep_slow_params(optax.sgd(0.1))
    with pytest.raises(
        ValueError, match=r"^`params` must be passed to update for keep_"
    ):
        jax.eval_shape(lambda: tx.update(jnp.ones(1), tx.init(jnp.ones(1))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period": 0}, r"^`period` must be an integer >= 1, got 0\.$"),
        ({"period": 2.5}, r"^`period` must be an integer >= 1, got 2\.5\.$"),
        ({"step_size": 0.0}, r"^`step_size` must be in \(0, 1\], got 0\.0\.$"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        neo.keep_slow_params(optax.sgd(0.1), **options)
