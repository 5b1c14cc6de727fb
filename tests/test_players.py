import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import goldens
from neat_optax import NEATConfig, PlayerNEATConfig, from_config
from neat_optax._players import correct_between_players
from neat_optax.rules import neat_rules

CASES = goldens.load("neat_player_step")


@pytest.mark.parametrize("name", [n for n in CASES if n != "ignored_options_enabled"])
def test_recorded_cases(name):
    case = CASES[name]
    optimizer = from_config(PlayerNEATConfig(**case["config"]))
    param = jnp.asarray(
        goldens.array(case["inputs"]["param"], case["inputs"]["shape"]), jnp.float32
    )
    state = optimizer.init(param)
    steps = zip(case["inputs"]["player_grads"], case["expected"]["steps"], strict=True)
    for gradients, expected in steps:
        stack = jnp.asarray(goldens.array(gradients), jnp.float32)
        updates, state = jax.jit(optimizer.update)(stack, state, param)
        param = optax.apply_updates(param, updates)
        assert goldens.close(param, goldens.array(expected["param"], param.shape))


def test_options_without_meaning_are_refused_and_not_ignored():
    config = PlayerNEATConfig(**CASES["ignored_options_enabled"]["config"])
    with pytest.raises(ValueError, match="must be 'momentum' between players, got"):
        from_config(config)


def test_order_of_players_does_not_matter():
    tx = correct_between_players(neat_rules(0.5, correction_range=(1.0, 3.0)))
    stack = jax.random.normal(jax.random.key(0), (5, 7))
    update, state = tx.update(stack, tx.init(stack[0]))
    mixed, mixed_state = tx.update(stack[::-1], tx.init(stack[0]))
    np.testing.assert_allclose(update, mixed, rtol=1e-5, atol=1e-7)
    for one, two in zip(
        jax.tree.leaves(state), jax.tree.leaves(mixed_state), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-5)


def test_nearly_cancelling_players_keep_their_opponent():
    big = jnp.array([1e4, 1.0])
    stack = jnp.stack([big, -big + jnp.array([0.0, 1e-2]), jnp.array([0.0, 1.0])])
    tx = correct_between_players(neat_rules(0.5))
    update, _ = tx.update(stack, tx.init(big))
    with jax.enable_x64(True):
        exact, _ = tx.update(stack.astype(jnp.float64), tx.init(big))
    np.testing.assert_allclose(update, exact, atol=1e-5 * 1e4)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3,),), "`updates of one player` must have the shapes of `params`"),
        (((2, 3), (4, 3)), "leading player axis of one size on every leaf"),
        (((0, 3),), "leading player axis of one size on every leaf"),
        (((), (2, 3)), "leading player axis of one size on every leaf"),
    ],
)
def test_bad_player_axes_are_named(shapes, message):
    tx = from_config(PlayerNEATConfig())
    params = [jnp.zeros(3) for _ in shapes]
    with pytest.raises(ValueError, match=message):
        tx.update([jnp.zeros(s) for s in shapes], tx.init(params), params)


def test_single_gradient_optimizer_names_the_player_axis():
    tx = from_config(NEATConfig())
    with pytest.raises(ValueError, match="A leading player axis must be reduced"):
        tx.update(jnp.zeros((4, 3)), tx.init(jnp.zeros(3)))
