"""Strategies with the interface of evosax."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import evolution as evo

PARAMS = {"w": jnp.zeros(4), "b": jnp.zeros(())}


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


def run(breeder, evaluate=fitness, **options):
    options = {"generations": 30, "population_size": 20, **options}
    return evo.search(0, PARAMS, evaluate, breeder, **options)


@pytest.mark.parametrize("strategy", [FromMean(), FromPopulation()])
def test_a_strategy_is_searched_with(strategy):
    found = run(evo.from_ask_tell(strategy))
    assert found.best_fitness > -0.3 > found.history["best"][0]
    state = found.state.transformation_state
    assert state.inner.told == 29, "the first generation starts it"
    np.testing.assert_allclose(state.inner.sigma, 0.5 * 0.9**29, rtol=1e-5)
    assert found.history["evaluations"][-1] == 20 * 30


def test_the_first_mean_is_the_best_of_generation_0():
    found = run(evo.from_ask_tell(FromMean()), generations=1)
    mean = found.state.transformation_state.inner.mean
    jax.tree.map(np.testing.assert_array_equal, mean, found.best_params)


def test_params_are_handed_on():
    found = run(evo.from_ask_tell(FromMean(), params=0.5), generations=3)
    np.testing.assert_allclose(found.state.transformation_state.inner.sigma, 0.125)


def test_failures_count_as_the_worst():
    def sometimes(params):
        return jnp.where(params["w"][0] < 0, jnp.nan, fitness(params))

    found = run(evo.from_ask_tell(FromMean()), sometimes)
    assert found.history["failed"].sum() > 0
    assert found.best_fitness > -0.3


def test_the_size_must_be_that_of_the_strategy():
    with pytest.raises(ValueError, match="`a population of strategy` must have the sh"):
        run(evo.from_ask_tell(FromMean()), population_size=10)
