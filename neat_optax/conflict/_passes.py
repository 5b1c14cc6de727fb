"""The two passes over one leaf: its inner products, and its weighted sum.

Between the two, `decide` sees only the numbers that `measure` returns.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax.conflict._alignment import Alignment
from neat_optax.conflict._plan import Plan


class Measured(NamedTuple):
    """Sums over one leaf or one scope."""

    size: jax.Array
    raw: Alignment
    metric: Alignment | None
    history: "MeasuredHistory | None"


class MeasuredHistory(NamedTuple):
    gap: jax.Array  # |g - ema|^2, measured and not expanded: the expansion cancels
    ema: jax.Array  # |ema|^2
    previous: Alignment


class Verdict(NamedTuple):
    """What was decided about one scope, for `combine`."""

    finite: jax.Array
    on_gradient: jax.Array
    on_opponent: jax.Array


def measure(
    plan: Plan,
    gradient: jax.Array,
    memories: tuple[jax.Array, ...],
    given: jax.Array | None,
    metric: jax.Array | None,
    step: jax.Array,
) -> Measured:
    """All inner products of one leaf: the only pass over the parameters that reads."""
    g = _tree.widen(gradient)
    o = plan.direction(memories, given, step)
    history = None
    if plan.watch_slots:
        ema, previous = (_tree.widen(memories[slot]) for slot in plan.watch_slots)
        history = MeasuredHistory(
            gap=_tree.inner(g - ema, g - ema),
            ema=_tree.inner(ema, ema),
            previous=Alignment(*_tree.gram(g, previous)),
        )
    return Measured(
        size=jnp.asarray(g.size, jnp.float32),
        raw=Alignment(*_tree.gram(g, o)),
        metric=(
            None if metric is None else Alignment(*_tree.gram(g / metric, o / metric))
        ),
        history=history,
    )


def blank(watched: bool) -> Measured:
    """The measures of an empty scope, from which rules make their first state."""
    zero = jnp.zeros((), jnp.float32)
    blank = Alignment(zero, zero, zero)
    history = MeasuredHistory(zero, zero, blank) if watched else None
    return Measured(zero, blank, None, history)


def combine(
    plan: Plan,
    gradient: jax.Array,
    memories: tuple[jax.Array, ...],
    given: jax.Array | None,
    verdict: Verdict,
    step: jax.Array,
) -> tuple[jax.Array, tuple[Any, ...]]:
    """One leaf's update and next memories: the only pass that writes.

    The output is computed first and held behind a barrier, so that each history is
    overwritten after its last reader and XLA need not copy it.
    """
    update, output_memory = _emit(plan, gradient, memories, given, verdict, step)
    pending = [i for i in range(len(memories)) if i != plan.output_slot]
    if pending:
        update, output_memory, gradient, memories = jax.lax.optimization_barrier(
            (update, output_memory, gradient, memories)
        )
    g = _tree.widen(gradient)
    corrected = _corrected(plan, gradient, memories, given, verdict, step)
    new_memories: list[Any] = [output_memory] * len(memories)
    for slot in pending:
        memory = memories[slot]
        new = plan.advance(slot, memory, g, corrected, verdict.finite, step)
        new_memories[slot] = new.astype(memory.dtype)
    return update, tuple(new_memories)


def _emit(
    plan: Plan,
    gradient: jax.Array,
    memories: tuple[jax.Array, ...],
    given: jax.Array | None,
    verdict: Verdict,
    step: jax.Array,
) -> tuple[jax.Array, jax.Array | None]:
    """The update, and the new memory that it is made from, if any."""
    corrected = _corrected(plan, gradient, memories, given, verdict, step)
    if plan.output_slot is None or plan.emit is None:
        update = jnp.where(verdict.finite, corrected, 0)
        return update.astype(gradient.dtype), None
    memory = memories[plan.output_slot]
    g = _tree.widen(gradient)
    new = plan.advance(plan.output_slot, memory, g, corrected, verdict.finite, step)
    update = jnp.where(verdict.finite, plan.emit(corrected, new, step), 0)
    return update.astype(gradient.dtype), new.astype(memory.dtype)


def _corrected(
    plan: Plan,
    gradient: jax.Array,
    memories: tuple[jax.Array, ...],
    given: jax.Array | None,
    verdict: Verdict,
    step: jax.Array,
) -> jax.Array:
    g = _tree.widen(gradient)
    o = plan.direction(memories, given, step)
    idle = verdict.on_opponent == 0  # keeps a non-finite given opponent out
    return (1 + verdict.on_gradient) * g + jnp.where(idle, 0, verdict.on_opponent * o)
