"""What is searched in `evolution.py`, and by whom: our transformations, and evosax."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from evosax.algorithms import Open_ES, SimpleGA
from evosax.core.fitness_shaping import centered_rank_fitness_shaping_fn
from jax.flatten_util import ravel_pytree

from neat_optax import evolution
from neat_optax.experiments.data import datasets
from neat_optax.experiments.runs import cartpole
from neat_optax.experiments.runs.evolve_tasks import (
    digits,
    evaluate,
    init_stacked,
    make_task,
)

CHUNK = 16
"""Individuals that are evaluated at once."""


class Problem(NamedTuple):
    """What is searched, and with which settings on both sides."""

    task: Any  # with `init` and `fitness`
    population: int
    generations: int  # of a timed round
    sigma: float  # of evolution strategies
    rate: float  # of Adam in evolution strategies
    pairs: int | None  # that ours evaluates at once
    ga_std: float = 0.01  # of evosax's mutation


class Searcher(NamedTuple):
    """`init(key)` gives a state, `step(state, key)` the next one and the best fitness.

    `policy(state)` is the individual that it would be asked for at the end.
    """

    init: Callable[[jax.Array], Any]
    step: Callable[[Any, jax.Array], tuple[Any, jax.Array]]
    policy: Callable[[Any], Any]


class Sphere:
    """Minus the sum of squares of 1000 numbers."""

    def init(self, key):
        """Where an individual starts."""
        return jax.random.normal(key, (1000,))

    def fitness(self, x, key):
        """The largest is 0."""
        del key
        return -jnp.sum(x**2)


class Pole:
    """One episode of CartPole, of which all steps are computed, also after a fall.

    So the time of a generation does not depend on how good its policies are.
    """

    def __init__(self):
        self.task = make_task("cartpole")
        self.init = self.task.init

    def fitness(self, params, key):
        """The return of the episode."""
        return cartpole.record(lambda state: self.task.act(params, state), key)[1]


def whole_digits():
    """Digits without a validation part: 1437 images to train on, 360 to test."""
    parts = datasets.load("digits")
    joined = datasets.Split(
        *(np.concatenate(pair) for pair in zip(*parts[:2], strict=True))
    )
    return digits(parts._replace(train=joined))


PROBLEMS = {
    "sphere 1000 x 256": lambda: Problem(Sphere(), 256, 200, 0.05, 0.05, None),
    "digits 64-64-10 x 64": lambda: Problem(
        whole_digits(), 64, 20, 0.1, 0.02, CHUNK // 2
    ),
    "CartPole 4-32-2 x 128": lambda: Problem(Pole(), 128, 20, 0.1, 0.05, CHUNK // 2),
}


def scores(problem, population, key):
    """Fitness of all individuals, with one key."""
    return evaluate(problem.task.fitness, population, key, CHUNK)


def breed(problem):
    """Our breeder as it is out of the box."""
    return _bred(problem, evolution.breeder())


def breed_tuned(problem):
    """Our breeder with steps that grow shorter."""
    scale = optax.linear_schedule(0.2, 0.05, 300)
    return _bred(problem, evolution.breeder(mutation=evolution.gaussian(scale)))


def breed_clones(problem):
    """Our breeder without crossover."""
    return _bred(problem, evolution.breeder(crossover=evolution.clone))


def _bred(problem, breeder):
    def init(key):
        first, rest = jax.random.split(key)
        params = init_stacked(problem.task, first, problem.population)
        population = evolution.Population(params, scores(problem, params, rest))
        return population, breeder.init(population)

    def step(state, key):
        breed_key, key = jax.random.split(key)
        (params, _), bred = breeder.update(breed_key, *state)
        fitness = scores(problem, params, key)
        return (evolution.Population(params, fitness), bred), jnp.max(fitness)

    return Searcher(init, step, lambda state: evolution.best(state[0])[0])


def estimate(problem):
    """Our evolution strategy in front of optax's Adam."""
    optimizer = optax.adam(problem.rate)
    value_and_grad = evolution.es_value_and_grad(
        lambda params, key: -problem.task.fitness(params, key),
        problem.sigma,
        problem.population // 2,
        shaping=evolution.centered_ranks,
        batch_size=problem.pairs,
    )

    def init(key):
        params = problem.task.init(key)
        return params, optimizer.init(params)

    def step(state, key):
        params, inner = state
        loss, grads = value_and_grad(key, params, key)
        updates, inner = optimizer.update(grads, inner, params)
        return (optax.apply_updates(params, updates), inner), -loss

    return Searcher(init, step, lambda state: state[0])


def simple_ga(problem):
    """Such et al. 2017 as evosax ships it: the better half, mutated by 1."""
    one = problem.task.init(jax.random.key(0))
    return _population_of(problem, SimpleGA(problem.population, one))


def simple_ga_tuned(problem):
    """The same with what two parents, fewer of them, and a small step can do."""
    one = problem.task.init(jax.random.key(0))
    std = optax.constant_schedule(problem.ga_std)
    algorithm = SimpleGA(problem.population, one, std_schedule=std)
    algorithm.elite_ratio = 0.25
    return _population_of(problem, algorithm, crossover_rate=0.5)


def _population_of(problem, algorithm, **changed):
    params = algorithm.default_params.replace(**changed)

    def init(key):
        first, rest = jax.random.split(key)
        population = init_stacked(problem.task, first, problem.population)
        costs = -scores(problem, population, rest)
        return algorithm.init(rest, population, costs, params)

    return _searcher(problem, algorithm, init, params)


def open_es(problem):
    """Salimans et al. 2017: one mean, moved by Adam along pairs of perturbations."""
    algorithm = Open_ES(
        problem.population,
        problem.task.init(jax.random.key(0)),
        optimizer=optax.adam(problem.rate),
        std_schedule=optax.constant_schedule(problem.sigma),
        fitness_shaping_fn=centered_rank_fitness_shaping_fn,
    )
    params = algorithm.default_params

    def init(key):
        return algorithm.init(key, problem.task.init(key), params)

    searcher = _searcher(problem, algorithm, init, params)
    return searcher._replace(policy=algorithm.get_mean)


def _searcher(problem, algorithm, init, params):
    """Asks, evaluates and tells; costs are minus fitness."""

    def step(state, key):
        ask_key, key, tell_key = jax.random.split(key, 3)
        population, state = algorithm.ask(ask_key, state, params)
        fitness = scores(problem, population, key)
        state, _ = algorithm.tell(tell_key, population, -fitness, state, params)
        return state, jnp.max(fitness)

    unravel = ravel_pytree(problem.task.init(jax.random.key(0)))[1]
    return Searcher(init, step, lambda state: unravel(state.best_solution))
