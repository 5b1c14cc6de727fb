"""The original's tuning study: a sweep on one data set, locked for another.

Here every method has as many trials, a trial is selected on validation data, and no
rate that could be best lies outside.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax.experiments.benchmarks import comparing, small_data
from neat_optax.experiments.benchmarks.study import Study, Table
from neat_optax.experiments.benchmarks.trained import ACCURACY, of_train
from neat_optax.experiments.candidates.candidate import Candidate, Lineup, Setting
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.candidates.plasticities import recipe
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data import datasets
from neat_optax.experiments.data.parts import Data
from neat_optax.experiments.data.tasks import make_task
from neat_optax.experiments.reports.statistics import interval

NAME = "digits-tuning"
EPOCHS = 10
GRID = np.array(
    [
        (rate, warmup, strength)
        for rate in (0.1, 0.3, 1.0, 3.0)
        for warmup in (0, 1, 2)
        for strength in (0.5, 1.0, 2.0)
    ],
    np.float32,
)
"""Rate, epochs of warm-up and strength of each trial: the original's, ten times."""
ALONE = np.geomspace(0.1, 3.0, len(GRID)).astype(np.float32)
"""The rates of what has nothing else to tune."""
PUBLISHED = {"full": 0.974567, "gradient alone": 0.973567}
"""Final accuracy on MNIST, three seeds, as published."""


def _full(number: jax.Array, setting: Setting):
    rate, warmup, strength = jnp.asarray(GRID)[number.astype(int)]
    epoch = setting.steps / EPOCHS

    def risen(step: Any) -> Any:
        full = jnp.floor(step / epoch) >= warmup
        share = jnp.floor(step / epoch) / jnp.maximum(warmup, 1)
        return strength * jnp.where(full, 1.0, share)

    return recipe(rate, {"strength": risen}, monitor=setting.watched)


def _tuned_rate(**options: float) -> Any:
    def build(number: jax.Array, setting: Setting):
        rate = jnp.asarray(ALONE)[number.astype(int)]
        return recipe(rate, options, monitor=setting.watched)

    return build


_BUILDS = {
    "gradient alone": _tuned_rate(
        activity_weight=0, gradient_weight=1, memory_weight=0
    ),
    "off": _tuned_rate(minimum=1.0, maximum=1.0),
    "full": _full,
}
TUNED: Lineup = OPTIMIZERS._replace(
    candidates={
        name: Candidate(build, 1.0, None, "tuned") for name, build in _BUILDS.items()
    }
)
"""The recipe and what it is held against; a trial is a number in place of a rate."""


def study(seeds: int) -> Study:
    """The sweep on digits."""
    trials = tuple(map(float, range(len(GRID))))
    return _study(NAME, datasets.load("digits"), seeds, dict.fromkeys(_BUILDS, trials))


def _study(
    name: str, data: Data, seeds: int, trials: Mapping[str, tuple[float, ...]]
) -> Study:
    config = TrainConfig(
        dataset="digits", optimizers=("sgd",), seeds=seeds, epochs=EPOCHS
    )
    made = of_train(
        name,
        f"the original's tuning: {len(GRID)} trials of each, a dense network, "
        f"{EPOCHS} epochs",
        config,
        data,
        make_task(data),
        controls=("gradient alone", "off"),
        lineup=TUNED,
        rates=trials,
        measures={},
        watched=False,
        notes="The column of rates has numbers of trials: of the full recipe's, four "
        "rates from 0.1 to 3, each with three lengths of warm-up and three strengths; "
        f"of the others', {len(ALONE)} rates from 0.1 to 3.",
    )
    return small_data.sized(made, data)


def tables(full: bool, done: Mapping[str, Any]) -> list[Table]:
    """What was selected on digits, unchanged on Fashion-MNIST if that is found."""
    if NAME not in done:
        return []
    methods = done[NAME]["methods"]
    found = small_data.images("fashion-mnist", None, 1.0 if full else 0.05)
    second = {} if found is None else locked(methods, found, 20 if full else 10)
    return [table(methods, second)]


def locked(methods: Mapping[str, Any], data: Data, seeds: int) -> dict[str, list]:
    """Test accuracies of the selected trials on other data.

    Args:
      methods: of the study, with the trial of each as its `learning_rate`.
      data: of another data set.
      seeds: repetitions.
    """
    trials = {name: (methods[name]["learning_rate"],) for name in _BUILDS}
    made = _study("locked", data, seeds, trials)
    accuracies = {}
    for name in trials:
        trainer = made.trainer(name)
        replicas = trainer.init()
        for epoch in range(EPOCHS):
            replicas, _ = trainer.epoch(replicas, epoch)
        scores = trainer.scores(trainer.served(replicas), data.test)
        accuracies[name] = np.asarray(scores["accuracy"]).tolist()
    return accuracies


def table(methods: Mapping[str, Any], second: Mapping[str, list[float]]) -> Table:
    """The original's figures beside those of a fair sweep."""
    rows = []
    for name in _BUILDS:
        found = methods[name]
        cells = [name, _percent(PUBLISHED.get(name)), _trial(name, found)]
        cells += [_percent(found["mean"]), _gap(name, _scores(methods))]
        if second:
            cells += [_percent(interval(second[name]).mean), _gap(name, second)]
        rows.append(tuple(cells))
    head = ["method", "published", "selected", "digits", "to gradient alone"]
    head += ["Fashion-MNIST, locked", "to gradient alone"] if second else []
    return Table(
        "The original's tuning study",
        "Accuracy in percent; differences in points, with intervals. The original "
        "swept on MNIST, ten epochs, three seeds, and chose by the test accuracy that "
        "it then reports; its gradient alone had one rate, in narrower bounds, and the "
        "best rate of its full recipe was the largest it tried, so that its gap of "
        "0.1 points is one of tuning as much as of signals. It publishes no figures "
        "for the second data set.",
        tuple(head),
        tuple(rows),
    )


def _scores(methods: Mapping[str, Any]) -> dict[str, list[float]]:
    return {name: methods[name]["scores"] for name in _BUILDS}


def _gap(name: str, scores: Mapping[str, list[float]]) -> str:
    if name == "gradient alone":
        return ""
    held = comparing.one(scores[name], scores["gradient alone"], ACCURACY, 2)
    return comparing.show_difference(held.difference, ACCURACY)


def _trial(name: str, found: Mapping[str, Any]) -> str:
    number = int(found["learning_rate"])
    if name != "full":
        return f"rate {ALONE[number]:.3g}"
    return "rate {:g}, warm-up {:g}, strength {:g}".format(*GRID[number])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"
