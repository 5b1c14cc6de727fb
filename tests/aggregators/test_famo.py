import jax.numpy as jnp
import numpy as np
import pytest

import aggregator_goldens as goldens
from neat_optax.aggregators._famo import famo, famo_weights
from player_contract import check_contract


def test_by_hand():
    # shares 1/4 and 3/4 over losses 1 and 3 are equal
    weights = famo_weights(jnp.array([1.0, 3.0]), jnp.log(jnp.array([1.0, 3.0])))
    np.testing.assert_allclose(weights, [0.5, 0.5], rtol=1e-6)
    shifted = famo_weights(jnp.array([2.0, 4.0]), jnp.zeros(2), ideal=(1.0, 1.0))
    np.testing.assert_allclose(shifted, [0.75, 0.25], rtol=1e-6)


@pytest.mark.parametrize("case", goldens.DATA["scalarizers"])
def test_recorded_run(case):
    """To within the 1e-8 that the authors add to a loss of 1e-4.

    Adam magnifies it where a player's rate is close to the mean.
    """
    steps = goldens.DATA["scalarizers"][case]["results"]["FAMO_3_steps"]["steps"]
    players = jnp.eye(len(steps[0]["losses"]))
    tx = famo(num_players=len(players))
    state = tx.init(players[0])
    for step in steps:
        losses, later = jnp.array(step["losses"]), jnp.array(step["next_losses"])
        update, state = tx.update(players, state, losses=losses)
        np.testing.assert_allclose(update, step["grad"], rtol=2e-4)
        _, after = tx.update(players, state, losses=later)
        logits = after.weighting.logits.values[0]
        np.testing.assert_allclose(logits, step["logits_after"], rtol=1e-3, atol=2e-4)


def test_contract():
    check_contract(famo(num_players=3), [0.5, 2.0, 1.0])


def test_players_without_a_logarithm_wait():
    tx, players = famo(ideal=0.1, num_players=3), jnp.eye(3)
    state = tx.init(players[0])
    for losses in ([1.0, 1.0, 1.0], [0.5, 0.1, 0.9], [0.4, 0.5, 0.8]):
        update, state = tx.update(players, state, losses=jnp.array(losses))
        np.testing.assert_allclose(jnp.sum(update), 1.0, rtol=1e-6)
        if losses[1] == 0.1:
            assert update[1] == 0
            waited = state.weighting.logits.values[0, 1]
    assert state.weighting.logits.values[0, 1] == waited
    assert np.all(np.isfinite(update))


def test_first_call_teaches_nothing():
    tx, players = famo(num_players=2), jnp.eye(2)
    _, state = tx.update(players, tx.init(players[0]), losses=jnp.array([1.0, 2.0]))
    assert int(state.weighting.logits.optimizer[1][0].count[0]) == 0
    np.testing.assert_array_equal(state.weighting.logits.values, 0)


def test_errors():
    with pytest.raises(ValueError, match=r"`learning_rate` must be in \[0, inf\), got"):
        famo(-1.0, num_players=2)
    with pytest.raises(ValueError, match=r"`weight_decay` must be in \[0, inf\), got"):
        famo(weight_decay=-1.0, num_players=2)
    with pytest.raises(ValueError, match=r"`ideal` must be a number in \(-inf, inf\)"):
        famo(ideal="low", num_players=2)
    tx = famo(num_players=2)
    with pytest.raises(ValueError, match=r"must be passed to update for famo, got Non"):
        tx.update(jnp.eye(2), tx.init(jnp.zeros(2)))
