import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import aggregators, diagnostics
from neat_optax.experiments.candidates.watch import player_measures, watch

PARAMS = {"a": jnp.zeros(2), "b": jnp.zeros(3)}
PLAYERS = {
    "a": jnp.array([[1.0, 0.0], [-1.0, 1.0], [0.0, 2.0]]),
    "b": jnp.array([[0.0, 0, 1], [0.5, 0, -1], [1.0, 1, 1]]),
}
SUM = optax.stateless(lambda u, _: jax.tree.map(lambda g: g.sum(0), u))
FIRST = optax.stateless(lambda u, _: jax.tree.map(lambda g: g[0], u))


def measured(aggregator, updates=PLAYERS):
    tx = optax.chain(watch(aggregator), optax.sgd(1.0))
    _, state = jax.jit(tx.update)(updates, tx.init(PARAMS), PARAMS)
    return player_measures(state)


def test_conflict_is_what_aggregators_measure():
    tx = aggregators.mean(num_players=3, monitor=True)
    _, state = jax.jit(tx.update)(PLAYERS, tx.init(PARAMS), PARAMS)
    expected, found = diagnostics(state), measured(aggregators.mean())
    for name in ("conflicting_pairs", "worst_cosine"):
        np.testing.assert_allclose(found[name], expected[name].latest, rtol=1e-6)
    worst = jnp.min(expected["player_alignment"].latest)
    np.testing.assert_allclose(found["worst_alignment"], worst, rtol=1e-5)
    assert found["opposed"] == 1


def test_a_longer_mean_turns_nothing():
    assert measured(SUM)["correction_ratio"] == 0
    assert measured(aggregators.mean())["correction_ratio"] == 0


def test_turn_is_the_distance_of_directions():
    flat = np.concatenate([PLAYERS["a"], PLAYERS["b"]], axis=1)
    mean, first = flat.mean(0), flat[0]
    apart = first / np.linalg.norm(first) - mean / np.linalg.norm(mean)
    found = measured(FIRST)["correction_ratio"]
    np.testing.assert_allclose(found, np.linalg.norm(apart), rtol=1e-6)


def test_players_that_are_zero_are_in_no_conflict():
    found = measured(SUM, jax.tree.map(jnp.zeros_like, PLAYERS))
    assert not any(found.values())


def test_results_and_extra_arguments_are_handed_on():
    def update(updates, state, params=None, *, losses):
        del params
        return jax.tree.map(lambda g: losses[0] * g[0], updates), state

    tx = watch(
        optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)
    )
    result, _ = tx.update(PLAYERS, tx.init(PARAMS), losses=jnp.array([3.0, 0, 0]))
    np.testing.assert_array_equal(result["a"], 3 * PLAYERS["a"][0])
