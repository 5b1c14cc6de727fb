import functools

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import aggregators
from neat_optax.experiments.candidates.watching import next_to_mean, player_measures

PLAYERS = {
    "a": np.float32([[1, 0], [-1, 1], [0, 2]]),
    "b": np.float32([[0, 0, 1], [0.5, 0, -1], [1, 1, 1]]),
}
SILENT = jax.tree.map(np.zeros_like, PLAYERS)
BLANK = jax.tree.map(lambda x: x[0], SILENT)
SUM = optax.stateless(lambda u, _: jax.tree.map(lambda g: g.sum(0), u))
FIRST = optax.stateless(lambda u, _: jax.tree.map(lambda g: g[0], u))


@functools.cache
def measured():
    """What is recorded of some aggregators, and what the mean itself measures."""

    def one(aggregator, updates):
        tx = optax.chain(next_to_mean(aggregator, 3), optax.sgd(1.0))
        step, state = tx.update(updates, tx.init(BLANK), BLANK)
        return player_measures(state), step

    @jax.jit
    def steps(updates, silent):
        mean = aggregators.mean(num_players=3, monitor=True)
        found = {
            "sum": one(SUM, updates),
            "mean": one(aggregators.mean(), updates),
            "first": one(FIRST, updates),
            "silent": one(SUM, silent),
        }
        return found, mean.update(updates, mean.init(BLANK), BLANK)[1]

    return jax.tree.map(np.asarray, steps(PLAYERS, SILENT))


@pytest.mark.slow
def test_conflict_is_what_aggregators_measure():
    found, state = measured()
    expected = neo.diagnostics(state)
    for name in ("conflicting_pairs", "worst_cosine"):
        np.testing.assert_allclose(
            found["mean"][0][name], expected[name].latest, rtol=1e-6
        )
    worst = np.min(expected["player_alignment"].latest)
    np.testing.assert_allclose(found["mean"][0]["worst_alignment"], worst, rtol=1e-5)
    assert found["mean"][0]["opposed"] == 1


def test_a_longer_mean_turns_nothing():
    for name in ("sum", "mean"):
        assert measured()[0][name][0]["correction_ratio"] == 0


def test_turn_is_the_distance_of_directions():
    flat = np.concatenate([PLAYERS["a"], PLAYERS["b"]], axis=1)
    mean, first = flat.mean(0), flat[0]
    apart = first / np.linalg.norm(first) - mean / np.linalg.norm(mean)
    found = measured()[0]["first"][0]["correction_ratio"]
    np.testing.assert_allclose(found, np.linalg.norm(apart), rtol=1e-6)


def test_players_that_are_zero_are_in_no_conflict():
    assert not any(measured()[0]["silent"][0].values())


def test_results_are_not_changed_and_extra_arguments_arrive():
    np.testing.assert_array_equal(measured()[0]["first"][1]["a"], -PLAYERS["a"][0])

    def update(updates, state, params=None, *, losses):
        del params
        return jax.tree.map(lambda g: losses[0] * g[0], updates), state

    inner = optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)
    tx = next_to_mean(inner, 3)
    step = jax.jit(lambda u, x: tx.update(u, tx.init(BLANK), BLANK, losses=x)[0])
    result = step(PLAYERS, np.float32([3, 0, 0]))
    np.testing.assert_array_equal(result["a"], 3 * PLAYERS["a"][0])
