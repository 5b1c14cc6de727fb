"""Where batches come from: arrays on the device, or any iterable.

A source gives, for an epoch, pieces from any position on. A piece is some steps that
are taken by one compiled call.
"""

from collections.abc import Callable, Iterator, Sized
from typing import Any, NamedTuple

import jax
import numpy as np

from neat_optax import _checks
from neat_optax.training import _batches
from neat_optax.training._folder import Progress
from neat_optax.training._reader import Reader
from neat_optax.training._step import Step, TrainingState

Advance = Callable[[TrainingState], tuple[TrainingState, dict[str, jax.Array]]]


class Source(NamedTuple):
    """Batches of all epochs.

    Attributes:
      pieces: from progress, how many steps were taken in all, and how many lie between
        checkpoints (or None), to pairs for what is left of the next epoch: how many
        steps, and the function that takes them. Its logs have a leading axis of steps
        where there are several.
      steps: in an epoch; None if that is not known before.
      state: where the data stand after a step, for `Progress.data`; with `ended=True`
        after the last one of an epoch.
    """

    pieces: Callable[[Progress, int, int | None], Iterator[tuple[int, Advance]]]
    steps: int | None
    state: Callable[..., Any]


def make_source(
    step: Step,
    data: Any,
    batch_size: int | None,
    seed: int,
    steps_per_epoch: int | None = None,
) -> Source:
    """From what `fit` is given."""
    _batches.check_form("data", data, batch_size)
    if steps_per_epoch is not None:
        _checks.check_count(
            "steps_per_epoch", steps_per_epoch, minimum=1, schedule=False
        )
    if batch_size is None:
        return _of_iterable(step, data, steps_per_epoch)
    if steps_per_epoch is not None:
        raise ValueError(
            "`steps_per_epoch` must be None where there is a batch_size, got "
            f"{steps_per_epoch}."
        )
    _checks.check_count("batch_size", batch_size, minimum=1, schedule=False)
    return _of_arrays(step, data, batch_size, seed)


def shuffle(key: jax.Array, size: int, batch_size: int) -> jax.Array:
    """`[steps, batch_size]`: numbers of examples in random order, by batch.

    The last incomplete batch is left out.

    Args:
      key: random key.
      size: number of examples.
      batch_size: examples in a batch.
    """
    count = size // batch_size
    order = jax.random.permutation(key, size)[: count * batch_size]
    return order.reshape(count, batch_size)


def scan_steps(
    update: Callable, state: Any, data: Any, order: jax.Array
) -> tuple[Any, dict[str, jax.Array]]:
    """One step for each row of `order`, and the logs of each.

    Args:
      update: from a state and a batch to a state and logs.
      state: where to start.
      data: arrays with a leading axis of examples.
      order: [steps, batch_size], as `shuffle` makes it.
    """

    def one(state: Any, rows: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        return update(state, jax.tree.map(lambda x: x[rows], data))

    return jax.lax.scan(one, state, order)


def _of_arrays(step: Step, data: Any, batch_size: int, seed: int) -> Source:
    size = _batches.count_examples("data", data)
    if batch_size > size:
        raise ValueError(
            f"`batch_size` must be at most the {size} examples, got {batch_size}."
        )
    steps = size // batch_size
    held = jax.tree.map(jax.device_put, data)

    def run(state: TrainingState, data: Any, order: jax.Array):
        return scan_steps(step.update, state, data, order)

    compiled = jax.jit(run, donate_argnums=0)

    def pieces(progress: Progress, taken: int, every: int | None):
        order = _order(seed, progress.epoch, size)[: steps * batch_size]
        order, position = order.reshape(steps, batch_size), progress.position
        while position < steps:
            left = steps - position
            count = left if every is None else min(left, every - taken % every)
            rows = order[position : position + count]
            yield count, lambda state, rows=rows: compiled(state, held, rows)
            position, taken = position + count, taken + count

    return Source(pieces, steps, lambda **_: None)


def _order(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of the examples in an epoch, made on the host beside the device's work.

    By a generator whose numbers no version of NumPy changes.
    """
    words = [seed % 2**32, seed >> 32, epoch]
    return np.random.RandomState(words).permutation(size).astype(np.int32)


def _of_iterable(step: Step, data: Any, steps: int | None) -> Source:
    reader = Reader(data, steps)
    compiled = jax.jit(step.update, donate_argnums=0)

    def pieces(progress: Progress, taken: int, every: int | None):
        del taken, every
        for batch in reader.batches(progress):
            yield 1, lambda state, batch=batch: compiled(state, batch)

    if steps is None and isinstance(data, Sized):
        steps = len(data)
    return Source(pieces, steps, reader.state)
