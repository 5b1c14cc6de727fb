"""DWA: softmax weights on the rates at which losses fall."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import Losses, masked_softmax, read_losses
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, everyone


class DWAState(NamedTuple):
    """Mean losses of two periods and the sums of the running one, all [P]."""

    newer: jax.Array
    older: jax.Array  # 0 where not known
    total: jax.Array
    steps: jax.Array  # int32, in the sums


def dwa_weights(
    newer: Float[Array, " P"],
    older: Float[Array, " P"],
    temperature: float | jax.Array = 2.0,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of DWA.

    .. math:: w_i = P \operatorname{softmax}_i(r_i / T), \qquad
        r_i = \frac{L_i(t-1)}{L_i(t-2)}

    Args:
      newer: [P] `L(t-1)`.
      older: [P] `L(t-2)`; where it is 0, the rate counts as 1.
      temperature: positive `T`.
      present: [P] bool.

    Returns:
      [P] weights of the gradients, which sum to `P`.

    Example:
      >>> import jax.numpy as jnp
      >>> print(dwa_weights(jnp.array([1.0, 2.0]), jnp.array([2.0, 2.0])).round(4))
      [0.8756 1.1244]
    """
    present = everyone(newer, present)
    rates = jnp.where(older != 0, _tree.safe_divide(newer, older), 1.0)
    return jnp.sum(present) * masked_softmax(rates / temperature, present)


@cites("liu2019end")
def dwa(
    temperature: optax.ScalarOrSchedule = 2.0,
    period: int = 1,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Dynamic weight average: more weight for losses that decrease more slowly.

    .. math:: u = \sum_i w_i\, g_i, \qquad
        w_i = P \operatorname{softmax}_i\left(\frac{L_i(t-1)}{T\, L_i(t-2)}\right)

    with `L(t)` the mean loss over period `t`. In the first two periods all weights are
    1. Ignores the gradients, and may conflict with any of them. Needs the extra
    argument `losses=`. A player whose older loss is zero or unknown counts as one whose
    loss did not change; steps in which it is absent, or its loss not finite, do not
    enter its means.

    Args:
      temperature: positive `T`, or a schedule; larger makes the weights more equal.
      period: steps over which losses are averaged, at least 1. The authors use an
        epoch.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.dwa(num_players=2)
      >>> g, state = jnp.eye(2), tx.init(jnp.zeros(2))
      >>> for losses in ([2.0, 2.0], [1.0, 2.0], [1.0, 2.0]):
      ...     update, state = tx.update(g, state, losses=jnp.array(losses))
      >>> print(update.round(4))
      [0.8756 1.1244]

    References:
      Liu, Johns and Davison, "End-to-End Multi-Task Learning with Attention", 2019,
      eq. 7. The default period of one step follows the losses more closely than the
      authors' epoch, and is noisier.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("temperature", temperature, "(0, inf)")
    _checks.check_count("period", period, minimum=1)

    def init(_: Any):
        zeros = jnp.zeros((num_players,), jnp.float32)
        return DWAState(zeros, zeros, zeros, zeros.astype(jnp.int32))

    def decide(players: Players, state: DWAState):
        losses = read_losses(players)
        warmth = value_at(temperature, players.step)
        weights = dwa_weights(state.newer, state.older, warmth, losses.usable)
        ends = (players.step + 1) % period == 0
        return as_decision(weights), _advance(state, losses, ends)

    weighting = Weighting(
        "dwa",
        init,
        decide,
        needs_gramian=False,
        needs_losses=True,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _advance(state: DWAState, losses: Losses, ends: jax.Array) -> DWAState:
    total = state.total + losses.values
    steps = _tree.add_counts(state.steps, losses.usable)
    rolled = ends & (steps > 0)
    return DWAState(
        newer=jnp.where(rolled, total / jnp.maximum(steps, 1), state.newer),
        older=jnp.where(rolled, state.newer, state.older),
        total=jnp.where(ends, 0, total),
        steps=jnp.where(ends, 0, steps),
    )
