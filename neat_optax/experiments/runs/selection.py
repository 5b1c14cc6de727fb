"""From trained replicas to what is said of them: select on validation, then test."""

from typing import Any, NamedTuple

import jax
import numpy as np

from neat_optax.experiments.candidates.candidate import Lineup
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data.datasets import Split
from neat_optax.experiments.reports.statistics import (
    Interval,
    interval,
    paired,
    verdict,
)
from neat_optax.experiments.runs.loop import Replicas, Trainer

TEST = "test_"
"""How the measures of a stream begin that nobody sees but for the selected rate."""

Rows = list[dict[str, Any]]
"""Per epoch: measure -> nested list [rate][seed]."""


class Trained(NamedTuple):
    """One optimizer after training, over all its rates and seeds."""

    rates: tuple[float, ...]
    rows: Rows
    replicas: Replicas


def report(
    trained: Trained, trainer: Trainer, config: TrainConfig, test: Split
) -> dict[str, Any]:
    """Selects a rate by mean validation accuracy, and only then looks at the test.

    In a stream both are means over the ends of its tasks.
    """
    streamed = config.stream is not None
    rows = _ends(trained.rows, config) if streamed else trained.rows
    judged = rows if streamed else rows[-1:]
    validation = np.mean([row["validation_accuracy"] for row in judged], axis=(0, 2))
    best = int(validation.argmax())
    curves = {
        key: [row[key][best] for row in rows] for key in rows[0] if key != "seconds"
    }
    if streamed:
        scores = _stream_scores(curves)
    else:
        chosen = at_rate(trained.replicas, best, config.seeds)
        scores = _test_scores(trainer.scores(trainer.served(chosen), test))
    return {
        "learning_rate": trained.rates[best],
        "learning_rates_tried": trained.rates,
        "validation_accuracy_by_rate": validation.tolist(),
        **scores,
        "mean_over_run": {key: float(np.mean(x)) for key, x in curves.items()},
        "at_end": {key: float(np.mean(x[-1])) for key, x in curves.items()},
        "curves": curves,
        "seconds": sum(row["seconds"] for row in trained.rows),
    }


def at_rate(replicas: Replicas, number: int, seeds: int) -> Replicas:
    """All seeds at the learning rate of that number."""
    chosen = slice(number * seeds, (number + 1) * seeds)
    return jax.tree.map(lambda x: x[chosen], replicas)


def differences(reports: dict[str, Any], lineup: Lineup) -> dict[str, Any]:
    """Each candidate against its control and its peers, seed by seed."""
    found = {}
    for name, own in reports.items():
        against = {}
        for other in lineup.held_against(name):
            if other not in reports:
                continue
            accuracies = own["test_accuracy"], reports[other]["test_accuracy"]
            difference = paired(*accuracies)
            says = verdict(name, lineup.what_did(name, own), other, difference)
            against[other] = {"interval": difference, "verdict": says}
        if against:
            found[name] = against
    return found


def _ends(rows: Rows, config: TrainConfig) -> Rows:
    """The last epoch of each task."""
    return rows[config.epochs - 1 :: config.epochs]


def _test_scores(scores: dict[str, Any]) -> dict[str, Any]:
    listed = {key: np.asarray(x).tolist() for key, x in scores.items()}
    intervals = {f"test_{key}_interval": interval(x) for key, x in listed.items()}
    return {f"test_{key}": x for key, x in listed.items()} | intervals


def _stream_scores(curves: dict[str, Any]) -> dict[str, Any]:
    """Means over tasks, and how much worse the last tenth of the tasks is learnt."""
    means = {
        key.removeprefix(TEST): np.mean(x, axis=0)
        for key, x in curves.items()
        if key.startswith(TEST)
    }
    accuracy = np.asarray(curves["test_accuracy"])
    count = -(-len(accuracy) // 10)
    late, early = accuracy[-count:].mean(axis=0), accuracy[:count].mean(axis=0)
    change: Interval = paired(late.tolist(), early.tolist())
    return _test_scores(means) | {"late_minus_early": change}
