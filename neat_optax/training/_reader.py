"""Batches of any iterable, gone on with where it was."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from neat_optax.training._folder import Progress

_BYTES = "base64"


class Reader:
    """Batches of all epochs, from an iterable or a function that makes one.

    Args:
      data: as `fit` takes it without a `batch_size`.
      steps: of an epoch; then one iterator goes through all epochs, unless `data` is a
        function. By default an epoch is the whole iterable.
    """

    def __init__(self, data: Any, steps: int | None):
        if not callable(data) and not isinstance(data, Iterable):
            raise ValueError(
                "`data` must be arrays with a batch_size, an iterable of batches, or a "
                f"function from an epoch to one, got {type(data).__name__}."
            )
        self._data, self._steps = data, steps
        self._goes_on = steps is not None and not callable(data)
        self._current: Iterator[Any] | None = None

    def batches(self, progress: Progress) -> Iterator[Any]:
        """Those of the next epoch that are left."""
        if self._current is None or not self._goes_on:
            self._current = self._open(progress)
        found = progress.position
        left = None if self._steps is None else self._steps - found
        for batch in islice(self._current, left):
            yield batch
            found += 1
        self._check_count(found, progress.epoch)

    def state(self, *, ended: bool = False) -> Any:
        """Where the iterator stands, as JSON has it; None where it cannot say so.

        Args:
          ended: whether the epoch is over: where the next one begins anew, nothing is
            left to say.
        """
        if ended and not self._goes_on:
            return None
        get: Callable[[], Any] | None = getattr(self._current, "get_state", None)
        if get is None or not hasattr(self._current, "set_state"):
            return None
        return _encoded(get())

    def _open(self, progress: Progress) -> Iterator[Any]:
        """An iterator that stands where progress says."""
        made: Any = self._data(progress.epoch) if callable(self._data) else self._data
        opened: Any = iter(made)
        if progress.data is not None and hasattr(opened, "set_state"):
            opened.set_state(_decoded(progress.data))
            return opened
        before = progress.epoch * (self._steps or 0) if self._goes_on else 0
        for _ in islice(opened, before + progress.position):
            pass
        return opened

    def _check_count(self, found: int, epoch: int) -> None:
        if self._steps is not None and found < self._steps:
            raise ValueError(
                f"`data` must have {self._steps} batches in every epoch, as "
                f"`steps_per_epoch` says, got {found} in epoch {epoch}."
            )
        if not found:
            raise ValueError(
                "`data` must have a batch in every epoch, got none in epoch "
                f"{epoch}; where it can be gone through only once, pass a function "
                "from the epoch to an iterable."
            )


def _encoded(state: Any) -> Any:
    """A state as JSON has it, or None where that would not be the same."""
    if isinstance(state, bytes):
        return {_BYTES: base64.b64encode(state).decode()}
    try:
        same = json.loads(json.dumps(state)) == state
    except (TypeError, ValueError):
        return None
    return state if same else None


def _decoded(state: Any) -> Any:
    if isinstance(state, dict) and set(state) == {_BYTES}:
        return base64.b64decode(state[_BYTES])
    return state
