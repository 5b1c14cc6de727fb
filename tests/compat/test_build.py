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
