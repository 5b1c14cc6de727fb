"""What searches without gradients find in as many evaluations.

`--full` searches eight times as long, with 16 seeds, in about two hours on two cores.
"""

import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import evolution
from neat_optax.experiments.benchmarks import evolution_searchers as searchers
from neat_optax.experiments.benchmarks.evolution_searchers import Searcher
from neat_optax.experiments.benchmarks.study import Benchmark, Score, Study
from neat_optax.experiments.runs.evolve_tasks import Task, make_task
from neat_optax.experiments.runs.loop import Replicas, Trainer

SEEDS = 6
PIECES = 15
SPREAD = (0.3, 1.0, 3.0)
CONTROL = "random search"
NOTES = (
    "Each method tries three sizes of its steps. All have as many evaluations; a step "
    "of Adam counts as three. The policy is the fittest of the last generation, or the "
    "mean of a strategy."
)


class Problem(NamedTuple):
    """A task, how long it is searched, and what is said of the policy."""

    generations: int  # of a piece
    score: Score
    scale: float = 1.0  # of the scores that are shown
    sigma: float = 0.1  # of the strategy
    rate: float = 0.03  # of Adam behind it
    slope: float | None = None  # rate of Adam; None where there is no slope


PROBLEMS = {
    "sum": Problem(
        4,
        Score("sum of sizes", "test", "validation", False, True),
        scale=-1.0,
        slope=0.01,
    ),
    "cartpole": Problem(
        1,
        Score("mean return over the search", "test", "validation", over_run=True),
        scale=1 / 500,
        rate=0.05,
    ),
    "digits": Problem(
        4, Score("accuracy", "test", "validation"), rate=0.02, slope=0.003
    ),
}


def methods_of(task: Task, problem: Problem) -> dict[str, tuple[float, Callable]]:
    """The number around which each is tuned, and what makes it.

    Args:
      task: what is searched.
      problem: how.
    """
    size = task.settings.mutation_scale
    bred = functools.partial(searchers.by_breeding, task)
    found: dict[str, tuple[float, Callable]] = {
        CONTROL: (1.0, functools.partial(searchers.by_chance, task)),
        "breeder": (size, functools.partial(bred, evolution.uniform(), None)),
        "no crossover": (size, functools.partial(bred, evolution.clone, None)),
        "half accepted": (size, functools.partial(bred, evolution.uniform(), 0.5)),
        "es": (
            problem.rate,
            functools.partial(searchers.by_strategy, task, problem.sigma),
        ),
        "snes": (0.1, functools.partial(searchers.by_spread, task)),
    }
    if problem.slope is not None:
        found["adam"] = (problem.slope, functools.partial(searchers.by_slope, task))
    return found


def studies(full: bool, folder: str | None) -> list[Study]:
    """One for each task of `neat-optax evolve`."""
    del folder
    longer, seeds = (8, 16) if full else (1, SEEDS)
    return [study_of(name, longer, seeds) for name in PROBLEMS]


def study_of(name: str, longer: int, seeds: int) -> Study:
    """The methods on one task.

    Args:
      name: of the task.
      longer: how many times as long it is searched.
      seeds: repetitions.
    """
    problem, task = PROBLEMS[name], make_task(name)
    known = methods_of(task, problem)
    rates = {
        method: tuple(float(f"{base * factor:.6g}") for factor in SPREAD)
        for method, (base, _) in known.items()
    }
    generations = longer * problem.generations

    def trainer(method: str) -> Trainer:
        make = known[method][1]
        return make_trainer(make(), task, problem, rates[method], seeds, generations)

    evaluations = PIECES * generations * task.settings.population
    return Study(
        name=name,
        about=f"{task.name} of `neat-optax evolve`, {evaluations:,} evaluations",
        methods=rates,
        controls=(CONTROL,),
        trainer=trainer,
        held_out=None,
        score=problem.score,
        seeds=seeds,
        num_epochs=PIECES,
        settings={
            "generations": PIECES * generations,
            "population": task.settings.population,
        },
        measures={"fitness over the search": "fitness"},
        notes=NOTES,
    )


