"""Strategies with the interface of evosax."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import evolution as evo

PARAMS = {"w": np.zeros(4, np.float32), "b": np.float32(0)}


class State(NamedTuple):
    mean: dict
    sigma: jax.Array
    told: jax.Array


class FromMean:
    """The mean moves to the best fifth."""

    default_params = 0.9

    def init(self, key, mean, params):
        del key, params
        return State(mean, jnp.asarray(0.5), jnp.int32(0))

    def ask(self, key, state, params):
        del params
        around = evo.perturb(key, state.mean, 20, 1.0)
        return around.params, state

    def tell(self, key, population, fitness, state, params):
        del key
        best = jnp.argsort(fitness)[:4]
        mean = jax.tree.map(lambda x: x[best].mean(0), population)
        return State(mean, state.sigma * params, state.told + 1), {}


class FromPopulation(FromMean):
    def init(self, key, population, fitness, params):
        mean = evo.best(evo.Population(population, -fitness))[0]
        return super().init(key, mean, params)


def fitness(params):
    return -jnp.sum((params["w"] - 1) ** 2) - (params["b"] + 1) ** 2


def sometimes(params):
    return jnp.where(params["w"][0] < 0, jnp.nan, fitness(params))


def played(*options):
    """The best fitness and the failures of each generation, and the last state."""
    return jax.device_get(_played(*options))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _played(kind, generations, settings, fails):
    step = evo.from_ask_tell(kind(), settings)
    first = evo.perturb(0, PARAMS, 20, 0.3)

    def generation(carry, key):
        population, state = carry
        scores = jax.vmap(lambda one: jnp.where(fails, sometimes(one), fitness(one)))(
            population.params
        )
        scored = population._replace(fitness=scores)
        bred, state = step.update(key, scored, state)
        row = evo.best(scored)[1], jnp.sum(jnp.isnan(scores)), bred.fitness
        return (bred, state), row

    keys = jax.random.split(jax.random.key(1), generations)
    (_, state), rows = jax.lax.scan(generation, (first, step.init(first)), keys)
    return rows, state, first


@pytest.mark.fast("FromPopulation")
@pytest.mark.parametrize("kind", [FromMean, FromPopulation])
def test_a_strategy_is_searched_with(kind):
    (best, _, fresh), state, _ = played(kind, 30, 0.9, False)
    assert np.max(best) > -0.3 > best[0]
    assert state.inner.told == 29, "the first generation starts it"
    np.testing.assert_allclose(state.inner.sigma, 0.5 * 0.9**29, rtol=1e-5)
    assert np.all(np.isnan(fresh)), "everyone is new in each generation"


def test_the_first_mean_is_the_best_of_generation_0():
    (best, *_), state, first = played(FromMean, 1, 0.9, False)
    found = jax.jit(fitness)(state.inner.mean)
    np.testing.assert_allclose(found, best[0], rtol=1e-6)
    rows = zip(first.params["b"], first.params["w"], strict=True)
    assert any(
        np.array_equal(b, state.inner.mean["b"])
        and np.array_equal(w, state.inner.mean["w"])
        for b, w in rows
    )


def test_params_reach_the_strategy():
    _, state, _ = played(FromMean, 30, 0.5, False)
    np.testing.assert_allclose(state.inner.sigma, 0.5**30, rtol=1e-5)


def test_failures_count_as_the_worst():
    (best, failed, _), _, _ = played(FromMean, 30, 0.9, True)
    assert np.sum(failed) > 0
    assert np.max(best) > -0.3


@pytest.mark.slow
def test_params_are_the_strategys_own_by_default():
    step = evo.from_ask_tell(FromMean())
    _, state = jax.jit(lambda: two_steps(step))()
    np.testing.assert_allclose(state.inner.sigma, 0.5 * 0.9)


def two_steps(step):
    given = evo.perturb(0, PARAMS, 20, 0.3)._replace(fitness=jnp.zeros(20))
    bred, state = step.update(0, given, step.init(given))
    return step.update(1, bred._replace(fitness=given.fitness), state)


def test_the_size_must_be_that_of_the_strategy():
    step = evo.from_ask_tell(FromMean())
    with pytest.raises(ValueError, match="`a population of strategy` must have the sh"):
        step.init(evo.unevaluated({"w": np.zeros((10, 4)), "b": np.zeros(10)}))


@pytest.mark.slow
def test_a_whole_search_runs_with_a_strategy():
    step = evo.from_ask_tell(FromMean())
    found = evo.search(0, PARAMS, fitness, step, generations=30, population_size=20)
    assert found.best_fitness > -0.3 > found.history["best"][0]
    assert found.history["evaluations"][-1] == 20 * 30
