"""The oracle between players against the original's recordings."""

import numpy as np
import pytest

import goldens
import neat_optax as neo
from neat_optax import reference

CASES = goldens.load("neat_player_step")
ZERO = reference.State()


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_original(name):
    case = CASES[name]
    shape = case["inputs"]["shape"]
    config = neo.compat.PlayerNEATConfig(**case["config"])
    param = goldens.array(case["inputs"]["param"], shape)
    state = reference.zeros_like(param)
    for players, expected in zip(
        case["inputs"]["player_grads"], case["expected"]["steps"], strict=True
    ):
        players = goldens.array(players).reshape(-1, *shape)
        step = reference.neat_player_step(param, players, state, config)
        assert goldens.close(step.param, goldens.array(expected["param"], shape))
        for field in ("momentum", "nce"):
            recorded = goldens.array(expected["state"][field], shape)
            assert goldens.close(getattr(step.state, field), recorded), field
        assert goldens.close(
            step.state.conflict_ema, float(expected["state"]["conflict_ema"])
        )
        for metric, value in expected["metrics"].items():
            assert goldens.close(step.metrics[metric], value), metric
        param, state = step.param, step.state


def test_opposed_players_cancel():
    config = neo.compat.PlayerNEATConfig(alpha=0.5, beta=0.0, learning_rate=0.1)
    players = [[1.0, 0.0], [-1.0, 0.0]]
    step = reference.neat_player_step([1.0, 2.0], players, ZERO, config)
    np.testing.assert_allclose(step.param, [1.0, 2.0])
    assert step.metrics["mean_player_conflict"] == 1.0
    assert step.metrics["mean_correction_ratio"] == 0.5
    np.testing.assert_allclose(step.state.conflict_ema, 0.19)


def test_one_player_has_no_opponent():
    config = neo.compat.PlayerNEATConfig(alpha=1.0, beta=0.0, learning_rate=0.1)
    step = reference.neat_player_step([1.0], [[2.0]], ZERO, config)
    np.testing.assert_allclose(step.param, [0.8])
    assert step.metrics["max_player_conflict"] == 0.0


def test_batch_mean_includes_the_player():
    """Players 3 and -1: the mean is 1, so only the second conflicts."""
    config = neo.compat.PlayerNEATConfig(
        alpha=1.0, beta=0.0, learning_rate=1.0, opponent_mode="batch_mean"
    )
    step = reference.neat_player_step([0.0], [[3.0], [-1.0]], ZERO, config)
    assert step.metrics["mean_player_conflict"] == 0.5
    np.testing.assert_allclose(step.param, [-1.5])


@pytest.mark.parametrize("players", [[1.0, 2.0], np.zeros((0, 2)), np.zeros((2, 3))])
def test_a_missing_or_empty_player_axis_is_refused(players):
    with pytest.raises(
        ValueError, match=r"must have a leading player axis of at least"
    ):
        reference.neat_player_step(
            [1.0, 2.0], players, ZERO, neo.compat.PlayerNEATConfig()
        )
