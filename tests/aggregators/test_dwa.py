import numpy as np
import pytest

import stepping
from neat_optax.aggregators._dwa import dwa, dwa_weights
from oracle import scalarizers


def weights_of(tx, history):
    """The weights of each step: the gradients are unit vectors."""
    players = [np.eye(len(history[0]))] * len(history)
    return np.stack(stepping.play(tx, players, losses=np.array(history))[0])


def test_by_hand():
    # rates 0 and 2 ln 3 at T = 2: shares 1/4 and 3/4 of 2
    weights = stepping.call(dwa_weights, np.array([0.0, 2 * np.log(3)]), np.ones(2))
    np.testing.assert_allclose(weights, [0.5, 1.5], rtol=1e-6)


def test_agrees_with_the_oracle():
    rng = np.random.default_rng(0)
    history = rng.uniform(0.1, 3.0, size=(6, 4))
    found = weights_of(dwa(1.5, num_players=4), history)
    np.testing.assert_allclose(found[:2], 1.0, rtol=1e-6)
    for t in range(2, 6):
        expected = scalarizers.dwa(history[t - 1], history[t - 2], 1.5)
        np.testing.assert_allclose(found[t], expected, rtol=1e-5)


def test_period_averages_losses():
    rng = np.random.default_rng(1)
    history = rng.uniform(0.1, 3.0, size=(9, 2))
    found = weights_of(dwa(period=3, num_players=2), history)
    np.testing.assert_allclose(found[:6], 1.0, rtol=1e-6)
    expected = scalarizers.dwa(history[3:6].mean(0), history[:3].mean(0))
    np.testing.assert_allclose(found[6:], [expected] * 3, rtol=1e-5)


def test_unknown_and_zero_losses_count_as_unchanged():
    newer, older = np.array([0.0, 5.0, 1.0]), np.array([0.0, 0.0, 1.0])
    weights = stepping.call(dwa_weights, newer, older)
    np.testing.assert_allclose(weights, 1.0, rtol=1e-6)
    found = weights_of(dwa(num_players=2), [[1.0, np.nan], [2.0, 1.0], [2.0, 1.0]])
    np.testing.assert_allclose(found[0], [1.0, 0.0])
    np.testing.assert_allclose(found[2], scalarizers.dwa([2.0, 1.0], [1.0, 1.0]), 1e-6)


def test_absent_players():
    stepping.check_absent_players(dwa(num_players=3), losses=stepping.LOSSES)


def test_errors():
    with pytest.raises(ValueError, match=r"`temperature` must be in \(0, inf\), got 0"):
        dwa(0.0, num_players=2)
    with pytest.raises(ValueError, match=r"`period` must be an integer >= 1, got 0\."):
        dwa(period=0, num_players=2)
    with pytest.raises(ValueError, match=r"`num_players` must be an integer >= 1, got"):
        dwa(num_players=0)
