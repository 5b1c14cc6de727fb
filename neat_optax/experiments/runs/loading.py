"""What a run has trained, as one of its checkpoints holds it."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from neat_optax import _checks
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data.tasks import make_network, make_task
from neat_optax.experiments.runs import checkpoints, experiment
from neat_optax.experiments.runs.opening import Checkpoint
from neat_optax.experiments.runs.reading import CONFIG, read_config
from neat_optax.experiments.runs.selection import at_rate
from neat_optax.experiments.runs.writing import folder_name

BEST, LATEST = "best", "latest"


def load(
    path: pathlib.Path,
    which: str | int,
    candidate: str | None,
    learning_rate: float | None,
    data: str | os.PathLike[str] | None,
) -> Checkpoint:
    """See `neat_optax.experiments.load_checkpoint`."""
    config = dataclasses.replace(read_options(path), data=data)
    name = _choose(config, candidate)
    folder = path / "checkpoints" / folder_name(name)
    epochs = _check_there(folder, which)
    parts = experiment.load(config)
    task = make_task(parts, config.players, config.num_players, config.network)
    like = experiment.make_candidate(name, config, task, parts).like()
    epoch = which if isinstance(which, int) else epochs[-1]
    replicas, rows = checkpoints.read(folder, epoch, like)
    if which == BEST:
        epoch = max(epochs, key=lambda one: (checkpoints.score(rows, one), one))
        replicas, rows = checkpoints.read(folder, epoch, like)
    rates = config.rates(name)
    number = _number(rates, learning_rate, rows[-1])
    chosen = at_rate(replicas, number, config.seeds)
    build = make_network(parts, config.network)[1]
    return Checkpoint(name, epoch, rates[number], *chosen, parts, build)


def read_options(path: pathlib.Path) -> TrainConfig:
    """What a run of `neat-optax train` was asked for.

    Args:
      path: its folder.
    """
    found = read_config(path)
    if "task" in found:
        raise ValueError(
            f"`run` must be one of neat-optax train, got {path} of neat-optax evolve."
        )
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    given = {key: found[key] for key in known if found.get(key) is not None}
    lists = {key: tuple(x) for key, x in given.items() if isinstance(x, list)}
    try:
        return TrainConfig(**{**given, **lists})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`run` must be one with whole options, got {path / CONFIG}: {error}"
        ) from error


def _choose(config: TrainConfig, name: str | None) -> str:
    names = config.names
    if name is None and len(names) != 1:
        raise ValueError(
            f"`candidate` must be one of {', '.join(names)} for a run of several, got "
            "none."
        )
    chosen = names[0] if name is None else name
    _checks.check_choice("candidate", chosen, names)
    return chosen


def _check_there(folder: pathlib.Path, which: str | int) -> list[int]:
    """The epochs that have a checkpoint."""
    epochs = checkpoints.saved(folder)
    if not epochs:
        raise ValueError(f"`run` must hold a checkpoint, got none in {folder}.")
    if which not in (BEST, LATEST, *epochs):
        raise ValueError(
            f"`which` must be {BEST}, {LATEST} or one of the epochs "
            f"{', '.join(map(str, epochs))}, got {which!r}."
        )
    return epochs


def _number(rates: tuple[float, ...], asked: float | None, row: dict[str, Any]) -> int:
    """Of the rate that is asked for, or is best on validation data after the epoch."""
    if asked is None:
        return int(np.mean(row["validation_accuracy"], axis=1).argmax())
    if asked not in rates:
        raise ValueError(
            f"`learning_rate` must be one of {', '.join(map(str, rates))}, got {asked}."
        )
    return rates.index(asked)
