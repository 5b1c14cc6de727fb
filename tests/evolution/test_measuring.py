"""What the history holds of each generation."""

import jax.numpy as jnp
import numpy as np

from neat_optax import evolution as evo
from search_runs import CHAIN, run


def test_the_history_describes_the_population_that_was_scored():
    population = evo.stack([jnp.array([x]) for x in (0.0, 1.0, 4.0, 7.0)])
    one = evo.of_population(
        lambda w: jnp.where(
            w[:, 0] == 7, jnp.nan, jnp.where(w[:, 0] == 4, -jnp.inf, w[:, 0])
        )
    )
    breeder = evo.breeder(evo.truncation(2), num_elites=1)
    found = run(
        one,
        breeder,
        jnp.zeros(1),
        generations=1,
        population_size=None,
        initial_population=population,
    )
    row = {name: values[0] for name, values in found.history.items()}
    assert (row["best"], row["mean"], row["std"]) == (1.0, 0.5, 0.5)
    assert (row["failed"], row["evaluations"]) == (1, 4)
    np.testing.assert_allclose(row["diversity"], np.std([0, 1, 4, 7]), rtol=1e-6)
    assert found.top().fitness.tolist() == [1.0]


def test_diversity_is_the_spread_relative_to_fresh_weights():
    params = {
        "w": jnp.arange(12.0).reshape(3, 4, 1),
        "same": jnp.ones((3, 2)),
        "count": jnp.arange(3),
    }
    spread = np.sqrt(np.mean(np.var(params["w"], axis=0))) / 0.5
    diversity = evo.diversity(evo.unevaluated(params))
    np.testing.assert_allclose(diversity, (spread + 0) / 2, rtol=1e-6)
    assert evo.diversity(evo.unevaluated({"count": jnp.arange(3)})) == 0


def test_acceptance_is_recorded_where_there_is_any():
    history = run(breeder=CHAIN).history
    assert 0.3 < history["acceptance"].mean() < 0.8
    assert (history["threshold"] <= history["best"]).all()
    assert "acceptance" not in run().history
