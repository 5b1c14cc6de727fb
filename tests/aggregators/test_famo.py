import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax.aggregators._famo import famo, famo_weights

SEATS = 5
TX = famo(num_players=SEATS)


def test_by_hand():
    # shares 1/4 and 3/4 over losses 1 and 3 are equal
    losses = np.array([1.0, 3.0])
    weights = stepping.call(famo_weights, losses, np.log(losses))
    np.testing.assert_allclose(weights, [0.5, 0.5], rtol=1e-6)
    shifted = stepping.call(famo_weights, losses + 1, np.zeros(2), ideal=np.ones(2))
    np.testing.assert_allclose(shifted, [0.75, 0.25], rtol=1e-6)


def step(losses, state=None):
    """One of `TX`, with absent players behind, so that one program serves all runs."""
    count = len(losses)
    losses = np.pad(np.asarray(losses), (0, SEATS - count), constant_values=1.0)
    present = np.arange(SEATS) < count
    update, state = stepping.step(
        TX, np.eye(SEATS), state, losses=losses, present=present
    )
    assert not np.any(update[count:])
    return update[:count], state


@pytest.mark.parametrize("case", goldens.DATA["scalarizers"])
def test_recorded_run(case):
    """To within the 1e-8 that the authors add to a loss of 1e-4.

    Adam magnifies it where a player's rate is close to the mean.
    """
    steps, state = goldens.DATA["scalarizers"][case]["results"]["FAMO_3_steps"], None
    for recorded in steps["steps"]:
        update, state = step(recorded["losses"], state)
        np.testing.assert_allclose(update, recorded["grad"], rtol=2e-4)
        _, after = step(recorded["next_losses"], state)
        logits = after.weighting.logits.values[0, : len(update)]
        expected = recorded["logits_after"]
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=2e-4)


def test_absent_players():
    stepping.check_absent_players(famo(num_players=3), losses=stepping.LOSSES)


def test_players_without_a_logarithm_wait():
    tx = famo(ideal=0.1, num_players=3)
    state = stepping.start(tx, np.eye(3))
    for losses in ([1.0, 1.0, 1.0], [0.5, 0.1, 0.9], [0.4, 0.5, 0.8]):
        update, state = stepping.step(tx, np.eye(3), state, losses=np.array(losses))
        np.testing.assert_allclose(np.sum(update), 1.0, rtol=1e-6)
        if losses[1] == 0.1:
            assert update[1] == 0
            waited = state.weighting.logits.values[0, 1]
    assert state.weighting.logits.values[0, 1] == waited
    assert np.all(np.isfinite(update))


def test_first_call_teaches_nothing():
    _, state = step([1.0, 2.0])
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
        stepping.step(tx, np.eye(2))
