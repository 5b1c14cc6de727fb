import numpy as np
import optax
import pytest

import stepping
from neat_optax.aggregators._gradnorm import gradnorm, gradnorm_targets

SGD = gradnorm(optimizer=optax.sgd(0.1), num_players=2)
TX = gradnorm(num_players=2)


def test_targets_by_hand():
    # mean length 2, rates 1/2 and 3/2
    def targets(ratios, alpha=1.5, present=(True, True)):
        given = np.array([1.0, 3.0]), np.array(ratios), alpha, np.array(present)
        return stepping.call(gradnorm_targets, *given)

    np.testing.assert_allclose(targets([0.25, 0.75], 2.0), [0.5, 4.5], 1e-6)
    np.testing.assert_allclose(targets([0.25, 0.75], 0.0), [2.0, 2.0])
    np.testing.assert_allclose(targets([0.0, 0.0]), [2.0, 2.0])
    alone = targets([0.25, 0.75], 1.0, (True, False))
    np.testing.assert_allclose(alone, [1.0, 0.0])
    default = gradnorm_targets(np.array([1.0, 3.0]), np.array([0.25, 0.75]))
    np.testing.assert_allclose(default, 2 * np.array([0.5, 1.5]) ** 1.5, rtol=1e-6)


def test_one_step_by_hand():
    # lengths 1 and 3 with the target 2: slopes -1 and 3, weights 1.1 and 0.7, sum 2
    first, state = stepping.step(SGD, np.diag([1.0, 3.0]), losses=np.ones(2))
    np.testing.assert_allclose(first, [1.0, 3.0])
    weights = state.weighting.weights.values[0]
    np.testing.assert_allclose(weights, np.array([1.1, 0.7]) * 2 / 1.8, rtol=1e-6)


def test_lengths_become_equal():
    players = np.broadcast_to(np.diag([0.5, 1.0, 4.0]), (150, 3, 3))
    given = {"losses": np.ones((150, 3))}
    updates, state = stepping.play(gradnorm(0.0, num_players=3), players, **given)
    np.testing.assert_allclose(updates[-1], np.mean(updates[-1]), rtol=0.1)
    weights = state.weighting.weights.values[0]
    np.testing.assert_allclose(np.sum(weights), 3.0, rtol=1e-5)


def test_slow_players_get_more():
    losses = np.array([[1.0, 1.0], [0.5, 0.9], [0.4, 0.9]])
    updates, _ = stepping.play(TX, [np.eye(2)] * 3, losses=losses)
    assert updates[-1][1] > 1 > updates[-1][0]


def test_very_long_and_short_gradients():
    for scale in (1e-25, 1e25):
        update, state = stepping.step(SGD, np.eye(2) * scale, losses=np.ones(2))
        np.testing.assert_allclose(update / scale, 1.0, rtol=1e-6)
        assert np.all(np.isfinite(state.weighting.weights.values))


def test_absent_players():
    stepping.check_absent_players(gradnorm(num_players=3), losses=stepping.LOSSES)


def test_the_first_loss_that_is_not_zero_is_the_initial_one():
    losses = np.array([[0.0, 2.0], [3.0, 1.0], [5.0, np.nan]])
    updates, state = stepping.play(TX, [np.eye(2)] * 3, losses=losses)
    assert np.all(np.isfinite(updates))
    np.testing.assert_array_equal(state.weighting.initial[0], [3.0, 2.0])


def test_errors():
    with pytest.raises(ValueError, match=r"`alpha` must be in \[0, inf\), got -1.0\."):
        gradnorm(-1.0, num_players=2)
    with pytest.raises(ValueError, match=r"must be passed to update for gradnorm, got"):
        stepping.step(TX, np.eye(2))
