"""Buffers that a contest keeps (EMA, momentum, previous gradient), and their users."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._schedules import value_at
from neat_optax.conflict._opponents import (
    History,
    Opponent,
    gradient_ema,
    previous_gradient,
)


class Output(NamedTuple):
    """What a contest returns instead of the corrected gradient.

    `emit(corrected, memory, step)` returns one leaf's update from the corrected
    gradient and the new memory of `history`.
    """

    history: History
    emit: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class Plan(NamedTuple):
    """Which buffers a contest keeps, and who reads which of them."""

    histories: tuple[History, ...]
    look: Callable[..., jax.Array]
    needs_given: bool
    opponent_slots: tuple[int, ...]
    watch_slots: tuple[int, ...]  # (gradient_ema, previous_gradient), or ()
    output_slot: int | None
    emit: Callable[..., jax.Array] | None

    def direction(
        self,
        memories: tuple[jax.Array, ...],
        given: jax.Array | None,
        step: jax.Array,
    ) -> jax.Array:
        """The opponent's direction for one leaf, in working precision."""
        seen = tuple(_tree.widen(memories[slot]) for slot in self.opponent_slots)
        return _tree.widen(self.look(seen, given, step))

    def advance(
        self,
        slot: int,
        memory: jax.Array,
        gradient: jax.Array,
        corrected: jax.Array,
        finite: jax.Array,
        step: jax.Array,
    ) -> jax.Array:
        """The next memory of one leaf; the old one where the gradient is not finite."""
        history = self.histories[slot]
        old = _tree.widen(memory)
        decay = value_at(history.decay, step)
        new = history.advance(old, gradient, corrected, decay)
        return jnp.where(finite, new, old)


def make_plan(
    opponent: Opponent,
    watch_decay: optax.ScalarOrSchedule | None,
    output: Output | None,
) -> Plan:
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
