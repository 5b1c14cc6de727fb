"""The best so far: never worse, never a failure, each of them once."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neat_optax import evolution as evo
from neat_optax.evolution import _archive
from search_runs import fitness, nearby, run


def sometimes(params, key, share):
    failed = jax.random.bernoulli(key, share)
    return jnp.where(failed, jnp.nan, fitness(params))


SOMETIMES = evo.of_individual(sometimes, evaluation_key="own")


FRESH = nearby(0)


def test_nan_is_never_the_best_and_is_counted():
    found = run(SOMETIMES, FRESH, generations=20, args=(np.float32(0.5),))
    failed = found.history["failed"]
    assert 0.3 < failed.sum() / found.history["evaluations"][-1] < 0.7
    assert np.isfinite(found.top().fitness).all()
    for name in ("best_so_far", "mean", "std"):
        assert np.isfinite(found.history[name][1:]).all()


def test_best_so_far_never_falls_without_elites():
    history = run(SOMETIMES, FRESH, generations=20, args=(np.float32(0.1),)).history
    assert (np.diff(history["best"]) < 0).any()
    np.testing.assert_array_equal(
        history["best_so_far"], np.maximum.accumulate(history["best"])
    )


def test_all_failing_leaves_no_best():
    found = run(SOMETIMES, FRESH, generations=3, args=(np.float32(1.0),))
    assert np.isnan(found.best_fitness)
    assert (found.history["failed"] == 8).all()
    assert found.top().fitness.shape == (0,)


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
BLANK = evo.Population(np.zeros(5, np.float32), np.full(5, np.nan, np.float32))
BLANKS = {size: jax.device_get(_archive.start(BLANK, size)) for size in (1, 3)}
compiled = jax.jit(_archive.admit)


def admit(*args):
    return jax.device_get(compiled(*args))


@given(LATER, st.sampled_from(sorted(BLANKS)))
def test_the_list_is_that_of_plain_python(generations, size):
    """In any sequence of generations: the best never falls, and NaN is never in it.

    There are few different weights, so that they recur with another fitness.
    """
    listed, expected = BLANKS[size], []
    for rows in generations:
        weights, scores, candidates = zip(*rows, strict=True)
        population = evo.Population(np.float32(weights), np.float32(scores))
        before = listed.fitness[0]
        listed = admit(listed, population, np.array(candidates))
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
    population = evo.Population(
        np.full((3, 2), np.nan, np.float32), np.float32([0, 1, 2])
    )
    listed = _archive.start(population, 3)
    assert listed.fitness[0] == 2.0
    assert np.all(np.isnan(listed.fitness[1:]))


def test_among_equals_the_older_comes_first():
    population = evo.Population(
        np.float32([1, 2, 3, 0, 0]), np.float32([5, 5, 4, -1, -1])
    )
    listed = admit(BLANKS[3], population, np.array([False, True, False, True, True]))
    listed = admit(listed, population, np.array([True, False, True, True, True]))
    assert listed.params.tolist() == [2.0, 1.0, 3.0]


def test_a_kept_parent_is_listed_once():
    """The original lists it as often as it meets it: [3, 3, 2]."""
    first = np.float32([1, 3, 2, 0, 0])
    second = np.float32([3, 0, 1, 0, 0])
    everyone = np.ones(5, bool)
    listed = admit(BLANKS[3], evo.Population(first, first), everyone)
    listed = admit(listed, evo.Population(second, second), everyone)
    assert listed.fitness.tolist() == [3.0, 2.0, 1.0]
