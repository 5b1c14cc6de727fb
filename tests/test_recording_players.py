"""Measures of aggregators, found in any state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import aggregators
from neat_optax.training import PlayerTrainState

PARAMS = {"a": jnp.ones(1), "b": jnp.ones((3,))}
PLAYER_NAMES = {
    "conflicting_pairs",
    "worst_cosine",
    "min_norm",
    "min_norm_ratio",
    "residual",
    "dropped",
    "weights",
    "player_alignment",
}
PLAYERS = {
    "a": jnp.array([[1.0], [-1.0], [1.0]]),
    "b": jnp.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]),
}


def of_players(tx, **extra):
    state = tx.init(PARAMS)
    return jax.jit(tx.update)(PLAYERS, state, PARAMS, **extra)[1]


def watched(**options):
    return aggregators.sum(num_players=3, monitor=True, **options)


def test_aggregators_by_hand():
    """Squares 10, 17 and 1; products -1, 1 and -1; the sum is (1; 3, 4, 0)."""
    found = neo.diagnostics(of_players(watched()))
    assert found.keys() == PLAYER_NAMES
    length = np.sqrt(1 + 9 + 16)
    expected = {
        "conflicting_pairs": 2 / 3,
        "worst_cosine": -1 / np.sqrt(17),
        "residual": 0.0,
        "dropped": 0.0,
        "weights": [1.0, 1.0, 1.0],
        "player_alignment": [
            10 / np.sqrt(10) / length,
            15 / np.sqrt(17) / length,
            1 / length,
        ],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name].latest, value, rtol=1e-5, atol=1e-6, err_msg=name
        )
    assert found["min_norm"].latest == pytest.approx(found["min_norm_ratio"].latest)
    assert 0 < found["min_norm"].latest < 1


def test_measures_of_players_have_a_row_for_each_scope():
    """Leaf a is opposed in two pairs of three, b in none of the one that compares."""
    found = neo.diagnostics(of_players(watched(scope=neo.per_leaf)), PARAMS)
    pairs = found["conflicting_pairs"]
    np.testing.assert_allclose(pairs.per_leaf["a"], 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(pairs.per_leaf["b"], 0.0)
    np.testing.assert_allclose(pairs.latest, 2 / 3 / 4, rtol=1e-6)
    assert found["weights"].per_leaf["a"].shape == found["weights"].latest.shape == (3,)
    np.testing.assert_allclose(found["player_alignment"].per_leaf["b"][2], 0.0)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: optax.chain(
            optax.masked(tx, {"a": True, "b": False}),
            optax.masked(aggregators.sum(), {"a": False, "b": True}),
        ),
        lambda tx: neo.aggregate_shared(tx, {"a": True, "b": False}),
        lambda tx: neo.precondition(tx),
    ],
    ids=["masked", "shared", "metric"],
)
def test_measures_of_players_are_found_inside(wrap):
    found = neo.diagnostics(of_players(wrap(watched())))
    assert found.keys() >= PLAYER_NAMES
    np.testing.assert_allclose(found["conflicting_pairs"].latest, 2 / 3, rtol=1e-6)
    np.testing.assert_array_equal(found["weights"].mean, [1.0, 1.0, 1.0])


def test_measures_of_players_are_found_in_a_train_state():
    state = PlayerTrainState.create(
        apply_fn=None, params=PARAMS, tx=optax.chain(watched(), optax.sgd(0.1))
    )
    present = jnp.array([True, False, True])
    state = state.apply_gradients(grads=PLAYERS, present=present)
    found = neo.diagnostics(state)
    np.testing.assert_array_equal(found["conflicting_pairs"].latest, 0.0)
    np.testing.assert_array_equal(found["weights"].latest, [1.0, 0.0, 1.0])


def test_measures_of_the_update_and_of_the_players_stand_side_by_side():
    inner = optax.chain(watched(), optax.sgd(0.1))
    found = neo.diagnostics(of_players(neo.monitor_update_conflict(inner, 3)))
    names = {"update_conflict", "harmed", "update_cosines"}
    assert found.keys() == PLAYER_NAMES | names
    alignment = found["player_alignment"].latest
    np.testing.assert_allclose(found["update_cosines"].latest, alignment, atol=1e-6)
    assert found["update_cosines"].per_leaf.shape == (1, 3)


def test_players_that_are_dropped_are_counted_over_steps():
    tx = watched()
    update, state = jax.jit(tx.update), tx.init(PARAMS)
    broken = jax.tree.map(lambda x: x.at[0].set(jnp.nan), PLAYERS)
    for gradients in (PLAYERS, broken):
        _, state = update(gradients, state)
    found = neo.diagnostics(state)["dropped"]
    assert (found.latest, found.mean) == (1.0, 0.5)
