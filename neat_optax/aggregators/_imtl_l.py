"""IMTL-L: learned scales that bring all losses to the same magnitude."""

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


def imtl_l_weights(log_scales: Float[Array, " P"]) -> Float[Array, " P"]:
    r"""Weights of IMTL-L.

    .. math:: w_i = e^{s_i}

    Args:
      log_scales: [P] `s`.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> imtl_l_weights(jnp.zeros(2)).tolist()
      [1.0, 1.0]
    """
    return jnp.exp(log_scales)


@cites("liu2021towards")
def imtl_l(
    optimizer: optax.GradientTransformation | None = None,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""IMTL-L: learns a scale for each loss, so that all scaled losses become 1.

    .. math:: u = \nabla \sum_i \left(e^{s_i} L_i - s_i\right) = \sum_i w_i\, g_i,
        \qquad w_i = e^{s_i}

    The state holds `s`, 0 at first, and moves it after each step down the slope
    :math:`w_i L_i - 1` of the same sum. At rest, :math:`w_i L_i = 1`: twice the weights
    of `uncertainty`. May conflict with players. Needs the extra argument `losses=`. The
    weight of a loss that stays zero or negative grows without bound, as in the paper. A
    player that is absent, or whose loss is not finite, is left out and keeps its `s`.

    Args:
      optimizer: what moves `s`; `optax.adam(1e-3)` by default.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax import aggregators
      >>> tx = aggregators.imtl_l(optax.sgd(1.0), num_players=2)
      >>> g, state = jnp.eye(2), tx.init(jnp.zeros(2))
      >>> for _ in range(2):
      ...     update, state = tx.update(g, state, losses=jnp.array([1.0, 3.0]))
      >>> print(update.round(4))
      [1.     0.1353]

    References:
      Liu et al., "Towards Impartial Multi-task Learning", 2021, section 3.2. The
      authors learn `s` with the model's optimizer; here it has its own, because this
      transformation sees gradients and not losses as functions.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    rule = check_optimizer(optimizer, 1e-3)

    def decide(players: Players, state: Learned):
        losses, usable = read_losses(players)
        weights = jnp.where(usable, imtl_l_weights(state.values), 0)
        return as_decision(weights), learn(rule, state, weights * losses - 1, usable)

    weighting = Weighting(
        "imtl_l",
        lambda _: start_learning(rule, num_players, 0.0),
        decide,
        needs_gramian=False,
        needs_losses=True,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
