import numpy as np
import optax
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax.aggregators._imtl_l import imtl_l, imtl_l_weights
from oracle import scalarizers


def test_by_hand():
    weights = stepping.call(imtl_l_weights, np.log([1.0, 4.0]))
    np.testing.assert_allclose(weights, [1.0, 4.0], rtol=1e-6)


def test_recorded():
    for recorded in goldens.DATA["scalarizers"].values():
        expected = recorded["results"]["IMTLL"]["grad"]
        weights = stepping.call(imtl_l_weights, np.zeros(len(expected)))
        np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_learns_down_the_slope_of_the_same_sum():
    tx, players = imtl_l(optax.sgd(0.1), num_players=2), np.eye(2)
    state, logs = stepping.start(tx, players), np.zeros(2)
    for losses in ([1.0, 3.0], [0.5, 2.0], [0.5, 2.0]):
        update, state = stepping.step(tx, players, state, losses=np.array(losses))
        weights, slope = scalarizers.imtl_l(losses, logs)
        np.testing.assert_allclose(update, weights, rtol=1e-5)
        logs = logs - 0.1 * slope


def test_scaled_losses_become_one():
    tx, players = imtl_l(optax.sgd(0.3), num_players=2), np.eye(2)
    losses, state = np.array([0.5, 4.0]), stepping.start(tx, players)
    for _ in range(80):
        update, state = stepping.step(tx, players, state, losses=losses)
    np.testing.assert_allclose(update * losses, 1.0, rtol=1e-4)


def test_absent_players_leave_nothing():
    stepping.check_absent_players(
        imtl_l(optax.adam(0.1), num_players=3), losses=stepping.LOSSES
    )


def test_errors():
    with pytest.raises(ValueError, match=r"`optimizer` must be of type GradientTransf"):
        imtl_l(0.1, num_players=2)  # pyright: ignore
    tx = imtl_l(num_players=2)
    with pytest.raises(ValueError, match=r"must be passed to update for imtl_l, got N"):
        stepping.step(tx, np.eye(2))
