"""Training over epochs, with callbacks, validation and checkpoints."""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks
from neat_optax.training._batches import check_form
from neat_optax.training._callbacks import History, Run
from neat_optax.training._epochs import Epochs, tell
from neat_optax.training._evaluate import Metrics, evaluate
from neat_optax.training._flax_state import opened
from neat_optax.training._folder import Folder, Progress
from neat_optax.training._sources import make_source
from neat_optax.training._step import Step, TrainingState


class Result(NamedTuple):
    """What `fit` returns."""

    state: Any
    history: History


def fit(
    step: Step,
    data: Any,
    *,
    epochs: int,
    batch_size: int | None = None,
    seed: int = 0,
    state: Any = None,
    validation: Any = None,
    metrics: Metrics | None = None,
    callbacks: Sequence[Any] = (),
    checkpoint: Any = None,
    steps_per_epoch: int | None = None,
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
      state: where to start, a `TrainingState` or a `TrainState` of Flax; by default
        `step.init(seed)`. It is copied.
      validation: data as for training, evaluated after each epoch.
      metrics: for `validation`; see `evaluate`. Its names get the prefix `val_`.
      callbacks: objects with methods of `Callback`.
      checkpoint: a folder, or a `Checkpoint`. The same call goes on from the last
        checkpoint there, in the middle of an epoch too, to the same result bit for bit;
        an iterable must then give the same batches again. Where its iterator has
        `get_state` and `set_state`, as those of Grain have, it goes on from what is
        saved; else the batches that have been seen are skipped. Checkpoints are written
        beside the training. A damaged one is put aside with a warning, and the one
        before it serves.
      steps_per_epoch: of an iterable that does not end, or is longer than an epoch is
        to be: how many batches make one. One iterator then goes through all epochs.

    Returns:
      The last state, of the kind with which it started, and the `History` of all
      epochs: the means of the step's logs, and those of `validation`.

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
    source = make_source(step, data, batch_size, seed, steps_per_epoch)
    first, close = opened(step.init(seed) if state is None else state, seed)
    first = jax.tree.map(jnp.copy, first)
    score = None
    if metrics is not None:
        check_form("validation", validation, batch_size)
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
        stack.callback(tell, told, "on_train_end")
        tell(told, "on_train_begin", run)
        Epochs(source, run, told, folder, score).take(progress)
    return Result(close(run.state), history)


def _score(
    step: Step,
    validation: Any,
    metrics: Metrics,
    batch_size: int | None,
    state: TrainingState,
) -> dict[str, float]:
    found = evaluate(step.model, state, validation, metrics, batch_size=batch_size)
    return {f"val_{name}": value for name, value in found.items()}
