"""What tasks reach alone, and how far a network that they share falls short of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optax

from neat_optax.experiments.benchmarks.player_studies import Problem
from neat_optax.experiments.benchmarks.study import Score
from neat_optax.experiments.runs.loop import Trainer

DELTA = Score("Delta-m", "delta_m", "validation_delta_m", larger_is_better=False)


class Alone(NamedTuple):
    """What each task reaches in a network of its own, [P], the mean over seeds."""

    validation: np.ndarray
    test: np.ndarray
    larger_is_better: bool


def delta_m(of_tasks: np.ndarray, alone: np.ndarray, larger_is_better: bool) -> Any:
    r"""How much worse tasks are together than alone, a share: lower is better.

    .. math:: \Delta_m = \frac1P \sum_i (-1)^{l_i}\, \frac{M_i - B_i}{B_i}

    with :math:`l_i = 1` where a larger number is better.

    Args:
      of_tasks: `M`, [P, ...].
      alone: `B`, [P].
      larger_is_better: of all tasks.

    Returns:
      [...].

    Example:
      >>> of_tasks, alone = np.array([0.9, 0.5]), np.array([1.0, 0.5])
      >>> [round(float(delta_m(of_tasks, alone, x)), 3) for x in (True, False)]
      [0.05, -0.05]
    """
    alone = alone.reshape((-1,) + (1,) * (of_tasks.ndim - 1))
    change = np.mean((of_tasks - alone) / alone, axis=0)
    return -change if larger_is_better else change


def train_alone(problem: Problem) -> Alone:
    """Trains every task alone; each chooses its own rate on validation data.

    Args:
      problem: of a `separate_task`.
    """
    sizes, larger = problem.sizes, not problem.data.targets
    trainer = problem.trainer(alone_with_adam, sizes.rates, watched=False)
    replicas, row = trainer.init(), {}
    for number in range(sizes.epochs):
        replicas, row = trainer.epoch(replicas, number)
    shape = (-1, len(sizes.rates), sizes.seeds)
    validation = _of_tasks(row, "validation_").reshape(shape).mean(axis=2)
    scores = trainer.scores(trainer.served(replicas), problem.data.test)
    test = _of_tasks(scores).reshape(shape).mean(axis=2)
    signed = np.where(
        np.isfinite(validation), validation, -np.inf if larger else np.inf
    )
    best = signed.argmax(axis=1) if larger else signed.argmin(axis=1)
    tasks = np.arange(len(best))
    return Alone(validation[tasks, best], test[tasks, best], larger)


def against(trainer: Trainer, alone: Callable[[], Alone]) -> Trainer:
    """A trainer whose scores are Delta-m too.

    Args:
      trainer: of a network that tasks share.
      alone: what they reach without one.
    """

    def epoch(replicas: Any, number: int) -> tuple[Any, dict[str, Any]]:
        replicas, row = trainer.epoch(replicas, number)
        found = alone()
        of_tasks = _of_tasks(row, "validation_")
        delta = delta_m(of_tasks, found.validation, found.larger_is_better)
        kept = {k: x for k, x in row.items() if "task_" not in k}
        return replicas, {**kept, "validation_delta_m": delta}

    def scores(params: Any, split: Any) -> dict[str, Any]:
        given, found = trainer.scores(params, split), alone()
        delta = delta_m(_of_tasks(given), found.test, found.larger_is_better)
        return {**given, "delta_m": delta}

    return trainer._replace(epoch=epoch, scores=scores)


def alone_with_adam(rate: Any, setting: Any) -> optax.GradientTransformation:
    """Adam, without players."""
    del setting
    return optax.adam(rate)


def _of_tasks(scores: Any, prefix: str = "") -> np.ndarray:
    """[P, ...]: what belongs to the tasks, in their order."""
    count = sum(name.startswith(f"{prefix}task_") for name in scores)
    return np.stack([np.asarray(scores[f"{prefix}task_{i}"]) for i in range(count)])
