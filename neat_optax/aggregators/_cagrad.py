"""CAGrad: maximizes the worst player's improvement near the mean gradient."""

from __future__ import annotations

from typing import Any

import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._cone import push_smallest_gain
from neat_optax.aggregators._weighting import (
    Decision,
    everyone,
    shares,
    stateless_weighting,
)


def cagrad_weights(
    gramian: Float[Array, "P P"], c: Any = 0.5, present: Bool[Array, " P"] | None = None
) -> Float[Array, " P"]:
    r"""Weights of CAGrad.

    .. math:: u = \operatorname*{arg\,max}_{|d - g_0| \le c |g_0|}\ \min_i g_i \cdot d

    Args:
      gramian: [P, P], inner products of the gradients.
      c: at least 0.
      present: [P] bool; absent players have zero rows, and no share in the mean.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> [round(x, 4) for x in cagrad_weights(jnp.eye(2), 0.5).tolist()]
      [0.75, 0.75]
    """
    return _decide(gramian, c, everyone(gramian, present)).weights


@cites("liu2021conflict")
def cagrad(
    c: optax.ScalarOrSchedule = 0.5,
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""CAGrad: maximizes the worst improvement in a ball around the mean gradient.

    .. math:: u = \operatorname*{arg\,max}_{|d - g_0| \le c |g_0|}\ \min_i g_i \cdot d,
        \qquad g_0 = \frac1P \sum_i g_i

    With `c >= 1` it never conflicts with a player; below 1 it may, and `c = 0` is the
    mean. Solved to rounding: the smallest gain is found by jumping between the active
    sets of a quadratic program. Players whose gradient is zero count in the mean only.

    Args:
      c: at least 0, or a schedule.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.cagrad(0.5)
      >>> g = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> [round(x, 4) for x in tx.update(g, tx.init(g[0]))[0].tolist()]
      [0.75, 0.75]

    References:
      Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning", 2021, eq.
      3. The update is the paper's; some implementations divide it by `1 + c^2`.
    """
    _checks.check_number("c", c, "[0, inf)")
    weighting = stateless_weighting(
        lambda players: _decide(
            players.gramian, value_at(c, players.step), players.present
        ),
        "cagrad",
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(
    gramian: Float[Array, "P P"], c: Any, present: Bool[Array, " P"]
) -> Decision:
    rows = correlation(gramian)
    mean = shares(present)
    push = push_smallest_gain(rows, mean * rows.norms, c)
    return Decision(mean + push.weights * rows.per_norm, push.residual)
