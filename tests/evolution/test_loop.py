"""When a search stops."""

import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import evolution as evo
from search_runs import run


@pytest.mark.parametrize("chunk", [1, 4, 50])
def test_the_goal_stops_at_its_generation(chunk):
    free = run(generations=40, population_size=32)
    goal = float(free.history["best_so_far"][17])
    reached = int(np.argmax(free.history["best_so_far"] >= goal))
    found = run(generations=40, population_size=32, goal=goal, chunk=chunk)
    assert found.stopped == "goal reached"
    assert found.reached == reached == found.generations - 1
    assert len(found.history["best"]) == found.generations
    assert free.reached is None
    assert run(goal=1e6).reached is None


@pytest.mark.parametrize("chunk", [1, 50])
def test_patience_counts_generations_without_a_new_best(chunk):
    flat = evo.of_population(lambda p: 0 * p["b"][:, 0])
    found = run(flat, patience=3, chunk=chunk)
    assert (found.stopped, found.generations) == ("patience exhausted", 4)
    failing = evo.of_population(lambda p: jnp.nan * p["b"][:, 0])
    assert run(failing, patience=3, chunk=chunk).generations == 3


@pytest.mark.parametrize("chunk", [1, 50])
def test_the_budget_is_never_exceeded(chunk):
    for budget, generations in [(8, 1), (13, 1), (14, 2), (25, 3), (26, 4)]:
        found = run(budget=budget, chunk=chunk)
        assert found.stopped == "budget spent"
        assert found.generations == generations
        assert found.history["evaluations"][-1] <= budget
    with pytest.raises(ValueError, match="`budget` must be enough"):
        run(budget=7)


def test_no_generations():
    found = run(generations=0)
    assert found.stopped == "all generations done"
    assert np.isnan(found.best_fitness)
    assert found.history == {}
    assert found.top().fitness.shape == (0,)
