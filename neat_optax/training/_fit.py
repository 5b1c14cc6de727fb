"""Training over epochs, with callbacks, validation and checkpoints."""

import contextlib
import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _checks
from neat_optax.training._callbacks import History, Run
from neat_optax.training._evaluate import Metrics, evaluate
from neat_optax.training._folder import Folder, Progress
from neat_optax.training._sources import Source, make_source
from neat_optax.training._step import Step, TrainingState

_HELD = 256
"""How many calls' logs wait on the device: reading one waits for its step."""


class Result(NamedTuple):
    """What `fit` returns."""

    state: TrainingState
    history: History


def fit(
    step: Step,
    data: Any,
    *,
    epochs: int,
    batch_size: int | None = None,
    seed: int = 0,
    state: TrainingState | None = None,
    validation: Any = None,
    metrics: Metrics | None = None,
    callbacks: Sequence[Any] = (),
    checkpoint: Any = None,
) -> Result:
    """Trains for some epochs, and goes on where a checkpoint of the same call is.

    Steps are compiled and take over the memory of the state. Arrays are put on the
    device once, shuffled by seed and epoch, and an epoch is one compiled loop.

    Args:
      step: from `train_step`, `player_train_step` or `make_step`.
      data: with a `batch_size`, a tree of arrays with one leading axis of examples; the
        last incomplete batch of an epoch is left out. Without, an iterable of batches
        that can be gone through once for each epoch, such as a list or a loader, or a
        function from the number of an epoch to one. Its order is its own.
      epochs: how many in all, those before a checkpoint included.
      batch_size: examples in a batch.
      seed: of the order of examples, and of `step.init(seed)`.
      state: where to start; by default `step.init(seed)`. It is copied.
      validation: data as for training, evaluated after each epoch.
      metrics: for `validation`; see `evaluate`. Its names get the prefix `val_`.
      callbacks: objects with methods of `Callback`.
      checkpoint: a folder, or a `Checkpoint`. The same call goes on from the last
        checkpoint there, in the middle of an epoch too, to the same result bit for bit;
        an iterable must then give the same batches again, and those of the epoch that
        have been seen are skipped. A damaged one is put aside with a warning, and the
        one before it serves.

    Returns:
      The last state and the `History` of all epochs: the means of the step's logs, and
      those of `validation`.

    Raises:
      ValueError: if the data have no batch, or if the checkpoint is of another
        training.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax.training import from_function, train_step
      >>> model = from_function(lambda p, x: p * x, jnp.array(0.0))
      >>> def loss(model, batch):
      ...     return (model(batch["x"]) - batch["y"]) ** 2
      >>> data = {"x": jnp.ones(8), "y": 3 * jnp.ones(8)}
      >>> step = train_step(model, loss, optax.sgd(0.25))
      >>> state, history = fit(step, data, epochs=3, batch_size=4)
      >>> print(state.params.round(2), history["loss"])
      2.95 [5.625, 0.3515625, 0.02197265625]
    """
    _checks.check_kind("step", step, Step)
    _checks.check_count("epochs", epochs, schedule=False)
    _checks.check_integer("seed", seed, minimum=0)
    if (validation is None) != (metrics is None):
        raise ValueError("`validation` and `metrics` must be given together, got one.")
    source = make_source(step, data, batch_size, seed)
    first = step.init(seed) if state is None else jax.tree.map(jnp.copy, state)
    score = functools.partial(_score, step, validation, metrics, batch_size)
    with contextlib.ExitStack() as stack:
        folder, progress = None, Progress()
        if checkpoint is not None:
            folder = Folder(checkpoint, {"seed": seed, "batch_size": batch_size})
            stack.callback(folder.close)
            first, progress = folder.restore(first)
        run = Run(epochs, source.steps, first, progress.rows)
        del first  # the first step takes its memory
        history = History()
        told = [history, *callbacks]
        stack.callback(_tell, told, "on_train_end")
        _tell(told, "on_train_begin", run)
        while progress.epoch < epochs and not run.stop:
            progress = _epoch(source, run, progress, told, folder)
            progress = _end_epoch(run, progress, told, folder, score)
        if folder is not None:
            folder.save(run.state, progress)
        return Result(run.state, history)


def _epoch(
    source: Source, run: Run, progress: Progress, told: list, folder: Folder | None
) -> Progress:
    """The steps of an epoch that are left."""
    _tell(told, "on_epoch_begin", progress.epoch)
    every = None if folder is None else folder.options.every
    taken, position, waiting = int(run.state.step), progress.position, []
    pieces = source.pieces(progress.epoch, position, taken, every)
    for count, advance in pieces:
        run.state, logs = advance(run.state)
        taken, position = taken + count, position + count
        waiting.append(logs)
        _tell(told, "on_batch_end", taken, logs)
        due = every is not None and taken % every == 0
        if due or len(waiting) == _HELD:
            sums, waiting = _added(progress.sums, waiting), []
            progress = progress._replace(position=position, sums=sums)
        if due and folder is not None:
            folder.save(run.state, progress)
    sums = _added(progress.sums, waiting)
    return progress._replace(position=position, sums=sums)


def _end_epoch(
    run: Run, progress: Progress, told: list, folder: Folder | None, score: Any
) -> Progress:
    """The means of an epoch, and what they are for."""
    means = {name: total / progress.position for name, total in progress.sums.items()}
    logs = {**means, **score(run.state)}
    row = {"epoch": progress.epoch, **logs}
    run.rows.append(row)
    progress = Progress(progress.epoch + 1, rows=(*progress.rows, row))
    if folder is not None:
        folder.save_best(run.state, progress)
        if folder.options.every is None:
            folder.save(run.state, progress)
    _tell(told, "on_epoch_end", row["epoch"], logs)
    return progress


def _score(
    step: Step,
    validation: Any,
    metrics: Metrics | None,
    batch_size: int | None,
    state: TrainingState,
) -> dict[str, float]:
    if metrics is None:
        return {}
    found = evaluate(step.model, state, validation, metrics, batch_size=batch_size)
    return {f"val_{name}": value for name, value in found.items()}


def _added(
    sums: Mapping[str, float], waiting: list[dict[str, Any]]
) -> dict[str, float]:
    """Sums with the logs of more steps, one after another in float64.

    So they do not depend on how many are read at a time, or on an interruption.
    """
    total = dict(sums)
    single = len(waiting) > 1 and not any(jnp.ndim(x) for x in waiting[0].values())
    for logs in jax.device_get([_stacked(waiting)] if single else waiting):
        for name, values in logs.items():
            numbers = np.ravel(values).tolist()
            total[name] = functools.reduce(operator.add, numbers, total.get(name, 0.0))
    return total


@jax.jit
def _stacked(waiting: list[dict[str, jax.Array]]) -> dict[str, jax.Array]:
    """Logs of many steps in one array for each name: one transfer, not one a step."""
    return jax.tree.map(lambda *x: jnp.stack(x), *waiting)


def _tell(told: list[Any], name: str, *args: Any) -> None:
    for callback in told:
        method = getattr(callback, name, None)
        if method is not None:
            method(*args)
