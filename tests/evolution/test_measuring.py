"""What the history holds of each generation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import running
from neat_optax import evolution as evo
from search_runs import CHAIN, NEARBY, PARAMS, assert_same_history, fitness, run


def test_the_history_describes_the_population_that_was_scored():
    population = np.float32([[0], [1], [4], [7]])
    one = evo.of_population(
        lambda w: jnp.where(
            w[:, 0] == 7, jnp.nan, jnp.where(w[:, 0] == 4, -jnp.inf, w[:, 0])
        )
    )
    found = run(
        one,
        NEARBY,
        np.zeros(1, np.float32),
        generations=1,
        population_size=population,
    )
    row = {name: values[0] for name, values in found.history.items()}
    assert (row["best"], row["mean"], row["std"]) == (1.0, 0.5, 0.5)
    assert (row["failed"], row["evaluations"]) == (1, 4)
    np.testing.assert_allclose(row["diversity"], np.std([0, 1, 4, 7]), rtol=1e-6)
    assert found.top().fitness.tolist() == [1.0, 0.0]


def test_diversity_is_the_spread_relative_to_initial_weights():
    params = {
        "w": np.arange(12, dtype=np.float32).reshape(3, 4, 1),
        "same": np.ones((3, 2), np.float32),
        "count": np.arange(3, dtype=np.int32),
    }
    spread = np.sqrt(np.mean(np.var(params["w"], axis=0))) / 0.5
    diversity = jax.jit(evo.diversity)(evo.unevaluated(params))
    np.testing.assert_allclose(diversity, (spread + 0) / 2, rtol=1e-6)
    assert evo.diversity(evo.unevaluated({"count": np.arange(3)})) == 0


@pytest.mark.slow
def test_acceptance_is_recorded_where_there_is_any():
    history = run(breeder=CHAIN).history
    assert 0.3 < history["acceptance"].mean() < 0.8
    assert (history["threshold"] <= history["best"]).all()
    assert "acceptance" not in run().history


def test_sparsity_is_the_share_of_zeros_that_numpy_counts():
    """Of the population that was scored, in the arrays that are pruned."""
    schedule = optax.linear_schedule(0.0, 0.5, 3)
    steps = evo.search_steps(evo.prune_population(CHAIN, schedule), fitness)
    state, row = steps.init(3, evo.perturb(1, PARAMS, 8, 0.5)), {}
    for _ in range(5):
        kernels = np.asarray(steps.ask(state)["w"])
        state, row = steps.step(state)
        np.testing.assert_allclose(row["sparsity"], np.mean(kernels == 0), rtol=1e-6)
    assert row["sparsity"] >= 0.5  # zeros of a second parent come on top


PRUNED = evo.prune_population(CHAIN, 0.5)


@pytest.mark.slow
@running.quickly()  # as the next test, which shares its run
def test_sparsity_is_recorded_where_something_is_pruned():
    assert "sparsity" not in run(breeder=CHAIN).history
    whole = run(breeder=PRUNED).history
    assert whole["sparsity"][0] == 0
    assert np.all(whole["sparsity"][1:] >= 0.5)
    assert {"acceptance", "threshold"} < set(whole)


@pytest.mark.slow
@running.quickly()
def test_sparsity_does_not_depend_on_the_chunks():
    whole, cut = (run(breeder=PRUNED, chunk=chunk).history for chunk in (20, 3))
    assert_same_history(cut, whole)
