"""Heads of absent tasks wait, with their moments; a chain ends with reduced updates."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import properties
import running
from neat_optax import aggregators

PARAMS = {"trunk": np.ones(3, "f4"), "one": np.ones(2, "f4"), "two": np.ones(2, "f4")}
PLAYERS = {
    "trunk": np.array([True, True]),
    "one": np.array([True, False]),
    "two": np.array([False, True]),
}
STEPS = 6
RNG = np.random.default_rng(0)
GRADS = {
    name: RNG.normal(size=(STEPS, 2, *x.shape)).astype("f4")
    * PLAYERS[name][None, :, None]
    for name, x in PARAMS.items()
}
PRESENT = np.array([[1, 1], [1, 0], [1, 0], [0, 1], [1, 1], [0, 0]], bool)
SHARED = {"trunk": True, "one": False, "two": False}


def adamw():
    """Its decay and its moments move what has no gradient."""
    shared = neo.aggregate_shared(aggregators.upgrad(), SHARED)
    return optax.chain(shared, optax.scale_by_adam(), optax.add_decayed_weights(0.1))


def test_a_head_moves_only_with_its_player():
    updates, _, _ = running.run(
        neo.hold_absent(adamw(), PLAYERS), GRADS, PARAMS, present=PRESENT
    )
    moves = {name: np.any(x, axis=1) for name, x in updates.items()}
    np.testing.assert_array_equal(moves["one"], PRESENT[:, 0])
    np.testing.assert_array_equal(moves["two"], PRESENT[:, 1])
    np.testing.assert_array_equal(moves["trunk"], PRESENT.any(axis=1))
    plain, _, _ = running.run(adamw(), GRADS, PARAMS, present=PRESENT)
    assert np.all(np.any(plain["one"], axis=1))


def test_moments_are_those_of_the_steps_in_which_the_player_was():
    _, _, state = running.run(
        neo.hold_absent(adamw(), PLAYERS), GRADS, PARAMS, present=PRESENT
    )
    mu = np.zeros(2)
    for g in GRADS["one"][PRESENT[:, 0], 0]:
        mu = 0.9 * mu + 0.1 * g
    np.testing.assert_allclose(state[1].mu["one"], mu, rtol=1e-5)
    assert int(state[1].count) == STEPS


@pytest.mark.slow
def test_a_player_that_is_not_finite_is_absent():
    tx = neo.hold_absent(adamw(), PLAYERS)
    broken = {
        name: np.where(PRESENT[..., None], x, np.nan) for name, x in GRADS.items()
    }
    expected, _, _ = running.run(tx, GRADS, PARAMS, present=PRESENT)
    found, _, _ = running.run(tx, broken, PARAMS)
    properties.assert_trees_close(found, expected, rtol=1e-6)


@pytest.mark.slow
def test_all_present_changes_nothing():
    held, _, _ = running.run(neo.hold_absent(adamw(), PLAYERS), GRADS, PARAMS)
    plain, _, _ = running.run(adamw(), GRADS, PARAMS)
    properties.assert_trees_close(held, plain, rtol=1e-6)


def test_players_are_read_from_the_loss():
    def losses(p):
        features = jnp.sum(p["trunk"])
        return jnp.stack([features * jnp.sum(p["one"]), features - jnp.sum(p["two"])])

    found = neo.param_players(losses, PARAMS)
    properties.assert_trees_equal(found, PLAYERS)


@pytest.mark.parametrize(
    ("players", "message"),
    [
        ({"trunk": np.ones(2, bool)}, "`players` must have the tree structure of"),
        ({**PLAYERS, "one": np.ones(3, bool)}, "`players` must have one entry for"),
    ],
)
def test_players_of_another_form_are_refused(players, message):
    tx = neo.hold_absent(adamw(), players)
    one = jax.tree.map(lambda x: x[0], GRADS)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tx.update, one, tx.init(PARAMS), PARAMS)


@pytest.mark.parametrize("params", [None, PARAMS])
def test_require_reduced_wants_the_parameters_shapes(params):
    tx = optax.chain(optax.sgd(0.1), neo.require_reduced())
    state, one = tx.init(PARAMS), jax.tree.map(lambda x: x[0], GRADS)
    match = r"^`params` must be passed" if params is None else r"\(2, 2\) for \(2,\) at"
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(tx.update, one, state, params)
    reduced = optax.chain(aggregators.sum(), neo.require_reduced())
    found, _ = jax.eval_shape(reduced.update, one, reduced.init(PARAMS), PARAMS)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, PARAMS)
