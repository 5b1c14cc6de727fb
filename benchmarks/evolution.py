"""The gates of evolution: generations per second, and what they find, next to evosax.

    pip install evosax
    python benchmarks/evolution.py [--rounds N] [--problem NAME] [--generations N]

A searcher is compiled as one scan over generations; its time is the median of
interleaved rounds in one process, compilation left out. All evaluate with the same
function, in chunks of one size, and start from the same kind of weights.
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from evosax.algorithms import Open_ES, SimpleGA
from gates import Gate, show
from jax.flatten_util import ravel_pytree

from neat_optax import evolution
from neat_optax.training import data
from neat_optax.training.evolve_tasks import (
    digits,
    evaluate,
    init_stacked,
    make_task,
)

CHUNK = 16
"""Individuals that are evaluated at once."""


class Problem(NamedTuple):
    """What is searched."""

    task: Any  # with `init` and `fitness`
    population: int
    generations: int  # of a timed round
    ga_std: float  # of evosax's mutation
    es_std: float
    es_rate: float  # of Adam in evolution strategies
    es_batch: int | None  # pairs that ours evaluates at once


class Sphere:
    """Minus the sum of squares of 1000 numbers."""

    def init(self, key):
        """Where an individual starts."""
        return jax.random.normal(key, (1000,))

    def fitness(self, x, key):
        """The largest is 0."""
        del key
        return -jnp.sum(x**2)


class Searcher(NamedTuple):
    """`init(key)` gives a state, `step(state, key)` the next one and the best fitness.

    `policy(state)` is the individual that it would be asked for at the end.
    """

    init: Callable[[jax.Array], Any]
    step: Callable[[Any, jax.Array], tuple[Any, jax.Array]]
    policy: Callable[[Any], Any]


def scores(problem, population, key):
    """Fitness of all individuals, with one key."""
    return evaluate(problem.task.fitness, population, key, CHUNK)


def simple_ga(problem):
    """Such et al. 2017: the better half, mutated."""
    one = problem.task.init(jax.random.key(0))
    std = optax.constant_schedule(problem.ga_std)
    algorithm = SimpleGA(problem.population, one, std_schedule=std)

    def init(key):
        first, rest = jax.random.split(key)
        population = init_stacked(problem.task, first, problem.population)
        costs = -scores(problem, population, rest)
        return algorithm.init(rest, population, costs, algorithm.default_params)

    return _searcher(problem, algorithm, init)


def open_es(problem):
    """Salimans et al. 2017: one mean, moved by Adam along pairs of perturbations."""
    one = problem.task.init(jax.random.key(0))
    algorithm = Open_ES(
        problem.population,
        one,
        optimizer=optax.adam(problem.es_rate),
        std_schedule=optax.constant_schedule(problem.es_std),
    )

    def init(key):
        mean = problem.task.init(key)
        return algorithm.init(key, mean, algorithm.default_params)

    return _searcher(problem, algorithm, init)._replace(policy=algorithm.get_mean)


def _searcher(problem, algorithm, init):
    """Asks, evaluates and tells; costs are minus fitness."""

    def step(state, key):
        ask_key, key, tell_key = jax.random.split(key, 3)
        params = algorithm.default_params
        population, state = algorithm.ask(ask_key, state, params)
        fitness = scores(problem, population, key)
        state, _ = algorithm.tell(tell_key, population, -fitness, state, params)
        return state, jnp.max(fitness)

    unravel = ravel_pytree(problem.task.init(jax.random.key(0)))[1]

    def policy(state):
        return unravel(state.best_solution)

    return Searcher(init, step, policy)


def breed(problem):
    """Our breeder as it is out of the box."""
    return _bred(problem, evolution.breeder())


def breed_tuned(problem):
    """Our breeder with steps that grow shorter."""
    scale = optax.linear_schedule(0.3, 0.1, 300)
    return _bred(problem, evolution.breeder(mutation=evolution.gaussian(scale)))


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
    """Our evolution strategy in front of optax's Adam, all evaluations at once."""
    optimizer = optax.adam(problem.es_rate)
    value_and_grad = evolution.es_value_and_grad(
        lambda params, key: -problem.task.fitness(params, key),
        problem.es_std,
        problem.population // 2,
        shaping=evolution.centred_ranks,
        batch_size=problem.es_batch,
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


def whole_digits():
    """Digits without a validation part: 1437 images to train on, 360 to test."""
    parts = data.load("digits")
    joined = data.Split(
        *(np.concatenate(pair) for pair in zip(*parts[:2], strict=True))
    )
    return digits(parts._replace(train=joined))


PROBLEMS = {
    "sphere 1000 x 256": lambda: Problem(Sphere(), 256, 200, 0.1, 0.05, 0.05, None),
    "digits 64-64-10 x 64": lambda: Problem(
        whole_digits(), 64, 20, 0.01, 0.05, 0.05, CHUNK // 2
    ),
    "CartPole 4-32-2 x 128": lambda: Problem(
        make_task("cartpole"), 128, 5, 0.1, 0.1, 0.05, CHUNK // 2
    ),
}
OPPONENTS = {"evosax SimpleGA": simple_ga, "evosax Open_ES": open_es}
OURS: dict[str, Callable[[Problem], Searcher]] = {
    "breeder()": breed,
    "breeder, tuned": breed_tuned,
    "es_value_and_grad + adam": estimate,
}
"""Ours, by name, each to be at least as fast as the opponent named in `TARGETS`."""
TARGETS = {
    "breeder()": "evosax SimpleGA",
    "breeder, tuned": "evosax SimpleGA",
    "es_value_and_grad + adam": "evosax Open_ES",
}
ACCURACIES = {
    "breeder()": 0.95,
    "breeder, tuned": 0.96,
    "es_value_and_grad + adam": 0.96,
}
"""Test accuracies on digits that ours are to reach."""


class Runner(NamedTuple):
    """A compiled scan over generations, and where it goes on from."""

    searcher: Searcher
    scan: Callable
    carry: list  # [state], replaced at each call

    def __call__(self, generations):
        """Generations per second of the clock, and of the processor."""
        keys = jax.random.split(jax.random.key(1), generations)
        start, start_cpu = time.perf_counter(), time.process_time()
        state, _ = jax.block_until_ready(self.scan(*self.carry, keys))
        self.carry[:] = [state]
        clock, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        return generations / clock, generations / cpu


def make_runner(make, problem, seed=0):
    searcher = make(problem)
    scan = jax.jit(lambda state, keys: jax.lax.scan(searcher.step, state, keys))
    state = jax.jit(searcher.init)(jax.random.key(seed))
    return Runner(searcher, scan, [jax.block_until_ready(state)])


def generations_per_second(problem, rounds):
    """Of all searchers: for each round, by the clock and by the processor."""
    runners = {
        name: make_runner(make, problem) for name, make in (OPPONENTS | OURS).items()
    }
    for runner in runners.values():
        runner(problem.generations)
    speeds = {name: [] for name in runners}
    for _ in range(rounds):
        order = list(runners)
        random.shuffle(order)
        for name in order:
            speeds[name].append(runners[name](problem.generations))
    return speeds


def speed_gates(label, problem, rounds):
    """A line for each searcher."""
    speeds = generations_per_second(problem, rounds)
    for name, speed in speeds.items():
        clock, cpu = (statistics.median(one) for one in zip(*speed, strict=True))
        figure, target, met = f"{clock:.1f} /s, {cpu:.1f} per s of CPU", "", None
        if name in TARGETS:
            pairs = zip(speed, speeds[TARGETS[name]], strict=True)
            ratio = statistics.median(a[0] / b[0] for a, b in pairs)
            figure += f", {ratio:.2f} x {TARGETS[name]}"
            target, met = "as fast", ratio >= 1
        yield Gate(f"{label}, {name}", target, figure, met)


def accuracy_gates(label, problem, generations, seeds):
    """Test accuracy of digits after so many generations, over seeds."""
    found = {}
    for name, make in (OPPONENTS | OURS).items():
        found[name] = [
            float(problem.task.test(policy_after(make, problem, generations, s), None))
            for s in range(seeds)
        ]
    for name, accuracies in found.items():
        mean = statistics.mean(accuracies)
        figure = (
            f"{100 * mean:.1f} % ({', '.join(f'{100 * x:.1f}' for x in accuracies)})"
        )
        wanted = ACCURACIES.get(name)
        met = None if wanted is None else mean >= wanted
        target = "" if wanted is None else f">= {100 * wanted:.0f} %"
        line = f"{label}, {generations} generations, {name}"
        yield Gate(line, target, figure, met)


def policy_after(make, problem, generations, seed):
    runner = make_runner(make, problem, seed)
    runner(generations)
    return runner.searcher.policy(runner.carry[0])


def main():
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS))
    parser.add_argument("--generations", type=int, default=300, help="of digits")
    parser.add_argument("--seeds", type=int, default=3, help="of digits")
    args = parser.parse_args()
    device = jax.devices()[0].device_kind
    load = os.getloadavg()[0]
    print(f"jax {jax.__version__}, {device}, load {load:.1f} on {os.cpu_count()} cores")
    gates = []
    for label in args.problem or PROBLEMS:
        problem = PROBLEMS[label]()
        gates += speed_gates(label, problem, args.rounds)
        if label.startswith("digits"):
            gates += accuracy_gates(label, problem, args.generations, args.seeds)
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    show(gates)


if __name__ == "__main__":
    main()
