"""PBI: penalty-based boundary intersection, two distances in the space of losses."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._directions import away_from
from neat_optax.aggregators._entries import check_entries, spread
from neat_optax.aggregators._losses import read_losses, usable_losses
from neat_optax.aggregators._weighting import Players, shares, stateless_weighting


def pbi_weights(
    losses: Float[Array, " P"],
    theta: Any = 5.0,
    preference: Any = None,
    ideal: Any = 0.0,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of PBI, the slopes of two distances.

    .. math:: w = \hat p + \theta\, \frac{e}{|e|}, \qquad
        e = L - z - ((L - z) \cdot \hat p)\, \hat p, \quad \hat p = \frac{p}{|p|}

    Args:
      losses: [P] `L`.
      theta: nonnegative.
      preference: [P] nonnegative `p`, the direction; `1 / P` each by default.
      ideal: `z`, a number or [P].
      present: [P] bool.

    Returns:
      [P] weights of the gradients, of either sign.

    Example:
      >>> import jax.numpy as jnp
      >>> [round(x, 4) for x in pbi_weights(jnp.array([2.0, 1.0]), 1.0).tolist()]
      [1.4142, 0.0]
    """
    losses, usable = usable_losses(losses, present)
    gaps = jnp.where(usable, losses - spread("ideal", ideal, len(losses)), 0)
    away = away_from(gaps, shares(usable, preference))
    return away.wish + theta * away.slope


@cites("zhang2007moead")
def pbi(
    theta: optax.ScalarOrSchedule = 5.0,
    ideal: Any = 0.0,
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""PBI: little distance along the direction of the preference, and little from it.

    .. math:: u = \nabla (d_1 + \theta\, d_2) = \sum_i w_i\, g_i, \qquad
        d_1 = (L - z) \cdot \hat p, \quad d_2 = |L - z - d_1\, \hat p|, \quad
        \hat p = \frac{p}{|p|}

    Draws the losses above the ideal to multiples of `p`: a larger `p_i` leaves loss `i`
    larger. With a `theta` that is large enough it reaches concave parts of a Pareto
    front. Weights may be negative, and the update may conflict with players. Needs the
    extra argument `losses=`. On the direction itself, where `d_2` has a kink, its slope
    counts as zero. A player whose loss is not finite is left out.

    Args:
      theta: nonnegative, or a schedule; the authors take 5.
      ideal: `z`, losses below any that can be reached: a number or [P].
      preference: `p`, the direction, nonnegative; its length does not count. Equal
        entries by default. Overridden by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.pbi(1.0)
      >>> g, losses = jnp.eye(2), jnp.array([2.0, 1.0])
      >>> [round(x, 4) for x in tx.update(g, tx.init(g[0]), losses=losses)[0].tolist()]
      [1.4142, 0.0]

    References:
      Zhang and Li, "MOEA/D: A Multiobjective Evolutionary Algorithm Based on
      Decomposition", 2007, section II. TorchJD adds 1e-12 to the square of the second
      distance; here nothing is added, so the unit of the losses does not count.
    """
    _checks.check_number("theta", theta, "[0, inf)")
    _checks.check_preference("preference", preference)
    check_entries("ideal", ideal, "(-inf, inf)")

    def decide(players: Players):
        losses, usable = read_losses(players)
        chosen = preference if players.preference is None else players.preference
        factor = value_at(theta, players.step)
        return pbi_weights(losses, factor, chosen, ideal, usable)

    weighting = stateless_weighting(
        decide, "pbi", needs_gramian=False, needs_losses=True
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
