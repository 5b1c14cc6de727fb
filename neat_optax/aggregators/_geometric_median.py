"""The geometric median: minimizes the sum of distances to the gradients."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._weighting import (
    Decision,
    everyone,
    shares,
    stateless_weighting,
)

NUM_STEPS = 200
NEAREST = 1e-6
"""Distances below this share of the largest norm count as this share: without a bound
the median's weight on a player that it reaches would be infinite."""


def geometric_median_weights(
    gramian: Float[Array, "P P"],
    preference: Any = None,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of the geometric median.

    .. math:: w_i \propto \frac{p_i}{|g_i - u|}, \qquad \sum_i w_i = 1

    Args:
      gramian: [P, P], inner products of the gradients.
      preference: [P] nonnegative `p`; equal by default.
      present: [P] bool; absent players get the weight 0.

    Returns:
      [P] weights of the gradients, with the sum 1.

    Example:
      >>> import jax.numpy as jnp
      >>> g = jnp.array([[0.0], [1.0], [9.0]])
      >>> print((geometric_median_weights(g @ g.T) @ g).round(3))
      [1.]
    """
    return _decide(gramian, shares(everyone(gramian, present), preference)).weights


@cites("pillutla2022robust")
def geometric_median(
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""The geometric median of the gradients, robust to a minority of players.

    .. math:: u = \operatorname*{arg\,min}_d \sum_i p_i\, |g_i - d|

    Fewer than half of the players, whatever they send, cannot move it arbitrarily far.
    Weiszfeld's iteration, run on the Gramian: every iterate is a convex combination of
    the gradients. The measures' residual is what is left of the sum of unit vectors.

    Args:
      preference: nonnegative `p`; equal by default. Overridden by the extra argument
        `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.geometric_median()
      >>> g = jnp.array([[0.0], [1.0], [9.0]])
      >>> print(tx.update(g, tx.init(g[0]))[0].round(3))
      [1.]

    References:
      Pillutla, Kakade and Harchaoui, "Robust Aggregation for Federated Learning", 2022,
      Algorithm 2. Their smoothing constant is absolute; here it is relative.
    """
    _checks.check_preference("preference", preference)
    weighting = stateless_weighting(
        lambda players: _decide(players.gramian, players.shares(preference)),
        "geometric_median",
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(gramian: Float[Array, "P P"], preference: Float[Array, " P"]) -> Decision:
    gramian = _tree.widen(gramian)
    norms = jnp.diagonal(gramian)
    preference = _tree.safe_divide(preference, jnp.sum(preference))
    floor = NEAREST * _tree.root(jnp.max(norms))

    def pulls(weights: Float[Array, " P"]):
        products = jnp.matmul(gramian, weights, precision="highest")
        # |g_i - u|^2 = G_ii - 2 (G w)_i + w'Gw
        squared = norms - 2 * products + weights @ products
        distances = jnp.maximum(_tree.root(jnp.maximum(squared, 0)), floor)
        return _tree.safe_divide(preference, distances)

    def body(_: jax.Array, weights: Float[Array, " P"]):
        pull = pulls(weights)
        return _tree.safe_divide(pull, jnp.sum(pull))

    start = _tree.varying_like(preference, gramian)
    weights = jax.lax.fori_loop(0, NUM_STEPS, body, start)
    weights = jnp.where(floor > 0, weights, preference)
    left = pulls(weights) - jnp.sum(pulls(weights)) * weights
    squared = left @ jnp.matmul(gramian, left, precision="highest")
    return Decision(weights, _tree.root(jnp.maximum(squared, 0)))
