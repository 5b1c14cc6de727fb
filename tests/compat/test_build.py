"""The chains that configurations describe, against the original's recordings."""

import jax
import numpy as np
import optax
import pytest

import goldens
import neat_optax as neo
import properties
import running


def test_from_config_is_a_transformation():
    tx = neo.compat.from_config(neo.compat.NEATConfig())
    assert isinstance(tx, optax.GradientTransformationExtraArgs)


def test_the_default_is_the_default_optimizer():
    gradients, params = np.float32([[0.5, 0.25]]), np.float32([1.0, -2.0])
    updates = [
        running.run(tx, gradients, params)[0]
        for tx in (
            neo.compat.from_config(neo.compat.NEATConfig(learning_rate=0.1)),
            neo.neat(0.1),
        )
    ]
    properties.assert_trees_equal(*updates)


def test_an_l1_penalty_shrinks_by_its_share_of_the_learning_rate():
    """Without a gradient: .5 * .25 off the first weight, and the second is gone."""
    config = neo.compat.NEATConfig(learning_rate=0.5, sparsity_l1=0.25)
    tx, still = neo.compat.from_config(config), np.zeros((1, 2), np.float32)
    _, after, _ = running.run(tx, still, np.float32([2.0, -0.1]))
    assert after.tolist() == [[1.875, 0.0]]


def test_noise_is_measured_against_an_average_with_the_opponents_decay():
    """e = (9, 0), |g| = 10 and |g - e| = 17: noise 17/19, beside a conflict of .6."""
    config = neo.compat.NEATConfig(
        learning_rate=1.0,
        beta=0.0,
        adaptive_alpha=True,
        opponent_ema_decay=0.5,
        gradient_noise_decay=0.0,
        adaptive_correction_decay=0.0,
    )
    gradients = np.float32([[18.0, 0.0], [-6.0, 8.0]])
    tx = neo.compat.from_config(config)
    updates, _, _ = running.run(tx, gradients, np.zeros(2, np.float32))
    alpha = 0.25 * (1 + 0.6 + 17 / 19)
    np.testing.assert_allclose(updates[1], [6 - 6 * 0.6 * alpha, -8], rtol=1e-6)


@pytest.mark.parametrize("config", [None, {"alpha": 0.5}, 0.1])
def test_what_is_no_configuration_is_refused(config):
    with pytest.raises(ValueError, match=r"^`config` must be a NEATConfig, got "):
        neo.compat.from_config(config)


BETWEEN_PLAYERS = goldens.load("neat_player_step")
FAST = (
    "adaptive_correction_traj",
    "cosine_mode",
    "reduction_sum",
    "sparsity_traj",
    "warmup_2",
)
OTHERS = sorted({*BETWEEN_PLAYERS} - {*FAST, "ignored_options_enabled"})


@pytest.mark.fast("adaptive_correction_traj", "cosine_mode")
@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)]
)
def test_recorded_steps_between_players(name):
    case = BETWEEN_PLAYERS[name]
    tx = neo.compat.from_config(neo.compat.PlayerNEATConfig(**case["config"]))
    shape = case["inputs"]["shape"]
    param = np.float32(goldens.array(case["inputs"]["param"], shape))
    stacks = [np.float32(goldens.array(g)) for g in case["inputs"]["player_grads"]]
    _, after, _ = running.run(tx, np.stack(stacks), param)
    for found, expected in zip(after, case["expected"]["steps"], strict=True):
        assert goldens.close(found, goldens.array(expected["param"], shape))


def test_options_without_meaning_between_players_are_refused():
    config = neo.compat.PlayerNEATConfig(
        **BETWEEN_PLAYERS["ignored_options_enabled"]["config"]
    )
    with pytest.raises(ValueError, match="must be 'momentum' between players, got"):
        neo.compat.from_config(config)


@pytest.mark.fast("True")
@pytest.mark.parametrize("decoupled", [True, False])
def test_coupled_decay_between_players_passes_through_the_momentum(decoupled):
    """One step of size 1: 0.1 * (1 + 2 * 0.5) coupled, 0.1 * 1 + 2 * 0.5 else."""
    config = neo.compat.PlayerNEATConfig(
        learning_rate=1.0, weight_decay=0.5, decouple_weight_decay=decoupled
    )
    tx, ones = neo.compat.from_config(config), np.ones((1, 3, 1), np.float32)
    updates, _, _ = running.run(tx, ones, np.float32([2.0]))
    assert updates[0, 0] == pytest.approx(-1.1 if decoupled else -0.2)


@pytest.mark.parametrize("name", ["weight_decay", "sparsity_l1", "prune_threshold"])
def test_missing_params_are_named(name):
    tx = neo.compat.from_config(neo.compat.NEATConfig(**{name: 0.1}))
    ones = np.ones(2, np.float32)
    with pytest.raises(ValueError, match=r"params"):
        jax.eval_shape(lambda: tx.update(ones, tx.init(ones)))


def test_a_single_gradients_optimizer_names_the_player_axis():
    tx = neo.compat.from_config(neo.compat.NEATConfig())
    zeros = np.zeros((4, 3), np.float32)
    with pytest.raises(ValueError, match="A leading player axis must be reduced"):
        jax.eval_shape(lambda: tx.update(zeros, tx.init(zeros[0])))
