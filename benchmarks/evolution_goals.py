"""What evolution is to find: a balanced pole, and a steady acceptance.

python benchmarks/evolution_goals.py [--seeds N]
"""

import argparse
import functools
import statistics
import tempfile

import jax
import jax.numpy as jnp
from gates import Gate, show

from neat_optax import evolution
from neat_optax.experiments.commands.evolve_config import EvolveOptions, make_config
from neat_optax.experiments.runs import evolve_experiment
from neat_optax.experiments.runs.evolve_tasks import (
    FRESH_EPISODES,
    init_stacked,
    make_task,
)
from neat_optax.experiments.runs.files import RunFolder

GENERATIONS = 3


def cartpole_gates(first, seeds):
    """Who is solved, and the first generation whose best passes fresh episodes."""
    task = make_task("cartpole")
    options = EvolveOptions(task="cartpole", population=20, seeds=seeds, seed=first)
    config = make_config(options, task)
    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder(path, "cartpole", {})
        runs = evolve_experiment.run(config, task, folder, lambda *_: None)["runs"]
    solved = sum(one["solved"] for one in runs)
    name = f"CartPole, population 20, seeds {first} to {first + seeds - 1}"
    figure, target = f"{solved} of {seeds}", f"{seeds} of {seeds}"
    yield Gate(f"{name}, solved by `evolve`", target, figure, solved == seeds)
    ends = [one["generations"] - 1 for one in runs]
    yield Gate(f"{name}, generation of its goal, 500", "", *_listed(ends, None))
    passed = [first_passed(task, config, seed) for seed in range(first, first + seeds)]
    name = f"{name}, first whose best has >= 475 over {FRESH_EPISODES} fresh episodes"
    yield Gate(name, f"<= {GENERATIONS}", *_listed(passed, GENERATIONS))


def _listed(numbers, target):
    mean = statistics.mean(numbers)
    figure = f"{mean:.1f} ({', '.join(map(str, numbers))})"
    return figure, None if target is None else mean <= target


def first_passed(task, config, seed):
    """The first generation, from 0, whose best individual is good enough."""
    first_key, key, test_key = jax.random.split(jax.random.key(seed), 3)
    steps = _steps(task, config)
    state = steps.init(key, init_stacked(task, first_key, config.population))
    test = jax.jit(task.test)
    for generation in range(config.generations):
        state, _ = steps.step(state)
        elite = evolution.individual(state.population, 0)
        if task.solved(test(elite, jax.random.fold_in(test_key, generation))):
            return generation
    return config.generations


@functools.cache
def _steps(task, config):
    breeder = evolve_experiment.make_breeder(config)
    evaluate = evolution.of_individual(task.fitness, evaluation_key="shared")
    return evolution.search_steps(breeder, evaluate)


def mean_acceptance(criterion, count, scale, offset, generations=300):
    """On a landscape that rises by its own spread in ten generations."""

    def step(state, number):
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), number), count)
        fitness = scale * (noise + number / 10) + offset
        population = evolution.Population(jnp.zeros(count), fitness)
        _, state = criterion.update(jax.random.key(1), population, state)
        return state, state.acceptance

    start = criterion.init(evolution.Population(jnp.zeros(count), jnp.zeros(count)))
    shares = jax.lax.scan(step, start, jnp.arange(generations))[1]
    return float(jnp.mean(shares))


def acceptance_gates():
    """The largest distance from the target over scales and offsets."""
    for count in (8, 64):
        for target in (0.25, 0.5):
            shares = [
                mean_acceptance(
                    evolution.minimal_criterion(target), (count,), scale, offset
                )
                for scale in (1e-3, 1.0, 1e3)
                for offset in (-500.0, 0.0, 500.0)
            ]
            distance = max(abs(share - target) for share in shares)
            yield Gate(
                f"acceptance {target} of {count}, nine affine maps of fitness",
                "within 0.05",
                f"{distance:.3f}",
                distance <= 0.05,
            )


def main():
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="of CartPole")
    seeds = parser.parse_args().seeds
    gates = [*cartpole_gates(0, seeds), *cartpole_gates(100, seeds)]
    show([*gates, *acceptance_gates()])


if __name__ == "__main__":
    main()
