"""COSMOS: a weighted sum of the losses that is drawn to a direction."""

from __future__ import annotations

from typing import Any

import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._directions import normalize
from neat_optax.aggregators._losses import read_losses, usable_losses
from neat_optax.aggregators._weighting import Players, shares, stateless_weighting


def cosmos_weights(
    losses: Float[Array, " P"],
    penalty: Any = 1.0,
    preference: Any = None,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of COSMOS, the slopes of a weighted sum and of a cosine.

    .. math:: w_i = p_i - \lambda\, \frac{\hat p_i - (\hat p \cdot \hat L)\, \hat L_i}
        {|L|}, \qquad \hat p = \frac{p}{|p|}, \quad \hat L = \frac{L}{|L|}

    Args:
      losses: [P] `L`.
      penalty: nonnegative :math:`\lambda`.
      preference: [P] nonnegative `p`; `1 / P` each by default.
      present: [P] bool.

    Returns:
      [P] weights of the gradients, of either sign.

    Example:
      >>> import jax.numpy as jnp
      >>> weights = cosmos_weights(jnp.array([3.0, 4.0]), 5.0, jnp.array([1.0, 0.0]))
      >>> [round(x, 4) for x in weights.tolist()]
      [0.36, 0.48]
    """
    losses, usable = usable_losses(losses, present)
    chosen = shares(usable, preference)
    wish, _ = normalize(chosen)
    direction, length = normalize(losses)
    slope = wish - (wish @ direction) * direction
    return chosen - penalty * _tree.safe_divide(slope, length)


@cites("ruchte2021scalable")
def cosmos(
    penalty: optax.ScalarOrSchedule = 1.0,
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""COSMOS: a weighted sum of the losses, drawn to the direction of the preference.

    .. math:: u = \nabla \left(p \cdot L - \lambda\, \frac{p \cdot L}{|p|\, |L|}\right)
        = \sum_i w_i\, g_i

    The losses are drawn towards multiples of `p`: a larger `p_i` weighs loss `i` more
    in the sum, and leaves it larger in the cosine. Weights may be negative, and the
    update may conflict with players. Needs the extra argument `losses=`. Where all
    losses are zero, the cosine has no slope and the sum alone counts. The cosine has no
    unit and the sum has that of the losses, so the penalty must fit it. A player whose
    loss is not finite is left out.

    Args:
      penalty: nonnegative :math:`\lambda`, or a schedule; 0 for the weighted sum. The
        paper takes 0.01 to 8, by the data.
      preference: `p`, nonnegative, taken as it is; `1 / P` each by default. Overridden
        by the extra argument `preference=`. To learn a whole front, draw it anew in
        every step and give it to the network as an input.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.cosmos(5.0, preference=(1.0, 0.0))
      >>> g, losses = jnp.eye(2), jnp.array([3.0, 4.0])
      >>> update, _ = tx.update(g, tx.init(g[0]), losses=losses)
      >>> [round(x, 4) for x in update.tolist()]
      [0.36, 0.48]

    References:
      Ruchte and Grabocka, "Scalable Pareto Front Approximation for Deep Multi-Objective
      Learning", 2021, section 4, the loss function without the conditioned network.
    """
    _checks.check_number("penalty", penalty, "[0, inf)")
    _checks.check_preference("preference", preference)

    def decide(players: Players):
        losses, usable = read_losses(players)
        chosen = preference if players.preference is None else players.preference
        factor = value_at(penalty, players.step)
        return cosmos_weights(losses, factor, chosen, usable)

    weighting = stateless_weighting(
        decide, "cosmos", needs_gramian=False, needs_losses=True
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
