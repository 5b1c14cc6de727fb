"""DualProj: the mean gradient projected onto the dual cone of all gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._nnqp import nnqp
from neat_optax.aggregators._weighting import (
    Decision,
    everyone,
    shares,
    stateless_weighting,
)


def dual_proj_weights(
    gramian: Float[Array, "P P"],
    preference: Any = None,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of DualProj.

    .. math:: u = \operatorname*{arg\,min}_{d:\ J d \ge 0} |d - \sum_i p_i g_i|

    Args:
      gramian: [P, P], inner products of the gradients.
      preference: [P] nonnegative `p`; `1 / P` each by default.
      present: [P] bool; absent players have zero rows, and no share.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> dual_proj_weights(jnp.array([[4.0, -2.0], [-2.0, 1.0]])).tolist()
      [0.5, 1.0]
    """
    return _decide(gramian, shares(everyone(gramian, present), preference)).weights


def dual_proj(
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""DualProj: projects the mean gradient onto the dual cone of all gradients.

    .. math:: u = \operatorname*{arg\,min}_{d:\ J d \ge 0} |d - \sum_i p_i g_i|

    Non-conflicting: no player's loss rises to first order. One quadratic program on the
    correlation matrix, solved to rounding. Where the mean conflicts with no player, it
    is the mean. Not linear in the scale of one gradient: a long gradient decides the
    mean.

    Args:
      preference: nonnegative `p`, taken as it is; `1 / P` each by default. Overridden
        by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.dual_proj()
      >>> g = jnp.array([[2.0, 0.0], [-1.0, 1.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [0.5, 0.5]

    References:
      Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning", 2017,
      eq. 11, with the mean in place of the newest task's gradient.
    """
    _checks.check_preference("preference", preference)
    weighting = stateless_weighting(
        lambda players: _decide(players.gramian, players.shares(preference)),
        "dual_proj",
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(gramian: Float[Array, "P P"], preference: Float[Array, " P"]) -> Decision:
    """The program in weights of unit rows, divided by the longest row's share."""
    rows = correlation(gramian)
    start = preference * rows.norms
    unit = jnp.max(start)
    unit = jnp.where(unit > 0, unit, 1.0)
    linear = jnp.matmul(rows.matrix, start / unit, precision="highest")
    solution = nnqp(rows.matrix, jnp.where(rows.active, linear, 1.0)[None])
    # u = g_0 + sum_j y_j u_j with y = argmin over y >= 0 of 1/2 y'Cy + (C s)'y (KKT),
    # for unit rows u_j and g_0 = sum_j s_j u_j. Then w = p + y / n.
    added = solution.point[0] * unit * rows.per_norm
    return Decision(preference + added, solution.residual[0])
