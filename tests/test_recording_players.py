"""Measures of aggregators, found in any state."""

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import aggregators
from neat_optax.training import PlayerTrainState

PARAMS = {"a": np.ones(1, np.float32), "b": np.ones(3, np.float32)}
PLAYER_NAMES = {
    "conflicting_pairs",
    "worst_cosine",
    "min_norm",
    "min_norm_ratio",
    "residual",
    "dropped",
    "weights",
    "player_alignment",
    "coherence",
    "cosines",
}
PLAYERS = {
    "a": np.float32([[1], [-1], [1]]),
    "b": np.float32([[3, 0, 0], [0, 4, 0], [0, 0, 0]]),
}


def of_players(tx, *names, params=None):
    """Of the first step, some measures, and the names of all.

    What the others need, such as a quadratic program, is not compiled.
    """
    known = set()

    @jax.jit
    def first(gradients):
        _, state = tx.update(gradients, tx.init(PARAMS), PARAMS)
        found = neo.diagnostics(state, params)
        known.update(found)
        return {name: found[name] for name in names}

    return first(PLAYERS), known


def watched(**options):
    return aggregators.sum(num_players=3, monitor=True, **options)


def test_aggregators_by_hand():
    """Squares 10, 17 and 1; products -1, 1 and -1; the sum is (1; 3, 4, 0)."""
    found, names = of_players(watched(), *sorted(PLAYER_NAMES))
    assert names == PLAYER_NAMES
    length = np.sqrt(1 + 9 + 16)
    expected = {
        "conflicting_pairs": 2 / 3,
        "worst_cosine": -1 / np.sqrt(17),
        "residual": 0.0,
        "dropped": 0.0,
        "weights": [1.0, 1.0, 1.0],
        "coherence": length / (np.sqrt(10) + np.sqrt(17) + 1),
        "cosines": [
            [1.0, -1 / np.sqrt(170), 1 / np.sqrt(10)],
            [-1 / np.sqrt(170), 1.0, -1 / np.sqrt(17)],
            [1 / np.sqrt(10), -1 / np.sqrt(17), 1.0],
        ],
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
    names = "conflicting_pairs", "weights", "player_alignment"
    found, _ = of_players(watched(scope=neo.per_leaf), *names, params=PARAMS)
    pairs = found["conflicting_pairs"]
    np.testing.assert_allclose(pairs.per_leaf["a"], 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(pairs.per_leaf["b"], 0.0)
    np.testing.assert_allclose(pairs.latest, 2 / 3 / 4, rtol=1e-6)
    assert found["weights"].per_leaf["a"].shape == found["weights"].latest.shape == (3,)
    np.testing.assert_allclose(found["player_alignment"].per_leaf["b"][2], 0.0)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: neo.aggregate_shared(tx, {"a": True, "b": False}),
        lambda tx: neo.precondition(tx),
    ],
    ids=["shared", "metric"],
)
def test_measures_of_players_are_found_inside(wrap):
    found, names = of_players(wrap(watched()), "conflicting_pairs", "weights")
    assert names >= PLAYER_NAMES
    np.testing.assert_allclose(found["conflicting_pairs"].latest, 2 / 3, rtol=1e-6)
    np.testing.assert_array_equal(found["weights"].mean, [1.0, 1.0, 1.0])


def test_measures_of_players_are_found_in_a_train_state():
    state = PlayerTrainState.create(
        apply_fn=None, params=PARAMS, tx=optax.chain(watched(), optax.sgd(0.1))
    )

    @jax.jit
    def step(state, grads, present):
        found = neo.diagnostics(state.apply_gradients(grads=grads, present=present))
        return found["conflicting_pairs"].latest, found["weights"].latest

    pairs, weights = step(state, PLAYERS, np.array([True, False, True]))
    np.testing.assert_array_equal(pairs, 0.0)
    np.testing.assert_array_equal(weights, [1.0, 0.0, 1.0])


def test_measures_of_the_update_and_of_the_players_stand_side_by_side():
    inner = optax.chain(watched(), optax.sgd(0.1))
    tx = neo.monitor_update_conflict(inner, num_players=3)
    found, names = of_players(tx, "player_alignment", "update_cosines")
    assert names == PLAYER_NAMES | {"update_conflict", "harmed", "update_cosines"}
    alignment = found["player_alignment"].latest
    np.testing.assert_allclose(found["update_cosines"].latest, alignment, atol=1e-6)
    assert found["update_cosines"].per_leaf.shape == (1, 3)


def test_players_that_are_dropped_are_counted_over_steps():
    tx, broken = watched(), jax.tree.map(np.copy, PLAYERS)
    for leaf in broken.values():
        leaf[0] = np.nan

    @jax.jit
    def two_steps(first, second):
        _, state = tx.update(first, tx.init(PARAMS))
        _, state = tx.update(second, state)
        return neo.diagnostics(state)["dropped"]

    found = two_steps(PLAYERS, broken)
    assert (found.latest, found.mean) == (1.0, 0.5)


def test_players_have_names():
    rng = np.random.default_rng(0)
    blank = watched(scope=neo.per_leaf).init(PARAMS)
    state = jax.tree.map(lambda x: rng.uniform(size=x.shape), blank)
    names = {"z": 0, "x": 0, "y": 0}
    read = neo.diagnostics(state, PARAMS, players=names, plain=True)
    found = neo.diagnostics(state, PARAMS)
    assert list(read["weights"]["mean"]) == ["z", "x", "y"]
    assert read["weights"]["mean"]["x"] == found["weights"].mean[1]
    assert read["cosines"]["latest"]["z"]["y"] == found["cosines"].latest[0, 2]
    leaf = found["cosines"].per_leaf["a"]
    assert read["cosines"]["per_leaf"]["a"]["x"]["z"] == leaf[1, 0]
    assert read["worst_cosine"]["mean"] == found["worst_cosine"].mean
    without = neo.diagnostics(state, players=names)["player_alignment"].per_leaf
    assert without[1]["z"] == found["player_alignment"].per_leaf["b"][0]


def test_every_player_needs_a_name():
    message = (
        "`players` must have a name for each of the 3 players of weights, got x, y"
    )
    state = watched().init(PARAMS)
    with pytest.raises(ValueError, match=message):
        neo.diagnostics(state, players=["x", "y"])
