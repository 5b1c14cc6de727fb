"""Batches of arrays, in an order that can be gone on with anywhere."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from neat_optax import _checks


def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of the examples in an epoch, a function of its arguments alone.

    `numpy.random.RandomState` draws it, whose numbers no version of NumPy changes.

    Args:
      seed: of the whole run, in [0, 2**32).
      epoch: its number, from 0.
      size: number of examples.

    Returns:
      [size] int64: the numbers of all examples.

    Example:
      >>> epoch_order(0, 0, 5).tolist(), epoch_order(0, 1, 5).tolist()
      ([2, 0, 3, 4, 1], [0, 1, 3, 2, 4])
    """
    return np.random.RandomState([seed, epoch]).permutation(size)


class Batches:
    """Shuffled batches of arrays that fit into memory; an iterator with a state.

    The state is the number of the epoch and the batches of it that are done, and what
    it belongs to. The last incomplete batch of an epoch is left out.

    Args:
      arrays: any tree of arrays with the same number of examples, such as a `Split`.
      batch_size: examples of a batch.
      seed: of the order.
      num_epochs: after which it ends; without one it does not.

    Example:
      >>> batches = Batches(np.arange(6), 2, seed=0)
      >>> first, state, second = next(batches), batches.get_state(), next(batches)
      >>> again = Batches(np.arange(6), 2, seed=0)
      >>> again.set_state(state)
      >>> (next(again) == second).all()
      np.True_
    """

    def __init__(
        self, arrays: Any, batch_size: int, *, seed: int, num_epochs: int | None = None
    ):
        sizes = {len(x) for x in jax.tree.leaves(arrays)}
        if len(sizes) != 1:
            raise ValueError(
                "`arrays` must have the same number of examples, got "
                f"{', '.join(map(str, sorted(sizes))) or 'no array'}."
            )
        (size,) = sizes
        _checks.check_count("batch_size", batch_size, minimum=1)
        _checks.check_count("seed", seed, minimum=0)
        if batch_size > size:
            raise ValueError(
                f"`batch_size` must be at most the {size} examples, got {batch_size}."
            )
        self._arrays = arrays
        self._of = {"seed": seed, "size": size, "batch_size": batch_size}
        self._end = num_epochs
        self._epoch, self._done = 0, 0
        self._order = epoch_order(seed, 0, size)

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Any:
        if self._end is not None and self._epoch >= self._end:
            raise StopIteration
        size = self._of["batch_size"]
        chosen = self._order[self._done * size : (self._done + 1) * size]
        self._move(self._epoch, self._done + 1)
        return self._chosen(chosen)

    def _chosen(self, numbers: np.ndarray) -> Any:
        return jax.tree.map(lambda x: x[numbers], self._arrays)

    def of_epoch(self, number: int) -> Iterator[Any]:
        """The batches of one epoch, as `fit` of `neat_optax.training` takes them.

        Args:
          number: of the epoch, from 0.
        """
        size = self._of["batch_size"]
        order = epoch_order(self._of["seed"], number, self._of["size"])
        for start in range(0, len(order) - size + 1, size):
            yield self._chosen(order[start : start + size])

    def get_state(self) -> dict[str, int]:
        """What `set_state` goes on from: whole numbers by name."""
        return {**self._of, "epoch": self._epoch, "done": self._done}

    def set_state(self, state: dict[str, int]) -> None:
        """Goes on after the batch after which the state was taken."""
        for name, own in self._of.items():
            if state.get(name) != own:
                raise ValueError(
                    f"`state` must be of batches with a {name} of {own}, got "
                    f"{state.get(name)}."
                )
        self._epoch = -1
        self._move(state["epoch"], state["done"])

    def _move(self, epoch: int, done: int) -> None:
        size = self._of["size"]
        if done == size // self._of["batch_size"]:
            epoch, done = epoch + 1, 0
        if epoch != self._epoch:
            self._order = epoch_order(self._of["seed"], epoch, size)
        self._epoch, self._done = epoch, done
