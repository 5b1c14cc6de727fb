"""When what changes all weights at once is due: as the task changes, or by steps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._schedules import Cadence, when


def cadence(every: int | None) -> Cadence | None:
    """The steps at which an event is due; None leaves it to the caller of update."""
    return None if every is None else when(0, every, None)


def is_due(
    steps: Cadence | None, step: jax.Array, extra_args: dict[str, Any], caller: str
) -> jax.Array:
    """Whether an event is due at a step, the first of which is 1."""
    if steps is not None:
        return steps.due(step)
    given: Any = extra_args.get("new_task")
    _checks.check_given("new_task", given, f"{caller} without `every`")
    if jnp.shape(given):
        raise ValueError(
            f"`new_task` must be one True or False, got shape {jnp.shape(given)}."
        )
    return jnp.asarray(given, bool)


def moved_if(
    due: jax.Array,
    change: Callable[[Any], Any],
    updates: optax.Updates,
    params: optax.Params,
) -> optax.Updates:
    """Updates to changed new parameters where an event is due.

    Args:
      due: whether it is.
      change: from the new parameters to changed ones, of which those that it returns as
        they were keep their update.
      updates: what leads to the new parameters.
      params: the parameters before the step.
    """

    def moved() -> optax.Updates:
        wide = jax.tree.map(_tree.widen, params)
        new = jax.tree.map(lambda w, u: w + _tree.widen(u), wide, updates)
        changed = change(new)

        def way(u: jax.Array, z: jax.Array, c: jax.Array, w: jax.Array) -> jax.Array:
            return u if c is z else (c - w).astype(u.dtype)

        return jax.tree.map(way, updates, new, changed, wide)

    return jax.lax.cond(due, moved, lambda: updates)
