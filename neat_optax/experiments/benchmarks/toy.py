"""Where aggregators end when two losses of two numbers are minimized.

A seed moves the given starts by normal numbers of 0.25, the first seed by none, and
draws one more in the box around them: a learning rate is selected by where these end,
and judged by where the given ones do. Gradients are exact. `--full` takes the
papers' 50,000 steps of Adam, in about two hours on two cores.
"""

import functools
import pathlib
from typing import Any

import numpy as np

from neat_optax.experiments.benchmarks.player_studies import NOT_FOR_TWO
from neat_optax.experiments.benchmarks.study import (
    Benchmark,
    Probe,
    Score,
    Study,
    Table,
)
from neat_optax.experiments.benchmarks.toy_objectives import Objective, objectives
from neat_optax.experiments.benchmarks.toy_running import PIECES, Bench
from neat_optax.experiments.candidates.aggregators import AGGREGATORS

SEEDS = 8
CONTROLS = ("mean", "random", "control")
SCORE = Score(
    "distance to the front",
    "distance",
    "validation_distance",
    larger_is_better=False,
    as_ratio=True,
    least=0.05,  # at the front all are within rounding, and none is better
)
NOTES = (
    "Distances are Euclidean in losses over their spread on the front, the mean of the "
    "starts and at least .02: what is nearer counts as there. Both losses are of the "
    "same point, and all gradients exact."
)


def methods() -> list[str]:
    """All aggregators of two players, the controls first."""
    names = [name for name in AGGREGATORS.candidates if name not in NOT_FOR_TWO]
    return sorted(names, key=lambda name: name not in CONTROLS)


def studies(full: bool, folder: str | None) -> list[Study]:
    """One for each problem."""
    del folder
    problems = objectives(full)
    bench = Bench(tuple(problems.values()), SEEDS)
    return [
        _study(name, problem, functools.partial(bench.trainer, number=number))
        for number, (name, problem) in enumerate(problems.items())
    ]


def _study(name: str, problem: Objective, trainer: Any) -> Study:
    return Study(
        name=name,
        about=problem.about,
        methods={method: problem.rates for method in methods()},
        controls=CONTROLS,
        trainer=trainer,
        held_out=None,
        score=SCORE,
        seeds=SEEDS,
        num_epochs=PIECES,
        settings={"steps": problem.steps, "rates": problem.rates},
        measures={"conflict": "test_conflict"},
        probe=functools.partial(_probe, problem),
        notes=NOTES,
    )


def _probe(problem: Objective) -> Probe:
    """From the first start; a batch is nothing, as the losses have no noise."""
    batches = tuple(np.zeros((1,), np.float32) for _ in range(4))
    params = problem.starts[0].astype(np.float32)
    return Probe(lambda params, _: problem.losses(params), params, batches)


def tables(full: bool, results: dict[str, Any]) -> list[Table]:
    """Where each aggregator is at the end of its runs."""
    problems = objectives(full)
    return [_ends(name, study, problems[name]) for name, study in results.items()]


def _ends(name: str, study: dict[str, Any], problem: Objective) -> Table:
    shown = {"on the front": "test_front"}
    text = "Shares of the given starts, over seeds: less than .02 from the front. "
    if len(problem.front) > 1:
        shown |= {"stationary": "test_stationary", "one-sided": "test_one_sided"}
        text += (
            "Stationary is where a mean of the two gradients is shorter than a tenth "
            "of the longer one. One-sided is 0 in the middle of the front and 1 where "
            "one loss is least. "
        )
    text += (
        "Conflict is the share of steps of the last piece. Then the mean distance of "
        "the drawn starts, by which the rate is selected."
    )
    shown |= {"conflict": "test_conflict"}
    rows = []
    for method, found in study["methods"].items():
        last = [found["curves"][key][-1] for key in shown.values()]
        by_rate = np.asarray(found["validation"], float).mean(axis=1)
        cells = (*(f"{x:.2f}" for x in last), *(f"{x:.2g}" for x in by_rate))
        rows.append((method, *cells))
    head = ("method", *shown, *(f"at {rate:g}" for rate in problem.rates))
    return Table(f"Where they end: {name}", text, head, tuple(rows))


def pictures(result: dict[str, Any], folder: pathlib.Path) -> None:
    """A picture for each problem: the paths of the first seed, in losses."""
    from neat_optax.experiments.benchmarks import toy_pictures  # takes time to load

    problems = objectives(result["form"] == "full")
    for name, study in result["studies"].items():
        path = folder / f"bench_toy_{name}.png"
        toy_pictures.draw(study, problems[name], path)


BENCHMARK = Benchmark(
    "Where does each aggregator end, when the whole Pareto front is known?",
    studies,
    pictures,
    tables,
)
