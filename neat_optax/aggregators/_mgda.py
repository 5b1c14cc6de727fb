"""MGDA: the min-norm point of the convex hull of the gradients."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._simplex import correct_min_norm, min_norm
from neat_optax.aggregators._weighting import (
    Decision,
    Players,
    everyone,
    stateless_weighting,
)


def mgda_weights(
    gramian: Float[Array, "P P"], present: Bool[Array, " P"] | None = None
) -> Float[Array, " P"]:
    r"""Weights of MGDA.

    .. math:: w = \operatorname*{arg\,min}_{w \ge 0,\ \sum w = 1} |\sum_i w_i g_i|

    Args:
      gramian: [P, P], inner products of the gradients.
      present: [P] bool; absent players have zero rows, and the weight 0.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> print(mgda_weights(jnp.array([[1.0, 0.0], [0.0, 3.0]])).round(5))
      [0.75 0.25]
    """
    return _decide(gramian, everyone(gramian, present)).weights


@cites("desideri2012multiple", "sener2018multi")
def mgda(
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""MGDA: the min-norm point of the convex hull of the gradients.

    .. math:: u = \sum_i w_i g_i, \qquad
        w = \operatorname*{arg\,min}_{w \ge 0,\ \sum w = 1} |\sum_i w_i g_i|

    Non-conflicting: every player improves by at least `|u|^2` to first order. Zero
    at Pareto stationary points and only there. It leans to the shortest gradients, and
    a player whose gradient is zero makes the update zero. Solved to rounding by a
    quadratic program, where Frank-Wolfe iterations stop percents away.

    Args:
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.mgda()
      >>> g = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> print(tx.update(g, tx.init(g[0]))[0].round(5))
      [0.5 0.5]

    References:
      Desideri, "Multiple-gradient descent algorithm", 2012. Sener and Koltun,
      "Multi-Task Learning as Multi-Objective Optimization", 2018, eq. 3.
    """
    weighting = stateless_weighting(
        lambda players: _decide(players.gramian, players.present),
        "mgda",
        correct=_correct,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(gramian: Float[Array, "P P"], present: Bool[Array, " P"]) -> Decision:
    nearest = min_norm(correlation(gramian), present)
    return Decision(nearest.weights, nearest.residual, nearest.flattest)


def _correct(players: Players, last: Decision, gains: Float[Array, " P"]) -> Decision:
    rows = correlation(players.gramian, players.coordinates)
    weights, residual = correct_min_norm(rows, last.weights, gains)
    idle = jnp.any(players.present & ~rows.active)
    weights = jnp.where(idle, last.weights, weights)
    residual = jnp.where(idle, last.residual, residual)
    return Decision(weights, residual, last.flattest)
