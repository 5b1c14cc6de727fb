"""NEAT between players from the Gramian, against the one that sees the gradients."""

import numpy as np
import pytest
from hypothesis import given

import neat_optax as neo
import samplers
import weight_rules
from neat_optax.reference import _players

OPPONENTS = {
    "mean_excluding_self": neo.opponents.others_mean(),
    "batch_mean": neo.opponents.batch_mean(),
}


def oracle(j, alpha, mode):
    """The mean of the corrected gradients: a step from zero without momentum."""
    config = neo.compat.PlayerNEATConfig(
        learning_rate=1.0, beta=0.0, alpha=alpha, opponent_mode=mode
    )
    start = _players.State(momentum=None, nce=None, conflict_ema=0.0, step=0)
    return -_players.neat_player_step(np.zeros(j.shape[1]), j, start, config).param


def test_by_hand():
    """[1, 0] and [-1, 1] have the conflict 1/sqrt 2, and lose that of their overlap.

    [1, 0] - [1, -1] / 2 / sqrt 2 and [-1, 1] + [1, 0] / sqrt 2, halved.
    """
    j = np.array([[1.0, 0.0], [-1.0, 1.0]])
    update = weight_rules.update("neat", j, alpha=1.0)
    root = 1 / np.sqrt(2)
    np.testing.assert_allclose(update, [root / 4, 0.5 + root / 4], rtol=1e-5)


@pytest.mark.parametrize("mode", OPPONENTS)
@given(j=samplers.players(shapes=[(2, 3), (3, 10), (5, 20)], decades=2.0))
def test_agrees_with_the_oracle(j, mode):
    update = weight_rules.update("neat", j, alpha=0.75, opponent=OPPONENTS[mode])
    expected = oracle(j, 0.75, mode)
    # In units of the longest row: a mean that cancels is no unit.
    longest = np.linalg.norm(j, axis=1).max()
    np.testing.assert_allclose(update / longest, expected / longest, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_without_conflict_it_is_the_mean(count):
    j = np.abs(np.random.default_rng(0).normal(size=(count, 6)))
    weights = weight_rules.weights("neat", j, alpha=1.0)
    np.testing.assert_allclose(weights, np.full(count, 1 / count), rtol=1e-6)


def test_pairwise_by_hand():
    """The third harms nobody; the first two are corrected against each other only."""
    j = np.array([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    pair = weight_rules.update("neat", j, alpha=1.0, opponent=neo.opponents.pairwise())
    two = weight_rules.update("neat", j[:2], alpha=1.0)
    expected = (2 * two + j[2]) / 3
    np.testing.assert_allclose(pair, expected, rtol=1e-5)


def test_preference_of_zero_leaves_a_player_out():
    j = np.array([[1.0, 0.0], [-1.0, 1.0], [5.0, -7.0]])
    preference = np.array([1.0, 1.0, 0.0])
    weights = weight_rules.weights("neat", j, alpha=1.0, preference=preference)
    alone = weight_rules.weights("neat", j[:2], alpha=1.0)
    np.testing.assert_allclose(weights, [*alone, 0.0], rtol=1e-6)
