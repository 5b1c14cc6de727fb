"""The best so far: never worse, never a failure, each of them once."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neat_optax import evolution as evo
from neat_optax.evolution import _archive
from search_runs import fitness, run, scripted


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


SCORE = st.one_of(
    st.integers(-2, 2).map(float), st.sampled_from([np.nan, -np.inf, np.inf])
)
LATER = st.lists(
    st.lists(
        st.tuples(st.integers(0, 4), SCORE, st.booleans()), min_size=5, max_size=5
    ),
    min_size=1,
    max_size=4,
)
admit = jax.jit(_archive.admit)


@given(LATER, st.integers(1, 3))
def test_the_list_is_that_of_plain_python(generations, size):
    """In any sequence of generations: the best never falls, and NaN is never in it.

    There are few different weights, so that they recur with another fitness.
    """
    blank = evo.unevaluated(jnp.zeros(5))
    listed, expected = _archive.start(blank, size), []
    for rows in generations:
        weights, scores, candidates = zip(*rows, strict=True)
        population = evo.Population(jnp.float32(weights), jnp.float32(scores))
        before = float(listed.fitness[0])
        listed = admit(listed, population, jnp.array(candidates))
        new = [(w, s) for w, s, yes in rows if yes and s > -np.inf]
        ranked = sorted(expected + new, key=lambda row: -row[1])
        expected = [
            row
            for i, row in enumerate(ranked)
            if row[0] not in [w for w, _ in ranked[:i]]
        ][:size]
        count = len(expected)
        assert listed.params[:count].tolist() == [w for w, _ in expected]
        assert listed.fitness[:count].tolist() == [s for _, s in expected]
        assert np.all(np.isnan(listed.fitness[count:]))
        assert np.isnan(before) or listed.fitness[0] >= before


def test_weights_that_are_nan_are_listed_once():
    population = evo.Population(jnp.full((3, 2), jnp.nan), jnp.arange(3.0))
    listed = _archive.start(population, 3)
    assert listed.fitness[0] == 2.0
    assert np.all(np.isnan(listed.fitness[1:]))


def test_among_equals_the_older_comes_first():
    population = evo.Population(jnp.array([1.0, 2.0, 3.0]), jnp.array([5.0, 5.0, 4.0]))
    listed = _archive.start(evo.unevaluated(jnp.zeros(3)), 3)
    listed = admit(listed, population, jnp.array([False, True, False]))
    listed = admit(listed, population, jnp.array([True, False, True]))
    assert listed.params.tolist() == [2.0, 1.0, 3.0]
