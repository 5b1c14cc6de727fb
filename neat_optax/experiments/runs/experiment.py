"""One run: train every optimizer, select on validation, report once on test."""

import time
from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from neat_optax.experiments.candidates.candidate import (
    SCHEDULES,
    Lineup,
    Setting,
    nothing_recorded,
)
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data import datasets as data_sets
from neat_optax.experiments.data import streams
from neat_optax.experiments.data.tasks import Task, make_task
from neat_optax.experiments.runs.files import RunFolder
from neat_optax.experiments.runs.loop import Trainer, make_trainer
from neat_optax.experiments.runs.metrics import Metrics
from neat_optax.experiments.runs.provenance import environment
from neat_optax.experiments.runs.selection import Trained, differences, report
from neat_optax.experiments.runs.writing import plain

CHECKPOINT_EVERY = 5
"""Epochs between two checkpoints, where nothing else is asked for."""

Tick = Callable[[str, int], None]
"""Gets a candidate and how many epochs it has behind it. What it raises for Ctrl-C goes
on when these are saved."""


class Plan(Protocol):
    """How long a candidate is trained, at which rates and with how many seeds."""

    @property
    def num_epochs(self) -> int: ...  # noqa: D102
    @property
    def seeds(self) -> int: ...  # noqa: D102
    @property
    def checkpoint_every(self) -> int | None: ...  # noqa: D102
    def rates(self, name: str, /) -> tuple[float, ...]: ...  # noqa: D102


def load(config: TrainConfig) -> data_sets.Data:
    """The data that a configuration asks for, if its batches fit."""
    data = data_sets.load(
        config.dataset, config.fraction, config.data, label_noise=config.label_noise
    )
    if config.batch_size > len(data.train.y):
        raise ValueError(
            f"`batch_size` must be at most the {len(data.train.y)} training examples, "
            f"got {config.batch_size}."
        )
    task = _make_task(data, config)
    for name in config.names:  # says now what does not fit
        make_candidate(name, config, task, data).like()
    return data


def run(
    config: TrainConfig, data: data_sets.Data, folder: RunFolder, tick: Tick
) -> dict[str, Any]:
    """Trains, selects, tests, and writes everything that is not made of the result.

    Args:
      config: what to do.
      data: from `load(config)`.
      folder: where to write; unfinished work found there is continued.
      tick: called after each epoch.

    Returns:
      The content of `result.json`, where a nan is null.
    """
    reports, metrics = {}, Metrics(folder, config)
    task = _make_task(data, config)
    for name in config.names:
        trainer = make_candidate(name, config, task, data)
        trained = train_candidate(name, trainer, config, folder, tick, metrics)
        reports[name] = report(trained, trainer, config, data.test)
    folder.wait()  # a run that has its result has its last checkpoints
    result = {
        "config": config.settings(),
        "environment": environment(),
        f"{config.lineup.kind}s": reports,
        "differences": differences(reports, config.lineup),
    }
    folder.write("result.json", plain(result))
    return result


def _make_task(data: data_sets.Data, config: TrainConfig) -> Task:
    return make_task(
        data,
        config.players,
        config.num_players,
        config.network,
        factored=not config.materialize,
    )


def make_candidate(
    name: str,
    config: TrainConfig,
    task: Task,
    data: data_sets.Data,
    *,
    watched: bool = True,
    lineup: Lineup | None = None,
    rates: tuple[float, ...] | None = None,
) -> Trainer:
    """The trainer of one candidate, over all its rates and seeds.

    Args:
      name: of the candidate.
      config: what is asked for.
      task: from `make_task`.
      data: what to train on and validate with.
      watched: whether it records what it did.
      lineup: whom the name names; those of the configuration unless given.
      rates: the learning rates to try; those of the configuration unless given.
    """
    lineup = lineup or config.lineup
    candidate = lineup.candidates[name]
    task = task if candidate.adapt is None else candidate.adapt(task)
    per_epoch = len(data.train.y) // config.batch_size
    steps = config.num_epochs * per_epoch
    rate_of = SCHEDULES[config.schedule]

    def optimizer(rate: Any, key: jax.Array):
        setting = Setting(config.alpha, task, steps, key, config.neuroplastic, watched)
        if config.stream:
            setting = setting._replace(task_steps=config.epochs * per_epoch)
        return candidate.build(rate_of(rate, steps), setting)

    return make_trainer(
        optimizer,
        task,
        data,
        measures=lineup.measures if watched else nothing_recorded,
        at_end=streams.health(task) if config.stream else lineup.at_end,
        view=streams.task_view(config.stream, config.epochs),
        served=candidate.served,
        in_turn=lineup.in_turn,
        seeds=config.seeds,
        rates=rates or config.rates(name),
        batch_size=config.batch_size,
    )


def train_candidate(
    name: str,
    trainer: Trainer,
    config: Plan,
    folder: RunFolder,
    tick: Tick,
    metrics: Metrics | None = None,
) -> Trained:
    """Trains a candidate from its last checkpoint on, over all rates and seeds.

    Args:
      name: of the candidate.
      trainer: its own.
      config: how long, at which rates and with how many seeds.
      folder: of its checkpoints.
      tick: called after each epoch.
      metrics: gets a line for each epoch; None for none.
    """
    done, replicas, rows = folder.restore(name, trainer.init())
    if metrics is not None:
        metrics.begin(name, rows)
    if done:
        tick(name, done)
    every = config.checkpoint_every or CHECKPOINT_EVERY
    tried = config.rates(name)
    for epoch in range(done, config.num_epochs):
        start = time.perf_counter()
        replicas, measures = trainer.epoch(replicas, epoch)
        shape = (len(tried), config.seeds)
        row: dict[str, Any] = {
            key: np.reshape(x, shape).tolist() for key, x in measures.items()
        }
        rows.append({**row, "seconds": time.perf_counter() - start})
        if metrics is not None:
            metrics.add()
        done = epoch + 1
        saved = done == config.num_epochs or done % every == 0
        if saved:
            folder.save(name, done, replicas, rows)
        try:
            tick(name, done)
        except KeyboardInterrupt:
            if not saved:
                folder.save(name, done, replicas, rows)
            folder.wait()
            raise
    return Trained(tried, rows, replicas)
