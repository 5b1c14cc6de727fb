"""FairGrad and Nash-MTL: alpha-fair utilities of the players' improvements."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._bargaining import bargain
from neat_optax.aggregators._weighting import Decision, stateless_weighting


def fairgrad_weights(
    gramian: Float[Array, "P P"], alpha: Any = 1.0
) -> Float[Array, " P"]:
    r"""Weights of FairGrad.

    .. math:: (G w)_i = w_i^{-1/\alpha}, \qquad w > 0

    Args:
      gramian: [P, P], inner products of the gradients. Zero rows get the weight 0.
      alpha: above 0.

    Returns:
      [P] weights of the gradients; all zero where there is no solution.

    Example:
      >>> import jax.numpy as jnp
      >>> fairgrad_weights(jnp.diag(jnp.array([1.0, 4.0])), 1.0).tolist()
      [1.0, 0.5]
    """
    return _decide(gramian, alpha, 1.0).weights


def nash_mtl_weights(gramian: Float[Array, "P P"]) -> Float[Array, " P"]:
    r"""Weights of Nash-MTL: :math:`(G w)_i = 1 / w_i`, the case `alpha = 1`.

    Args:
      gramian: [P, P], inner products of the gradients. Zero rows get the weight 0.

    Returns:
      [P] weights of the gradients; all zero where there is no solution.
    """
    return fairgrad_weights(gramian, 1.0)


@cites("ban2024fair")
def fairgrad(
    alpha: optax.ScalarOrSchedule = 1.0,
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""FairGrad: maximizes the `alpha`-fair utility of the players' improvements.

    .. math:: u = \sum_i w_i g_i, \qquad g_i \cdot u = w_i^{-1/\alpha}, \quad w > 0

    Never conflicts with a player. The condition is the stationarity of a convex
    function, which Newton's method solves to rounding. Where no direction helps every
    player there is no solution, and the update is zero. Players whose gradient is zero
    are left out.

    The length of the update depends on the gradients' scale `s` as
    `s^((1 - alpha) / (1 + alpha))`: with `alpha = 1` it is the root of the number of
    players whatever the gradients' lengths. Follow it by `optax.clip_by_global_norm` or
    an adaptive optimizer.

    Args:
      alpha: above 0, or a schedule; 1 is Nash-MTL, and large values approach the
        direction that is best for the player that gains least.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.fairgrad(1.0)
      >>> g = jnp.array([[1.0, 0.0], [0.0, 2.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [1.0, 1.0]

    References:
      Ban and Ji, "Fair Resource Allocation in Multi-Task Learning", 2024, eq. 8.
    """
    _checks.check_number("alpha", alpha, "(0, inf)")
    weighting = stateless_weighting(
        lambda players: _decide(
            players.gramian, value_at(alpha, players.step), players.scale
        ),
        "fairgrad",
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


@cites("navon2022multi")
def nash_mtl(
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Nash-MTL: the Nash bargaining solution between the players.

    .. math:: u = \sum_i w_i g_i, \qquad g_i \cdot u = 1 / w_i, \quad w > 0

    `fairgrad` with `alpha = 1`: the product of the players' gains is as large as a
    direction of that length can make it, whatever the lengths of the gradients. The
    update's length is the root of the number of players, so it does not shrink near a
    solution; the authors' code clips it to 1, here `optax.clip_by_global_norm(1.0)`.

    Args:
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.nash_mtl()
      >>> g = jnp.array([[1.0, 0.0], [0.0, 4.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [1.0, 1.0]

    References:
      Navon et al., "Multi-Task Learning as a Bargaining Game", 2022, claim 3.1. Their
      solver's fallback to equal weights is left out: it returns conflicting updates.
    """
    weighting = stateless_weighting(
        lambda players: _decide(players.gramian, 1.0, players.scale), "nash_mtl"
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(gramian: Float[Array, "P P"], alpha: Any, scale: Any) -> Decision:
    exponent = 1 / jnp.asarray(alpha, jnp.float32)
    rows = correlation(gramian)
    found = bargain(rows, exponent)
    # (G w)_i w_i^s = 1, s = 1 / alpha, is homogeneous of degree 1 + s in w: where w'
    # solves it for G' and G = c^2 G', w = c^(-2 / (1 + s)) w' solves it for G.
    unscaled = scale ** (-2 / (1 + exponent))
    return Decision(found.weights * rows.per_norm * unscaled, found.residual)
