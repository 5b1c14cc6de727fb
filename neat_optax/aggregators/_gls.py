"""GLS: the geometric mean of the losses."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import read_losses, usable_losses
from neat_optax.aggregators._weighting import Players, stateless_weighting


def gls_weights(
    losses: Float[Array, " P"], present: Bool[Array, " P"] | None = None
) -> Float[Array, " P"]:
    r"""Weights of GLS, the slopes of the geometric mean.

    .. math:: w_i = \frac{1}{P L_i} \Bigl(\prod_j L_j\Bigr)^{1/P}

    Args:
      losses: [P] `L`, positive; others get the weight 0 and are not part of the mean.
      present: [P] bool.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> print(gls_weights(jnp.array([1.0, 4.0])).round(4))
      [1.   0.25]
    """
    losses, usable = usable_losses(losses, present)
    usable = usable & (losses > 0)
    count = jnp.maximum(jnp.sum(usable), 1)
    logs = jnp.where(usable, jnp.log(jnp.where(usable, losses, 1)), 0)
    return jnp.where(usable, jnp.exp(jnp.sum(logs) / count - logs) / count, 0)


@cites("chennupati2019multinet")
def gls(
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""GLS: the gradient of the geometric mean of the losses.

    .. math:: u = \nabla \Bigl(\prod_i L_i\Bigr)^{1/P} = \sum_i w_i\, g_i, \qquad
        w_i = \frac{1}{P L_i} \Bigl(\prod_j L_j\Bigr)^{1/P}

    The direction does not depend on the unit of any loss. It may conflict with players.
    Needs the extra argument `losses=`.

    Args:
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.gls()
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> losses = jnp.array([1.0, 4.0])
      >>> print(tx.update(g, tx.init(g[0]), losses=losses)[0].round(4))
      [0.75 1.  ]

    References:
      Chennupati et al., "MultiNet++: Multi-Stream Feature Aggregation and Geometric
      Loss Strategy for Multi-Task Learning", 2019. The geometric mean has no slope
      where a loss is zero, and none is defined for negative losses: such players are
      left out here, so that the update stays finite.
    """

    def decide(players: Players):
        return gls_weights(*read_losses(players))

    weighting = stateless_weighting(
        decide, "gls", needs_gramian=False, needs_losses=True
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
