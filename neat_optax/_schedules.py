"""Numbers that vary over time, and the steps at which something is due."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks


def value_at(value: optax.ScalarOrSchedule, step: jax.Array) -> Any:
    """A number, or a schedule's value at `step`.

    That is an array, whatever the schedule returns: it is known to no one before the
    step, and so is clipped and counted like all that is traced.
    """
    return jnp.asarray(value(step)) if callable(value) else value


class Cadence(NamedTuple):
    """The steps `begin`, `begin + every`, ... up to `end`, and `end` itself."""

    begin: Any
    every: Any
    end: Any  # None: for ever

    def due(self, step: jax.Array) -> jax.Array:
        """Whether `step` is one of them."""
        since = step - jnp.asarray(self.begin, jnp.int32)
        due = (since >= 0) & (since % jnp.asarray(self.every, jnp.int32) == 0)
        if self.end is None:
            return due
        # A ramp that ends between two of the steps still reaches its last value.
        return (due & (step <= self.end)) | (step == self.end)


def when(begin: Any, every: Any, end: Any) -> Cadence:
    """A checked `Cadence`."""
    _checks.check_interval(begin, every, end)
    return Cadence(begin, every, end)
