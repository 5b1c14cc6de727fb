"""Sums of logs that wait on the device until somebody reads them."""

import functools
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_SENT = 128
"""How many calls' logs are put together at a time."""


class Sums:
    """Sums of logs, added one after another in float64.

    So they do not depend on how many are read at a time, or on an interruption.

    Args:
      total: of the steps before.
    """

    def __init__(self, total: Mapping[str, float]):
        self._total = dict(total)
        self._waiting: list[dict[str, Any]] = []
        self._sent: list[dict[str, Any]] = []

    def add(self, logs: dict[str, Any]) -> None:
        """Adds those of a call: numbers, or arrays with an axis of steps."""
        self._waiting.append(logs)
        if len(self._waiting) == _SENT:
            self._read()  # what was sent before, which is there
            self.send()

    def send(self) -> None:
        """Launches what puts them together, and does not wait for it."""
        if not self._waiting:
            return
        scalars = not any(jnp.ndim(x) for x in self._waiting[0].values())
        several = len(self._waiting) > 1 and scalars
        self._sent += [_stacked(self._waiting)] if several else self._waiting
        self._waiting = []

    def total(self) -> dict[str, float]:
        """The sums now; waits for the steps."""
        self.send()
        self._read()
        return dict(self._total)

    def _read(self) -> None:
        for logs in self._sent:
            for name, values in logs.items():
                numbers = np.asarray(values).ravel().tolist()
                before = self._total.get(name, 0.0)
                self._total[name] = functools.reduce(operator.add, numbers, before)
        self._sent = []


@jax.jit
def _stacked(waiting: list[dict[str, jax.Array]]) -> dict[str, jax.Array]:
    """Logs of many steps in one array for each name: one transfer, not one a step."""
    return jax.tree.map(lambda *x: jnp.stack(x), *waiting)
