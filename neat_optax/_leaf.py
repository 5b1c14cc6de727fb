"""What a contest does with one leaf: measure it, and combine what was decided.

Between the two, `decide` sees only the numbers that `measure` returns.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax.alignment import Alignment
from neat_optax.opponents import (
    History,
    Opponent,
    gradient_ema,
    previous_gradient,
    value_at,
)


class Output(NamedTuple):
    """What a contest hands on instead of the corrected gradient.

    `emit(corrected, memory, step)` returns one leaf's update from the corrected
    gradient and the new memory of `history`.
    """

    history: History
    emit: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


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
    """What `decide` tells `combine` about one scope."""

    finite: jax.Array
    on_gradient: jax.Array
    on_opponent: jax.Array


class Plan(NamedTuple):
    """Which buffers a contest keeps, and who reads which of them."""

    histories: tuple[History, ...]
    look: Callable[..., jax.Array]
    needs_given: bool
    opponent_slots: tuple[int, ...]
    watch_slots: tuple[int, ...]  # (gradient_ema, previous_gradient), or ()
    output_slot: int | None
    emit: Callable[..., jax.Array] | None

    def direction(self, memories, given, step):
        """The opponent's direction for one leaf, in working precision."""
        seen = tuple(_tree.widen(memories[slot]) for slot in self.opponent_slots)
        return _tree.widen(self.look(seen, given, step))

    def advance(self, slot, memory, gradient, corrected, finite, step):
        """The next memory of one leaf; the old one where the gradient is not finite."""
        history = self.histories[slot]
        old = _tree.widen(memory)
        decay = value_at(history.decay, step)
        new = history.advance(old, gradient, corrected, decay)
        return jnp.where(finite, new, old)


def make_plan(opponent: Opponent, watch_decay, output: Output | None) -> Plan:
    """Collects the histories that a contest needs, each of them once."""
    if watch_decay is not None:
        _checks.check_number("watch_decay", watch_decay, "[0, 1)")
    histories: list[History] = []

    def slot(history: History) -> int:
        for index, known in enumerate(histories):
            if known.same_as(history):
                return index
        histories.append(history)
        return len(histories) - 1

    watched = (
        gradient_ema(watch_decay).histories + previous_gradient().histories
        if watch_decay is not None
        else ()
    )
    opponent_slots = tuple(slot(history) for history in opponent.histories)
    watch_slots = tuple(slot(history) for history in watched)
    output_slot = None if output is None else slot(output.history)
    emit = None if output is None else output.emit
    return Plan(
        histories=tuple(histories),
        look=opponent.look,
        needs_given=opponent.needs_given,
        opponent_slots=opponent_slots,
        watch_slots=watch_slots,
        output_slot=output_slot,
        emit=emit,
    )


def measure(plan: Plan, gradient, memories, given, metric, step) -> Measured:
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


def combine(plan: Plan, gradient, memories, given, verdict: Verdict, step):
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
    new_memories = [output_memory] * len(memories)
    for slot in pending:
        memory = memories[slot]
        new = plan.advance(slot, memory, g, corrected, verdict.finite, step)
        new_memories[slot] = new.astype(memory.dtype)
    return update, tuple(new_memories)


def _emit(plan: Plan, gradient, memories, given, verdict: Verdict, step):
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


def _corrected(plan: Plan, gradient, memories, given, verdict: Verdict, step):
    g = _tree.widen(gradient)
    o = plan.direction(memories, given, step)
    idle = verdict.on_opponent == 0  # keeps a non-finite given opponent out
    return (1 + verdict.on_gradient) * g + jnp.where(idle, 0, verdict.on_opponent * o)
