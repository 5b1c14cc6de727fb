"""Searches that take turns in a study: by chance, by breeding, by estimates, by slope.

Each has one number that is tuned: how far it goes at a time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import evolution
from neat_optax.experiments.runs.evolve_tasks import Task, evaluate, init_stacked

CHUNK = 16
"""Individuals that are evaluated at once."""
OF_GRADIENT = 3
"""Evaluations that a value with its gradient counts as."""


class Searcher(NamedTuple):
    """One generation after the other, each with as many evaluations.

    All get the number that is tuned, which may be traced, and the task's data.
    """

    init: Callable[[jax.Array, Any], Any]  # from a key
    step: Callable[[Any, jax.Array, Any, tuple[Any, ...]], Any]  # state and key
    policy: Callable[[Any], Any]  # from a state to the individual that is asked for


class _Best(NamedTuple):
    """The best so far, stacked with nobody else."""

    params: Any


def by_chance(task: Task) -> Searcher:
    """Fresh weights, in each generation new ones beside the best so far.

    That is evaluated again, so that a lucky one does not stay where fitness is noisy.
    """
    count = task.settings.population

    def init(key: jax.Array, scale: Any):
        return _Best(optax.tree.scale(scale, init_stacked(task, key, 1)))

    def step(state: _Best, key: jax.Array, scale: Any, args: tuple[Any, ...]):
        fresh = optax.tree.scale(scale, init_stacked(task, key, count - 1))
        joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), state.params, fresh)
        first = jnp.argmax(_fitness(task, joined, key, args))
        return _Best(jax.tree.map(lambda x: x[first][None], joined))

    return Searcher(init, step, lambda state: jax.tree.map(lambda x: x[0], state[0]))


def by_breeding(task: Task, crossover: Any, acceptance: float | None) -> Searcher:
    """The task's own breeder, whose mutations have the size that is tuned.

    Args:
      task: what is searched.
      crossover: of parents.
      acceptance: the share that may be parents; None for all.
    """
    asked = task.settings

    def breeder(scale: Any) -> evolution.PopulationTransformation:
        bred = evolution.breeder(
            evolution.truncation(asked.parents),
            crossover,
            evolution.gaussian(scale, asked.mutation_rate),
            num_elites=asked.elites,
            reevaluate=asked.reevaluate,
        )
        if acceptance is None:
            return bred
        return evolution.chain(evolution.minimal_criterion(acceptance), bred)

    def init(key: jax.Array, scale: Any):
        params = init_stacked(task, key, asked.population)
        fitness = jnp.full(asked.population, jnp.nan)
        population = evolution.Population(params, fitness)
        return population, population, breeder(scale).init(population)

    def step(state: Any, key: jax.Array, scale: Any, args: tuple[Any, ...]):
        (params, _), _, bred = state
        own, key = jax.random.split(key)
        scored = evolution.Population(params, _fitness(task, params, key, args))
        following, bred = breeder(scale).update(own, scored, bred)
        return following, scored, bred

    return Searcher(init, step, lambda state: evolution.best(state[1])[0])


def by_strategy(task: Task, sigma: float) -> Searcher:
    """A gradient of the smoothed fitness from pairs of points, by ranks, and Adam.

    Args:
      task: what is searched.
      sigma: how far points are from the weights.
    """

    def estimate(key: jax.Array, params: Any, args: tuple[Any, ...]):
        value_and_grad = evolution.es_value_and_grad(
            _loss(task),
            sigma,
            task.settings.population // 2,
            shaping=evolution.centered_ranks,
            batch_size=CHUNK // 2,
        )
        return value_and_grad(key, params, key, *args)[1]

    return _descent(task, estimate, 1)


def by_slope(task: Task) -> Searcher:
    """Adam with exact gradients, as many steps as cost a generation's evaluations."""

    def gradient(key: jax.Array, params: Any, args: tuple[Any, ...]):
        return jax.grad(_loss(task))(params, key, *args)

    return _descent(task, gradient, task.settings.population // OF_GRADIENT)


def _descent(task: Task, gradient: Callable, steps: int) -> Searcher:
    def init(key: jax.Array, rate: Any):
        params = task.init(key)
        return params, optax.adam(rate).init(params)

    def step(state: Any, key: jax.Array, rate: Any, args: tuple[Any, ...]):
        def one(state: Any, key: jax.Array):
            params, moments = state
            grads = gradient(key, params, args)
            updates, moments = optax.adam(rate).update(grads, moments, params)
            return (optax.apply_updates(params, updates), moments), None

        return jax.lax.scan(one, state, jax.random.split(key, steps))[0]

    return Searcher(init, step, lambda state: state[0])


def by_spread(task: Task) -> Searcher:
    """SNES: a mean and a spread of its own for each weight; its start is tuned."""

    def optimizer(params: Any) -> optax.GradientTransformationExtraArgs:
        rate = evolution.snes_sigma_rate(params)
        parts: dict[Any, Any] = {"mean": optax.sgd(1.0), "log_sigma": optax.sgd(rate)}
        return optax.partition(parts, evolution.Gaussian("mean", "log_sigma"))

    def init(key: jax.Array, sigma: Any):
        params = task.init(key)
        search = evolution.init_gaussian(params, sigma=sigma)
        return search, optimizer(params).init(search)

    def step(state: Any, key: jax.Array, sigma: Any, args: tuple[Any, ...]):
        del sigma
        search, moments = state
        value_and_grad = evolution.snes_value_and_grad(
            _loss(task), task.settings.population // 2, batch_size=CHUNK // 2
        )
        _, grads = value_and_grad(key, search, key, *args)
        updates, moments = optimizer(search.mean).update(grads, moments, search)
        return optax.apply_updates(search, updates), moments

    return Searcher(init, step, lambda state: state[0].mean)


def _loss(task: Task) -> Callable:
    return lambda params, key, *args: -task.fitness(params, key, *args)


def _fitness(task: Task, params: Any, key: jax.Array, args: tuple[Any, ...]) -> Any:
    return evaluate(lambda one, key: task.fitness(one, key, *args), params, key, CHUNK)
