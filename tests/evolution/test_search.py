"""The whole search: what it gives, that it can be cut anywhere, and its arguments."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import properties
from neat_optax import evolution as evo
from search_runs import (
    CHAIN,
    PARAMS,
    assert_same,
    assert_same_history,
    fitness,
    run,
    scripted,
)

score = jax.jit(fitness)
DATA = pathlib.Path(__file__).parent.parent / "data" / "keras_genetic.json"


def test_search_improves_and_counts():
    breeder = evo.breeder(evo.truncation(4), mutation=evo.gaussian(0.3, 1.0))
    found = run(breeder=breeder, generations=60)
    history = found.history
    assert found.stopped == "all generations done"
    assert found.generations == 60
    assert found.best_fitness > history["best"][0] + 3
    assert found.best_fitness == history["best_so_far"][-1]
    np.testing.assert_allclose(score(found.best_params), found.best_fitness, rtol=1e-6)
    np.testing.assert_array_equal(history["generation"], np.arange(60))
    np.testing.assert_array_equal(
        history["evaluations"], 8 + 6 * np.arange(60), "two elites are not scored"
    )
    assert found.best_params["count"] == 7
    assert {x.shape for x in history.values()} == {(60,)}


def test_the_first_individual_is_the_given_one():
    around = evo.perturb(0, PARAMS, 8, 0.0)
    state = run(generations=1).state
    assert state.best_fitness >= score(PARAMS)
    found = run(generations=1, population_size=around)
    assert found.best_fitness == score(PARAMS)


@pytest.mark.parametrize("chunk", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_chunks_do_not_matter(chunk):
    whole, cut = run(), run(chunk=chunk)
    assert_same(cut.state, whole.state)
    assert_same_history(cut.history, whole.history)


def test_a_second_search_compiles_nothing():
    traced = []

    def evaluate(params, target):
        traced.append(1)
        return fitness(params) - target

    options = {"args": (np.float32(1.0),), "chunk": 4}
    limits = evo.Limits(goal=3.0, patience=4, budget=1000)
    run(evaluate, generations=10, **options)
    count = len(traced)
    assert count > 0
    run(evaluate, generations=7, key=5, limits=limits, **options)
    assert len(traced) == count
    run(evaluate, generations=7, args=(np.float32(2.0),), chunk=4)
    assert len(traced) == count


def test_golden_flow():
    """What the original evaluates, where it stops and what it lists.

    It adds kept parents to the population; here the number is constant, and an
    individual that was rejected stands for the one that is missing at first.
    """
    (case,) = [c for c in json.loads(DATA.read_text()) if c["kind"] == "search"]
    inputs, expected = case["inputs"], case["expected"]
    first, *later = inputs["scripted_weights"]
    first = evo.Population(
        np.float32([*first, -1.0]), np.float32([np.nan] * 3 + [-np.inf])
    )
    seen = []

    def evaluate(weight):
        seen.append(float(weight))
        return weight

    found = evo.search(
        0,
        np.float32(0),
        evo.outside_jax(evaluate),
        scripted([*later, later[-1]], inputs["kept_parents"]),
        generations=inputs["generations"],
        population_size=first,
        limits=evo.Limits(goal=inputs["goal"]),
        return_best=inputs["return_best"],
    )
    assert seen == expected["evaluation_order"]
    assert found.top().fitness.tolist() == expected["best_fitness"]
    ranked = expected["ranked_fitness_per_generation"]
    assert found.generations == len(ranked)
    assert found.history["best"].tolist() == [row[0] for row in ranked]
    np.testing.assert_allclose(found.history["mean"], [np.mean(row) for row in ranked])


def test_an_initial_population_may_have_fitness():
    scores = np.float32([9.0, np.nan, 1.0, np.nan])
    population = evo.Population(np.arange(4, dtype=np.float32), scores)
    zero = np.float32(0)
    found = run(lambda w: w, params=zero, generations=1, population_size=population)
    assert found.best_fitness == 9.0
    assert found.history["evaluations"].tolist() == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generations": -1}, "`generations` must be an integer >= 0"),
        ({"generations": 1.5}, "`generations` must be an integer"),
        ({"chunk": 0}, "`chunk` must be an integer >= 1"),
        ({"limits": evo.Limits(patience=0)}, "`patience` must be an integer >= 1"),
        ({"limits": evo.Limits(goal="high")}, "`goal` must be a number"),
        ({"limits": 30}, "`limits` must be of type Limits"),
        ({"population_size": 0}, "`population_size` must be an integer >= 1"),
        ({"population_size": 8.5}, "`population_size` must be an integer, got 8.5"),
        ({"return_best": 0}, "`return_best` must be an integer >= 1"),
        ({"evaluate": 3}, "`evaluate` must be a function"),
        ({"breeder": evo.breeder}, "`breeder` must be of type"),
        ({"key": 0.5}, "`key` must be an integer"),
        ({"callbacks": [3]}, "`callbacks` must be a function"),
        (
            {"population_size": {"w": np.ones((8, 2), np.float32)}},
            r"`one individual of population_size` must .* got no array at \['b'\]",
        ),
        (
            {
                "population_size": {
                    n: np.ones((8, *x.shape), np.float16) for n, x in PARAMS.items()
                }
            },
            "`one individual of population_size` must have the dtypes of .* float16",
        ),
        ({"evaluate": lambda p: p["b"]}, "`evaluate` must return one real number"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


@pytest.mark.slow
def test_leaves_of_all_kinds_keep_their_dtypes():
    params = {
        "half": np.ones((2, 3), jnp.bfloat16),
        "full": np.ones(3, np.float32),
        "count": np.int32(7),
        "flag": np.array(True),
        "key": jax.random.key(5),
    }

    def far(params):
        return jnp.sum(params["half"].astype(jnp.float32)) + jnp.sum(params["full"])

    found = run(far, CHAIN, params)
    assert found.best_fitness > jax.jit(far)(params)
    fourth = jax.jit(evo.individual)(found.state.population, 3)
    for tree in (found.best_params, fourth):
        properties.assert_same_types(tree, params)
        for name in ("count", "flag", "key"):
            assert tree[name] == params[name]