def make_trainer(
    searcher: Searcher,
    task: Task,
    problem: Problem,
    rates: tuple[float, ...],
    seeds: int,
    generations: int,
) -> Trainer:
    """A trainer whose epoch is some generations of every rate and seed, in turn.

    Args:
      searcher: who searches.
      task: what is searched.
      problem: how scores are shown.
      rates: the numbers that are tried.
      seeds: repetitions.
      generations: of an epoch.
    """
    seed_numbers = jnp.tile(jnp.arange(seeds), len(rates))
    rate_numbers = jnp.repeat(jnp.asarray(rates, jnp.float32), seeds)

    def shown(score: Callable, params: Any, key: jax.Array):
        value = problem.scale * score(params, key)
        return value + 1e-6 if problem.score.as_ratio else value

    def init_one(seed: Any, rate: Any):
        state = searcher.init(jax.random.fold_in(jax.random.key(0), seed), rate)
        return Replicas(searcher.policy(state), state)

    def epoch_one(one: tuple[Any, Any, Any], number: Any, args: tuple[Any, ...]):
        replica, seed, rate = one
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), seed), number)
        search, select, test, last = jax.random.split(key, 4)

        def step(state: Any, key: jax.Array):
            return searcher.step(state, key, rate, args), None

        keys = jax.random.split(search, generations)
        state, _ = jax.lax.scan(step, replica.opt_state, keys)
        policy = searcher.policy(state)
        row = {
            "validation": shown(task.select, policy, select),
            "test": shown(task.test, policy, test),
            "fitness": task.fitness(policy, last, *args),
        }
        return Replicas(policy, state), row

    @jax.jit
    def epoch(replicas: Replicas, number: Any, args: tuple[Any, ...]):
        every = (replicas, seed_numbers, rate_numbers)
        return jax.lax.map(lambda one: epoch_one(one, number, args), every)

    def scores(params: Any, _: Any):
        keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
        found = jax.vmap(functools.partial(shown, task.test))(params, keys)
        return {"test": found}

    init = jax.jit(jax.vmap(init_one))
    return Trainer(
        init=lambda: init(seed_numbers, rate_numbers),
        like=lambda: jax.eval_shape(init, seed_numbers, rate_numbers),
        epoch=lambda replicas, number: epoch(replicas, number, task.args),
        scores=jax.jit(scores),
    )


def pictures(result: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Scores over evaluations, a panel for each task."""
    import matplotlib.figure  # takes time to load

    from neat_optax.experiments.runs.writing import write_with

    studies = result["studies"]
    figure = matplotlib.figure.Figure((4.2 * len(studies), 3.6), layout="constrained")
    panels = figure.subplots(1, len(studies), squeeze=False)[0]
    for axes, (name, study) in zip(panels, studies.items(), strict=True):
        _draw(axes, name, study)
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    write_with(
        folder / "bench_evolution_curves.png",
        lambda file: figure.savefig(file, dpi=80, format="png"),
    )


def _draw(axes: Any, name: str, study: Mapping[str, Any]) -> None:
    options = study["options"]
    total = options["generations"] * options["population"]
    for number, (method, found) in enumerate(study["methods"].items()):
        values = np.asarray(found["curves"]["test"], float)
        evaluations = total * np.arange(1, len(values) + 1) / len(values)
        style = {"color": "black", "linestyle": "--"} if method == CONTROL else {}
        axes.plot(evaluations, values, label=method, **{"color": f"C{number}", **style})
    if study["score"]["as_ratio"]:
        axes.set_yscale("log")
    axes.set_title(name, fontsize="medium")
    axes.set_xlabel("evaluations")
    axes.set_ylabel(study["score"]["name"].removesuffix(" over the search"))
    axes.grid(alpha=0.3)


BENCHMARK = Benchmark(
    "How much does a search find without gradients, in as many evaluations?",
    studies,
    pictures,
)
