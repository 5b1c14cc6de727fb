"""UPGrad: projects gradients onto their dual cone, then averages."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._projection import project
from neat_optax.aggregators._weighting import (
    Decision,
    everyone,
    shares,
    stateless_weighting,
)


def upgrad_weights(
    gramian: Float[Array, "P P"],
    preference: Any = None,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of UPGrad.

    .. math:: u = \sum_i p_i\, \pi(g_i), \qquad
        \pi(g) = \operatorname*{arg\,min}_{d:\ J d \ge 0} |d - g|

    Args:
      gramian: [P, P], inner products of the gradients.
      preference: [P] nonnegative `p`; `1 / P` each by default.
      present: [P] bool; absent players have zero rows, and no share.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> upgrad_weights(jnp.array([[2.0, -1.0], [-1.0, 1.0]])).tolist()
      [0.75, 1.0]
    """
    return decide(gramian, shares(everyone(gramian, present), preference)).weights


@cites("quinton2024jacobian")
def upgrad(
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Projects each gradient onto the dual cone of all gradients, then averages.

    .. math:: u = \sum_i p_i\, \pi(g_i), \qquad
        \pi(g) = \operatorname*{arg\,min}_{d:\ J d \ge 0} |d - g|

    UPGrad. Non-conflicting: no player's loss rises to first order. Linear in the scale
    of each gradient. All `P` projections are one batch of small quadratic programs,
    solved to rounding on the correlation matrix, so the ratio of the gradients' lengths
    does not matter. At a Pareto stationary point, where no direction helps every
    player, the update is zero to within the rounding of a float32 Gramian.

    Args:
      preference: how much each player counts, nonnegative, taken as it is; `1 / P` each
        by default. Overridden by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.upgrad()
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [-0.25, 0.75]

    References:
      Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization", 2024, eq. 4.
      Their code adds a multiple of the identity to a normalized Gramian, which loses
      short gradients; here nothing is added.
    """
    _checks.check_preference("preference", preference)
    weighting = stateless_weighting(
        lambda players: decide(
            players.gramian, players.shares(preference), players.coordinates
        ),
        "upgrad",
        takes_coordinates=True,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def decide(
    gramian: Float[Array, "P P"],
    preference: Float[Array, " P"],
    coordinates: Float[Array, "P P"] | None = None,
) -> Decision:
    """All projections at once, in weights of unit rows."""
    rows = correlation(gramian, coordinates)
    # d_i = g_i + n_i sum_j y_ij u_j with y_i = argmin over y >= 0 of 1/2 y'Cy + C_i y
    # (KKT), for unit rows u_j. Then w = p + (p n)' Y / n.
    solution = project(rows)
    added = jnp.matmul(preference * rows.norms, solution.point, precision="highest")
    weights = preference + added * rows.per_norm
    residual, flattest = jnp.max(solution.residual), jnp.min(solution.flattest)
    return Decision(weights, residual, flattest)
