"""DualProj: the mean gradient projected onto the dual cone of all gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import Correlation, correlation, power_of_two
from neat_optax.aggregators._solvers._nnqp import nnls_onward
from neat_optax.aggregators._solvers._projection import project
from neat_optax.aggregators._weighting import (
    Decision,
    Players,
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
    return decide(gramian, shares(everyone(gramian, present), preference)).weights


@cites("lopezpaz2017gradient")
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
        lambda players: decide(players.gramian, players.shares(preference)),
        "dual_proj",
        correct=lambda *found: correct(*found, preference=preference),
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def decide(gramian: Float[Array, "P P"], preference: Float[Array, " P"]) -> Decision:
    """The program in weights of unit rows, divided by the longest row's share."""
    rows = correlation(gramian)
    unit = _unit(rows, preference)
    # u = g_0 + sum_j y_j u_j with y = argmin over y >= 0 of 1/2 y'Cy + (C s)'y (KKT),
    # for unit rows u_j and g_0 = sum_j s_j u_j. Then w = p + y / n.
    solution = project(rows, (preference * rows.norms / unit)[None])
    weights = preference + solution.point[0] * unit * rows.per_norm
    return Decision(weights, solution.residual[0], solution.flattest[0])


def correct(
    players: Players, last: Decision, gains: Float[Array, " P"], preference: Any
) -> Decision:
    """The same program from the last weights on, by the gains that they have."""
    rows = correlation(players.gramian, players.coordinates)
    shares = players.shares(preference)
    unit = _unit(rows, shares)
    point = jnp.maximum((last.weights - shares) * rows.norms / unit, 0)[None]
    slope = (gains * rows.per_norm / unit)[None]
    solution = nnls_onward(rows.coordinates, point, slope)
    added = (solution.point - point)[0] * unit * rows.per_norm
    return Decision(last.weights + added, solution.residual[0], last.flattest)


def _unit(rows: Correlation, preference: Float[Array, " P"]) -> Float[Array, ""]:
    unit = power_of_two(jnp.max(preference * rows.norms))
    return jnp.where(unit > 0, unit, 1.0)
