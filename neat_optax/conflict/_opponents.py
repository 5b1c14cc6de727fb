"""Reference directions for conflict detection.

An `Opponent` names the histories that it needs and looks at them to give a direction.
A `History` is one parameter-shaped buffer, zero at the start, and the function that
advances it after every step. Two histories with the same function and decay are one
buffer, however many opponents look at it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from neat_optax import _checks
from neat_optax._schedules import value_at


class History(NamedTuple):
    """A buffer shaped like the parameters, and how it advances.

    `advance(memory, gradient, corrected, decay)` returns the next memory of one leaf.
    """

    advance: Callable[[jax.Array, jax.Array, jax.Array, Any], jax.Array]
    decay: optax.ScalarOrSchedule = 0.0

    def same_as(self, other: "History") -> bool:
        """Whether one buffer can serve both."""
        if self.advance is not other.advance:
            return False
        mine, theirs = self.decay, other.decay
        if isinstance(mine, (int, float)) and isinstance(theirs, (int, float)):
            return mine == theirs
        return mine is theirs


class Opponent(NamedTuple):
    """Histories, and `look(memories, given, step)`: the direction for one leaf.

    `memories` holds one array for each history; `given` is the leaf of the extra
    argument `opponent=` of `update`, or None; `step` is the int32 step number.
    `needs_given` makes a missing `opponent=` an error.
    """

    histories: tuple[History, ...]
    look: Callable[[tuple[jax.Array, ...], jax.Array | None, jax.Array], jax.Array]
    needs_given: bool = False


def momentum(decay: optax.ScalarOrSchedule = 0.9) -> Opponent:
    r"""The exponential average of the corrected gradients before this step.

    .. math:: o_t = m_{t-1}, \qquad m_t = \beta\, m_{t-1} + (1 - \beta)\, u_t

    with :math:`u_t` the corrected gradient. In `scale_by_neat` this is the optimizer's
    own momentum and costs no second buffer.

    Args:
      decay: :math:`\beta` in [0, 1), or a schedule.
    """
    _checks.check_number("decay", decay, "[0, 1)")
    return _latest(History(_average_corrected, decay))


def gradient_ema(decay: optax.ScalarOrSchedule = 0.9) -> Opponent:
    r"""The exponential average of the raw gradients before this step.

    .. math:: o_t = e_{t-1}, \qquad e_t = \beta\, e_{t-1} + (1 - \beta)\, g_t

    Args:
      decay: :math:`\beta` in [0, 1), or a schedule.
    """
    _checks.check_number("decay", decay, "[0, 1)")
    return _latest(History(_average_gradient, decay))


def previous_gradient() -> Opponent:
    r"""The gradient of the step before, :math:`o_t = g_{t-1}`; zero at the start."""
    return _latest(History(_keep_gradient))


def blended(
    first: Opponent, second: Opponent, weight: optax.ScalarOrSchedule = 0.5
) -> Opponent:
    r"""A mixture of two opponents.

    .. math:: o_t = w\, a_t + (1 - w)\, b_t

    Args:
      first: the opponent :math:`a`.
      second: the opponent :math:`b`.
      weight: :math:`w` in [0, 1], or a schedule.
    """
    _checks.check_kind("first", first, Opponent)
    _checks.check_kind("second", second, Opponent)
    _checks.check_number("weight", weight, "[0, 1]")
    split = len(first.histories)

    def look(
        memories: tuple[jax.Array, ...], given: jax.Array | None, step: jax.Array
    ) -> jax.Array:
        share = value_at(weight, step)
        a = first.look(memories[:split], given, step)
        b = second.look(memories[split:], given, step)
        return share * a + (1 - share) * b

    needs_given = first.needs_given or second.needs_given
    return Opponent(first.histories + second.histories, look, needs_given)


def given() -> Opponent:
    """The direction that the caller passes: `update(..., opponent=tree)`.

    For another model's gradient, another batch's, or any direction that this library
    does not know. A missing `opponent=` raises at trace time.
    """

    def look(memories: tuple[jax.Array, ...], given: Any, step: jax.Array) -> jax.Array:
        del memories, step
        return given

    return Opponent((), look, needs_given=True)


def _latest(history: History) -> Opponent:
    def look(
        memories: tuple[jax.Array, ...], given: jax.Array | None, step: jax.Array
    ) -> jax.Array:
        del given, step
        return memories[0]

    return Opponent((history,), look)


def _average_corrected(
    memory: jax.Array, gradient: jax.Array, corrected: jax.Array, decay: Any
) -> jax.Array:
    del gradient
    return decay * memory + (1 - decay) * corrected


def _average_gradient(
    memory: jax.Array, gradient: jax.Array, corrected: jax.Array, decay: Any
) -> jax.Array:
    del corrected
    return decay * memory + (1 - decay) * gradient


def _keep_gradient(
    memory: jax.Array, gradient: jax.Array, corrected: jax.Array, decay: Any
) -> jax.Array:
    del memory, corrected, decay
    return gradient
