"""When a search stops."""

import numpy as np
import pytest

from neat_optax import evolution as evo
from neat_optax.evolution import _asking, _loop
from search_runs import CHAIN, PARAMS, run


@pytest.mark.parametrize("chunk", [3, 20])
def test_the_goal_stops_at_its_generation(chunk):
    free = run(generations=40)
    goal = float(free.history["best_so_far"][17])
    reached = int(np.argmax(free.history["best_so_far"] >= goal))
    found = run(generations=40, limits=evo.Limits(goal=goal), chunk=chunk)
    assert found.stopped == "goal reached"
    assert found.reached == reached == found.generations - 1
    assert len(found.history["best"]) == found.generations
    assert free.reached is None
    assert run(limits=evo.Limits(goal=1e6)).reached is None


FLAT = evo.of_population(lambda p, value: value * p["b"][:, 0])


@pytest.mark.fast("3")
@pytest.mark.parametrize("chunk", [3, 20])
def test_patience_counts_generations_without_a_new_best(chunk):
    options = {"limits": evo.Limits(patience=3), "chunk": chunk}
    found = run(FLAT, args=(np.float32(0),), **options)
    assert (found.stopped, found.generations) == ("patience exhausted", 4)
    assert run(FLAT, args=(np.float32(np.nan),), **options).generations == 3


@pytest.mark.parametrize("chunk", [3, 20])
def test_the_budget_is_never_exceeded(chunk):
    for budget, generations in [(8, 1), (13, 1), (14, 2), (25, 3), (26, 4)]:
        found = run(limits=evo.Limits(budget=budget), chunk=chunk)
        assert found.stopped == "budget spent"
        assert found.generations == generations
        assert found.history["evaluations"][-1] <= budget
    with pytest.raises(ValueError, match="`budget` must be enough"):
        run(limits=evo.Limits(budget=7))


def test_no_generations():
    found = run(generations=0)
    assert found.stopped == "all generations done"
    assert np.isnan(found.best_fitness)
    assert found.history == {}
    assert found.top().fitness.shape == (0,)


def test_counts_stay_at_the_largest_and_budgets_are_below_it():
    population = evo.perturb(1, PARAMS, 8, 0.5)
    state = _asking.start(CHAIN, 1, 0, population)
    state = state._replace(evaluations=np.int32(2**31 - 1))
    assert _loop.reason(state, _loop.make_ends(10, evo.Limits())) == ""
    ends = _loop.make_ends(10, evo.Limits(budget=2**31 - 2))
    assert _loop.reason(state, ends) == "budget spent"
    with pytest.raises(ValueError, match="`budget` must be below 2,147,483,647, got 3"):
        evo.search(
            0, PARAMS, FLAT, CHAIN, generations=1, limits=evo.Limits(budget=3 * 10**9)
        )
