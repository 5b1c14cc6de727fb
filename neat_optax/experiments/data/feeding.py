"""Batches on their way to the device, and Grain for what does not fit into memory."""

import collections
import itertools
from collections.abc import Iterable
from typing import Any

import jax

from neat_optax import _checks


def grain_batches(
    source: Any, batch_size: int, *, seed: int, num_epochs: int | None = None
) -> Any:
    """A Grain data set of shuffled batches of what is read example by example.

    Args:
      source: has a length and gives the example of a number, as a `numpy.memmap` or a
        source of Grain's does; an example is any tree of arrays.
      batch_size: examples of a batch; the last incomplete one is left out.
      seed: of the order, which is another one in each epoch.
      num_epochs: after which it ends; without one it does not.

    Returns:
      A `grain.IterDataset`. Its `mp_prefetch` adds processes that read.
    """
    try:
        import grain
    except ImportError as error:
        raise ValueError(
            "`source` must be a list or arrays for `Batches` where Grain is not "
            f"installed, got {type(source).__name__}: "
            'pip install "neat-optax[grain]".'
        ) from error
    _checks.check_count("batch_size", batch_size, minimum=1)
    shuffled = grain.MapDataset.source(source).seed(seed).shuffle()
    batched = shuffled.batch(batch_size, drop_remainder=True)
    return batched.repeat(num_epochs).to_iter_dataset()


class DeviceBatches:
    """Batches on the device, a few ahead of where they are needed; an iterator.

    Transfers overlap with the computation, since JAX waits for neither. The state is
    that after the last batch that came out, not of those read ahead: whoever goes on
    with it sees every batch once.

    Args:
      batches: Grain's data sets and loaders, `Batches`, or any iterable that gives the
        same batches each time; what is no iterator with a state of its own goes on by
        counting.
      sharding: as `jax.device_put` takes it: a device, a `NamedSharding` over the axis
        of examples, or None for the usual device.
      ahead: batches that wait on the device, besides the one that is used.

    Example:
      >>> import numpy as np
      >>> batches = DeviceBatches([np.ones(2), np.zeros(2)])
      >>> next(batches), batches.get_state()
      (Array([1., 1.], dtype=float32), {'count': 1})
    """

    def __init__(self, batches: Iterable[Any], sharding: Any = None, ahead: int = 2):
        _checks.check_count("ahead", ahead, minimum=0)
        begun = iter(batches)
        known = hasattr(begun, "get_state") and hasattr(begun, "set_state")
        self._source: Any = begun if known else _Counted(batches)
        self._sharding = sharding
        self._ahead = ahead
        self._waiting: collections.deque = collections.deque()
        self._state = self._source.get_state()

    def __iter__(self) -> "DeviceBatches":
        return self

    def __next__(self) -> Any:
        missing = 1 + self._ahead - len(self._waiting)
        for batch in itertools.islice(self._source, missing):
            on_device = jax.device_put(batch, self._sharding)
            self._waiting.append((on_device, self._source.get_state()))
        if not self._waiting:
            raise StopIteration
        batch, self._state = self._waiting.popleft()
        return batch

    def get_state(self) -> Any:
        """That of the source after the last batch that came out."""
        return self._state

    def set_state(self, state: Any) -> None:
        """Goes on after the batch after which the state was taken."""
        self._source.set_state(state)
        self._waiting.clear()
        self._state = state


class _Counted:
    """An iterator that goes on by counting what it has passed."""

    def __init__(self, batches: Iterable[Any]):
        self._batches = batches
        self._rest = iter(batches)
        self._count = 0

    def __iter__(self) -> "_Counted":
        return self

    def __next__(self) -> Any:
        batch = next(self._rest)
        self._count += 1
        return batch

    def get_state(self) -> dict[str, int]:
        return {"count": self._count}

    def set_state(self, state: dict[str, int]) -> None:
        if self._count and iter(self._batches) is self._batches:
            raise ValueError(
                "`batches` must be one that can begin anew to go on from a state, got "
                f"a {type(self._batches).__name__} that is begun."
            )
        self._rest = iter(self._batches)
        self._count = sum(1 for _ in itertools.islice(self._rest, state["count"]))
