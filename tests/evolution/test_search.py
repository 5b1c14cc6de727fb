"""The loop: what it records, when it stops, and that it can be cut anywhere."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import evolution as evo
from search_runs import (
    BREEDER,
    CHAIN,
    PARAMS,
    assert_same,
    assert_same_history,
    fitness,
    run,
)

DATA = pathlib.Path(__file__).parent.parent / "data" / "keras_genetic.json"


def test_search_improves_and_counts():
    found = run(generations=60, population_size=32)
    history = found.history
    assert found.stopped == "all generations done"
    assert found.generations == 60
    assert found.best_fitness > history["best"][0] + 3
    assert found.best_fitness == history["best_so_far"][-1]
    np.testing.assert_allclose(
        fitness(found.best_params), found.best_fitness, rtol=1e-6
    )
    np.testing.assert_array_equal(history["generation"], np.arange(60))
    np.testing.assert_array_equal(
        history["evaluations"], 32 + 30 * np.arange(60), "two elites are not scored"
    )
    assert found.best_params["count"] == 7
    assert {x.shape for x in history.values()} == {(60,)}


def test_the_first_individual_is_the_given_one():
    state = run(generations=1).state
    assert state.best_fitness >= fitness(PARAMS)
    assert run(generations=1, initial_scale=0.0).best_fitness == fitness(PARAMS)


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


def test_scans_compose():
    """5 + 5 generations are 10, bit for bit, and what search does."""
    steps = evo.search_steps(CHAIN, fitness, return_best=3)
    start = steps.init(3, evo.perturb(1, PARAMS, 8, 0.5))
    scan = functools.partial(jax.lax.scan, lambda state, _: steps.step(state))
    whole, history = scan(start, length=10)
    middle, first = scan(start, length=5)
    end, second = scan(middle, length=5)
    assert_same(end, whole)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    assert_same(joined, history)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_chunks_do_not_matter(chunk):
    whole, cut = run(chunk=10, return_best=2), run(chunk=chunk, return_best=2)
    assert_same(cut.state, whole.state)
    assert_same_history(cut.history, whole.history)


def test_ask_and_tell_do_what_step_does():
    steps = evo.search_steps(CHAIN, fitness)
    inside = outside = steps.init(3, evo.perturb(1, PARAMS, 8, 0.5).params)
    for _ in range(4):
        inside, _ = steps.step(inside)
        scores = np.full(8, 123.0)  # what is known is not taken
        for i in np.flatnonzero(np.isnan(outside.population.fitness)):
            one = jax.tree.map(lambda x, i=i: x[i], steps.ask(outside))
            scores[i] = fitness(one)
        outside = steps.tell(outside, scores)
    assert outside.best_fitness < 0
    assert outside.evaluations == inside.evaluations == 8 + 3 * 6
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        (outside.best, outside.population),
        (inside.best, inside.population),
    )


def test_step_needs_a_function_in_jax():
    for evaluate in (None, evo.outside_jax(fitness)):
        steps = evo.search_steps(BREEDER, evaluate)
        state = steps.init(0, evo.perturb(0, PARAMS, 4, 1.0))
        with pytest.raises(ValueError, match="`evaluate` must be a function in JAX"):
            steps.step(state)


def test_a_second_search_compiles_nothing():
    traced = []

    def evaluate(params, target):
        traced.append(1)
        return fitness(params) - target

    options = {"args": (jnp.float32(1.0),), "chunk": 4}
    run(evaluate, generations=10, **options)
    count = len(traced)
    assert count > 0
    run(evaluate, generations=7, key=5, goal=3.0, budget=1000, patience=4, **options)
    assert len(traced) == count
    run(evaluate, generations=7, args=(jnp.float32(2.0),), chunk=4)
    assert len(traced) == count


# Stopping.


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


# The best so far.


def test_best_so_far_never_falls_without_elites():
    breeder = evo.breeder(
        evo.truncation(4), num_elites=0, mutation=evo.gaussian(2.0, 1.0)
    )
    history = run(breeder=breeder, generations=30).history
    assert (np.diff(history["best"]) < 0).any()
    np.testing.assert_array_equal(
        history["best_so_far"], np.maximum.accumulate(history["best"])
    )


def test_nan_is_never_the_best_and_is_counted():
    def sometimes(params, key):
        failed = jax.random.bernoulli(key, 0.5)
        return jnp.where(failed, jnp.nan, fitness(params))

    found = run(sometimes, evaluation_key="own", generations=20, return_best=4)
    failed = found.history["failed"]
    assert 0.3 < failed.sum() / found.history["evaluations"][-1] < 0.7
    assert np.isfinite(found.top().fitness).all()
    for name in ("best_so_far", "mean", "std"):
        assert np.isfinite(found.history[name][1:]).all()


def test_all_failing_leaves_no_best():
    found = run(lambda params: jnp.nan * jnp.sum(params["w"]), generations=3)
    assert np.isnan(found.best_fitness)
    assert (found.history["failed"] == 8).all()
    assert found.top().fitness.shape == (0,)


def test_the_best_are_all_different_and_sorted():
    breeder = evo.breeder(evo.truncation(4), evo.clone, evo.unchanged)
    found = run(breeder=breeder, return_best=5, generations=6)
    top = found.top()
    assert (np.diff(top.fitness) < 0).all()
    assert len(np.unique(np.asarray(top.params["w"]).reshape(5, -1), axis=0)) == 5
    assert found.top(2).fitness.tolist() == top.fitness.tolist()[:2]
    assert_same(found.model(1), evo.individual(top, 1))
    with pytest.raises(ValueError, match="`k` must be less than"):
        found.top(6)


def scripted(generations, kept):
    """Breeds the parents that are kept, with their fitness, and given weights."""

    def init(population):
        del population
        return jnp.zeros((), jnp.int32)

    def update(key, population, state):
        del key
        elites = evo.order(population.fitness)[:kept]
        fresh = jnp.asarray(generations, jnp.float32)[state]
        params = jnp.concatenate([population.params[elites], fresh])
        new = jnp.full(len(fresh), jnp.nan)
        scores = jnp.concatenate([population.fitness[elites], new])
        return evo.Population(params, scores), state + 1

    return evo.PopulationTransformation(init, update)


def test_golden_flow():
    """What the original evaluates, where it stops and what it lists.

    It adds kept parents to the population; here the number is constant, and an
    individual that was rejected stands for the one that is missing at first.
    """
    (case,) = [c for c in json.loads(DATA.read_text()) if c["kind"] == "search"]
    inputs, expected = case["inputs"], case["expected"]
    first, *later = inputs["scripted_weights"]
    first = evo.Population(
        jnp.array([*first, -1.0]), jnp.array([jnp.nan] * 3 + [-jnp.inf])
    )
    seen = []

    def evaluate(weight):
        seen.append(float(weight))
        return weight

    found = evo.search(
        0,
        jnp.float32(0),
        evo.outside_jax(evaluate),
        scripted([*later, later[-1]], inputs["kept_parents"]),
        generations=inputs["generations"],
        initial_population=first,
        goal=inputs["goal"],
        return_best=inputs["return_best"],
    )
    assert seen == expected["evaluation_order"]
    assert found.top().fitness.tolist() == expected["best_fitness"]
    ranked = expected["ranked_fitness_per_generation"]
    assert found.generations == len(ranked)
    assert found.history["best"].tolist() == [row[0] for row in ranked]
    np.testing.assert_allclose(found.history["mean"], [np.mean(row) for row in ranked])


def test_a_kept_parent_is_listed_once():
    """The original lists it as often as it meets it: [3, 3, 2]."""
    first = evo.unevaluated(jnp.array([1.0, 3.0, 2.0]))
    found = evo.search(
        0,
        jnp.float32(0),
        lambda w: w,
        scripted([[0.0, 1.0]] * 2, 1),
        generations=2,
        initial_population=first,
        return_best=3,
    )
    assert found.top().fitness.tolist() == [3.0, 2.0, 1.0]


# Arguments.


def test_an_initial_population_may_have_fitness():
    population = evo.Population(
        jnp.arange(4.0), jnp.array([9.0, jnp.nan, 1.0, jnp.nan])
    )
    breeder = evo.breeder(evo.truncation(2), num_elites=1)
    found = evo.search(
        0,
        jnp.float32(0),
        lambda w: w,
        breeder,
        generations=1,
        initial_population=population,
    )
    assert found.best_fitness == 9.0
    assert found.history["evaluations"].tolist() == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generations": -1}, "`generations` must be an integer >= 0"),
        ({"generations": 1.5}, "`generations` must be an integer"),
        ({"chunk": 0}, "`chunk` must be an integer >= 1"),
        ({"patience": 0}, "`patience` must be an integer >= 1"),
        ({"goal": "high"}, "`goal` must be a number"),
        ({"evaluation_key": "mine"}, "`evaluation_key` must be one of shared, own"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1"),
        ({"return_best": 0}, "`return_best` must be an integer >= 1"),
        ({"evaluate": 3}, "`evaluate` must be a function"),
        ({"breeder": evo.breeder}, "`breeder` must be of type"),
        ({"key": 0.5}, "`key` must be an integer"),
        ({"callbacks": [3]}, "`callbacks` must be a function"),
        (
            {"initial_population": {"w": jnp.ones((8, 2))}},
            "`one individual of initial_",
        ),
        ({"evaluate": lambda p: p["b"]}, "`evaluate` must return one real number"),
        (
            {"initial_population": evo.perturb(0, PARAMS, 9, 1.0)},
            "`population_size` must be that of `initial_population`, 9, got 8",
        ),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)
