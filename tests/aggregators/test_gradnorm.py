import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neat_optax.aggregators._gradnorm import gradnorm, gradnorm_targets
from player_contract import check_contract


def test_targets_by_hand():
    # mean length 2, rates 1/2 and 3/2
    lengths, ratios = jnp.array([1.0, 3.0]), jnp.array([0.25, 0.75])
    np.testing.assert_allclose(gradnorm_targets(lengths, ratios, 2.0), [0.5, 4.5], 1e-6)
    np.testing.assert_allclose(gradnorm_targets(lengths, ratios, 0.0), [2.0, 2.0])
    np.testing.assert_allclose(gradnorm_targets(lengths, jnp.zeros(2)), [2.0, 2.0])
    alone = gradnorm_targets(lengths, ratios, 1.0, jnp.array([True, False]))
    np.testing.assert_allclose(alone, [1.0, 0.0])


def test_one_step_by_hand():
    # lengths 1 and 3 with the target 2: slopes -1 and 3, weights 1.1 and 0.7, sum 2
    tx, g = (
        gradnorm(optimizer=optax.sgd(0.1), num_players=2),
        jnp.diag(jnp.array([1.0, 3.0])),
    )
    state = tx.init(g[0])
    first, state = tx.update(g, state, losses=jnp.ones(2))
    np.testing.assert_allclose(first, [1.0, 3.0])
    weights = state.weighting.weights.values[0]
    np.testing.assert_allclose(weights, np.array([1.1, 0.7]) * 2 / 1.8, rtol=1e-6)


def test_lengths_become_equal():
    tx, g = gradnorm(0.0, num_players=3), jnp.diag(jnp.array([0.5, 1.0, 4.0]))
    step, state = jax.jit(tx.update), tx.init(g[0])
    for _ in range(150):
        update, state = step(g, state, losses=jnp.ones(3))
    np.testing.assert_allclose(update, np.mean(update), rtol=0.1)
    weights = state.weighting.weights.values[0]
    np.testing.assert_allclose(jnp.sum(weights), 3.0, rtol=1e-5)


def test_slow_players_get_more():
    tx, g = gradnorm(1.5, num_players=2), jnp.eye(2)
    state = tx.init(g[0])
    for losses in ([1.0, 1.0], [0.5, 0.9], [0.4, 0.9]):
        update, state = tx.update(g, state, losses=jnp.array(losses))
    assert update[1] > 1 > update[0]


def test_very_long_and_short_gradients():
    for scale in (1e-25, 1e25):
        tx, g = gradnorm(optimizer=optax.sgd(0.1), num_players=2), jnp.eye(2) * scale
        update, state = tx.update(g, tx.init(g[0]), losses=jnp.ones(2))
        np.testing.assert_allclose(update / scale, 1.0, rtol=1e-6)
        assert np.all(np.isfinite(state.weighting.weights.values))


def test_contract():
    check_contract(gradnorm(num_players=3), [0.5, 2.0, 1.0])


def test_the_first_loss_that_is_not_zero_is_the_initial_one():
    tx, g = gradnorm(num_players=2), jnp.eye(2)
    state = tx.init(g[0])
    for losses in ([0.0, 2.0], [3.0, 1.0], [5.0, jnp.nan]):
        update, state = tx.update(g, state, losses=jnp.array(losses))
        assert np.all(np.isfinite(update))
    np.testing.assert_array_equal(state.weighting.initial[0], [3.0, 2.0])


def test_errors():
    with pytest.raises(ValueError, match=r"`alpha` must be in \[0, inf\), got -1.0\."):
        gradnorm(-1.0, num_players=2)
    tx = gradnorm(num_players=2)
    with pytest.raises(ValueError, match=r"must be passed to update for gradnorm, got"):
        tx.update(jnp.eye(2), tx.init(jnp.zeros(2)))
