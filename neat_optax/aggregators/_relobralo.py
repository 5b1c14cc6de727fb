"""ReLoBRaLo: relative loss balancing with random lookback."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._random import as_key, check_key
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import Losses, masked_softmax, read_losses
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, everyone


class ReLoBRaLoState(NamedTuple):
    """What the losses are compared with, and the average of the answers."""

    key: jax.Array
    first: jax.Array  # [P] losses of each player's first step
    last: jax.Array  # [P] losses of the step before
    average: jax.Array  # [P] weights
    times: jax.Array  # [P] int32: 0, 1, or 2 for more


def relobralo_weights(
    losses: Float[Array, " P"],
    earlier: Float[Array, " P"],
    temperature: Any = 1.0,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of ReLoBRaLo before they are averaged.

    .. math:: w_i = P \operatorname{softmax}_i\left(\frac{L_i}{T\, L_i'}\right)

    Args:
      losses: [P] `L`.
      earlier: [P] `L'`; where it is 0, the ratio counts as 1.
      temperature: positive `T`.
      present: [P] bool.

    Returns:
      [P] weights of the gradients, which sum to `P`.

    Example:
      >>> import jax.numpy as jnp
      >>> losses, earlier = jnp.array([1.0, 2.0]), jnp.array([2.0, 2.0])
      >>> [round(x, 4) for x in relobralo_weights(losses, earlier).tolist()]
      [0.7551, 1.2449]
    """
    present = everyone(losses, present)
    ratios = jnp.where(earlier != 0, _tree.safe_divide(losses, earlier), 1.0)
    return jnp.sum(present) * masked_softmax(ratios / temperature, present)


@cites("bischof2025multi")
def relobralo(
    temperature: optax.ScalarOrSchedule = 1.0,
    decay: optax.ScalarOrSchedule = 0.999,
    rho: optax.ScalarOrSchedule = 0.999,
    *,
    num_players: int,
    key: jax.Array | int = 0,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""ReLoBRaLo: more weight for losses that fall more slowly, on average.

    .. math:: u = \sum_i w_i(t)\, g_i, \qquad
        w(t) = \alpha\, \bigl(r\, w(t-1) + (1 - r)\, b(t, 0)\bigr)
        + (1 - \alpha)\, b(t, t-1), \quad
        b_i(t, t') = P \operatorname{softmax}_i\left(\frac{L_i(t)}{T\, L_i(t')}\right)

    with one draw of `r`, 1 with the probability :math:`\rho` and else 0, in every step:
    now and then the average looks back to the first losses. In its first step a player
    has the weight 1, in its second that of `b(t, t-1)`. Ignores the gradients, and may
    conflict with any of them. Needs the extra argument `losses=`. Where a player is
    absent, or its loss not finite, what is remembered of it stays.

    Args:
      temperature: positive `T`, or a schedule; larger makes the weights more equal.
      decay: :math:`\alpha` in [0, 1], or a schedule.
      rho: in [0, 1], or a schedule; 1 to never look back.
      num_players: `P`.
      key: a random key or a seed. All scopes use the same draw.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.relobralo(num_players=2)
      >>> g, state = jnp.eye(2), tx.init(jnp.zeros(2))
      >>> for losses in ([2.0, 2.0], [1.0, 2.0]):
      ...     update, state = tx.update(g, state, losses=jnp.array(losses))
      >>> [round(x, 4) for x in update.tolist()]
      [0.7551, 1.2449]

    References:
      Bischof and Kraus, "Multi-Objective Loss Balancing for Physics-Informed Deep
      Learning", 2021, the section on ReLoBRaLo, and the authors' code for the first two
      steps. It adds 1e-12 to the denominators; here nothing is added.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("temperature", temperature, "(0, inf)")
    _checks.check_number("decay", decay, "[0, 1]")
    _checks.check_number("rho", rho, "[0, 1]")
    check_key("key", key)

    def init(_: Any):
        zeros = jnp.zeros((num_players,), jnp.float32)
        return ReLoBRaLoState(as_key(key), zeros, zeros, zeros, zeros.astype(jnp.int32))

    def decide(players: Players, state: ReLoBRaLoState):
        now, later = jax.random.split(state.key)
        kept = jax.random.uniform(now) < value_at(rho, players.step)
        numbers = (value_at(x, players.step) for x in (temperature, decay))
        losses = read_losses(players)
        weights = _average(state, losses, kept, *numbers)
        return as_decision(weights), _advance(state, losses, weights, later)

    weighting = Weighting(
        "relobralo", init, decide, needs_gramian=False, needs_losses=True
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _average(
    state: ReLoBRaLoState, losses: Losses, kept: Any, temperature: Any, decay: Any
):
    """The weights, from the average before and whether it is kept."""
    values, usable = losses
    newest = relobralo_weights(values, state.last, temperature, usable)
    looked_back = relobralo_weights(values, state.first, temperature, usable)
    before = jnp.where(kept, state.average, looked_back)
    mixed = decay * before + (1 - decay) * newest
    young = jnp.where(state.times == 1, newest, 1.0)
    return jnp.where(usable, jnp.where(state.times > 1, mixed, young), 0)


def _advance(
    state: ReLoBRaLoState, losses: Losses, weights: jax.Array, key: jax.Array
) -> ReLoBRaLoState:
    values, usable = losses
    return ReLoBRaLoState(
        key,
        jnp.where(usable & (state.times == 0), values, state.first),
        jnp.where(usable, values, state.last),
        jnp.where(usable, weights, state.average),
        jnp.minimum(state.times + usable, 2),
    )
