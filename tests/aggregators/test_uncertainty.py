import numpy as np
import optax
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax.aggregators._uncertainty import uncertainty, uncertainty_weights
from oracle import scalarizers


def test_by_hand():
    weights = stepping.call(uncertainty_weights, np.log([1.0, 4.0]))
    np.testing.assert_allclose(weights, [0.5, 0.125], rtol=1e-6)


def test_recorded():
    for recorded in goldens.DATA["scalarizers"].values():
        expected = recorded["results"]["UW"]["grad"]
        weights = stepping.call(uncertainty_weights, np.zeros(len(expected)))
        np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_learns_down_the_slope_of_the_same_sum():
    tx, players = uncertainty(optax.sgd(0.3), num_players=2), np.eye(2)
    state, logs = stepping.start(tx, players), np.zeros(2)
    for losses in ([1.0, 3.0], [0.5, 2.0], [0.5, 2.0]):
        update, state = stepping.step(tx, players, state, losses=np.array(losses))
        weights, slope = scalarizers.uncertainty(losses, logs)
        np.testing.assert_allclose(update, weights, rtol=1e-5)
        logs = logs - 0.3 * slope
    np.testing.assert_allclose(state.weighting.values[0], logs, rtol=1e-5)


def test_weights_come_to_rest_at_the_inverse_losses():
    tx, players = uncertainty(optax.sgd(0.5), num_players=2), np.eye(2)
    losses, state = np.array([0.5, 4.0]), stepping.start(tx, players)
    for _ in range(60):
        update, state = stepping.step(tx, players, state, losses=losses)
    np.testing.assert_allclose(update, 0.5 / losses, rtol=1e-4)


def test_absent_players_leave_nothing():
    stepping.check_absent_players(
        uncertainty(optax.adam(0.1), num_players=3), losses=stepping.LOSSES
    )


def test_absent_players_keep_their_variance():
    tx, g = uncertainty(optax.adam(0.1), num_players=2), np.eye(2)
    given = {"losses": np.array([2.0, 3.0])}
    state, everyone = stepping.start(tx, g), np.array([True, True])
    _, state = stepping.step(tx, g, state, present=everyone, **given)
    _, after = stepping.step(tx, g, state, present=np.array([True, False]), **given)
    before, now = state.weighting, after.weighting
    assert before.values[0, 1] == now.values[0, 1]
    assert before.optimizer[0].mu[0, 1] == now.optimizer[0].mu[0, 1]
    assert before.optimizer[0].mu[0, 0] != now.optimizer[0].mu[0, 0]


def test_errors():
    with pytest.raises(ValueError, match=r"`optimizer` must be of type GradientTransf"):
        uncertainty(optax.adam, num_players=2)  # pyright: ignore
    tx = uncertainty(num_players=2)
    sentence = r"`losses` must be passed to update for uncertainty, got None"
    with pytest.raises(ValueError, match=sentence):
        stepping.step(tx, np.eye(2))
