"""Where batches come from: arrays on the device, or any iterable.

A source gives, for an epoch, pieces from any position on. A piece is some steps that
are taken by one compiled call.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice
from typing import Any, NamedTuple

import jax
import numpy as np

from neat_optax import _checks
from neat_optax.training import _batches
from neat_optax.training._step import Step, TrainingState

Advance = Callable[[TrainingState], tuple[TrainingState, dict[str, jax.Array]]]


class Source(NamedTuple):
    """Batches of all epochs.

    Attributes:
      pieces: from the number of an epoch, how many of its steps to leave out, how many
        were taken in all, and how many lie between checkpoints (or None), to pairs: how
        many steps, and the function that takes them. Its logs have a leading axis of
        steps where there are several.
      steps: in an epoch; None if that is not known before.
    """

    pieces: Callable[[int, int, int, int | None], Iterator[tuple[int, Advance]]]
    steps: int | None


def make_source(step: Step, data: Any, batch_size: int | None, seed: int) -> Source:
    """From what `fit` is given."""
    if batch_size is None:
        return _of_iterable(step, data)
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
    key = jax.random.key(seed)

    @jax.jit
    def order_of(epoch: int) -> jax.Array:
        return shuffle(jax.random.fold_in(key, epoch), size, batch_size)

    def run(state: TrainingState, data: Any, order: jax.Array):
        return scan_steps(step.update, state, data, order)

    compiled = jax.jit(run, donate_argnums=0)

    def pieces(epoch: int, position: int, taken: int, every: int | None):
        order = np.asarray(order_of(epoch))
        while position < steps:
            left = steps - position
            count = left if every is None else min(left, every - taken % every)
            rows = order[position : position + count]
            yield count, lambda state, rows=rows: compiled(state, held, rows)
            position, taken = position + count, taken + count

    return Source(pieces, steps)


def _of_iterable(step: Step, data: Any) -> Source:
    if not callable(data) and not isinstance(data, Iterable):
        raise ValueError(
            "`data` must be arrays with a batch_size, an iterable of batches, or a "
            f"function from an epoch to one, got {type(data).__name__}."
        )
    compiled = jax.jit(step.update, donate_argnums=0)
    steps = len(data) if isinstance(data, Sized) else None

    def pieces(epoch: int, position: int, taken: int, every: int | None):
        del taken, every
        batches: Any = data(epoch) if callable(data) else data
        found = 0
        for batch in islice(batches, position, None):
            yield 1, lambda state, batch=batch: compiled(state, batch)
            found += 1
        if not found and not position:
            raise ValueError(
                "`data` must have a batch in every epoch, got none in epoch "
                f"{epoch}; where it can be gone through only once, pass a function "
                "from the epoch to an iterable."
            )

    return Source(pieces, steps)
