"""Uncertainty weighting: divides each loss by a learned variance."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import (
    Learned,
    check_optimizer,
    learn,
    read_losses,
    start_learning,
)
from neat_optax.aggregators._weighting import Players, Weighting, as_decision


def uncertainty_weights(log_variances: Float[Array, " P"]) -> Float[Array, " P"]:
    r"""Weights of uncertainty weighting.

    .. math:: w_i = \tfrac12 e^{-s_i}

    Args:
      log_variances: [P] `s`.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> uncertainty_weights(jnp.zeros(2)).tolist()
      [0.5, 0.5]
    """
    return jnp.exp(-log_variances) / 2


@cites("kendall2018multi")
def uncertainty(
    optimizer: optax.GradientTransformation | None = None,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Uncertainty weighting: divides each loss by a learned variance.

    .. math:: u = \nabla \sum_i \tfrac12 \left(e^{-s_i} L_i + s_i\right)
        = \sum_i w_i\, g_i, \qquad w_i = \tfrac12 e^{-s_i}

    The state holds `s`, 0 at first, and moves it after each step down the slope
    :math:`\frac12 - w_i L_i` of the same sum. At rest, :math:`w_i = 1 / (2 L_i)`. May
    conflict with players. Needs the extra argument `losses=`. The weight of a loss that
    stays zero or negative grows without bound, as in the paper. A player that is
    absent, or whose loss is not finite, is left out and keeps its `s`.

    Args:
      optimizer: what moves `s`; `optax.adam(1e-3)` by default.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax import aggregators
      >>> tx = aggregators.uncertainty(optax.sgd(1.0), num_players=2)
      >>> g, state = jnp.eye(2), tx.init(jnp.zeros(2))
      >>> for _ in range(2):
      ...     update, state = tx.update(g, state, losses=jnp.array([1.0, 3.0]))
      >>> print(update.round(4))
      [0.5    0.1839]

    References:
      Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses
      for Scene Geometry and Semantics", 2018, eq. 7, in log variances. The authors
      learn `s` with the model's optimizer; here it has its own, because this
      transformation sees gradients and not losses as functions.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    rule = check_optimizer(optimizer, 1e-3)

    def decide(players: Players, state: Learned):
        losses, usable = read_losses(players)
        weights = jnp.where(usable, uncertainty_weights(state.values), 0)
        return as_decision(weights), learn(rule, state, 0.5 - weights * losses, usable)

    weighting = Weighting(
        "uncertainty",
        lambda _: start_learning(rule, num_players, 0.0),
        decide,
        needs_gramian=False,
        needs_losses=True,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
