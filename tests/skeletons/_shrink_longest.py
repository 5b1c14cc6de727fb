"""Shrink-longest: clips gradients to the median of their norms, then averages them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._weighting import everyone, shares, stateless_weighting


def shrink_longest_weights(
    gramian: Float[Array, "P P"],
    factor: Any = 1.0,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of `shrink_longest`.

    .. math:: w_i = \frac1P \min\left(1, \frac{c\, m}{|g_i|}\right)

    Args:
      gramian: [P, P], inner products of the gradients. Zero rows get the weight 0.
      factor: positive `c`.
      present: [P] bool; absent players have zero rows, and the weight 0.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> print(shrink_longest_weights(jnp.diag(jnp.array([1.0, 1.0, 16.0]))).round(3))
      [0.333 0.333 0.083]
    """
    present = everyone(gramian, present)
    norms = correlation(gramian).norms
    ordered = jnp.sort(jnp.where(present, norms, jnp.inf))
    median = ordered[jnp.maximum(jnp.sum(present) - 1, 0) // 2]
    # A ratio of norms: the gradients' unit cancels, and no epsilon is needed.
    return shares(present) * jnp.minimum(1, factor * _tree.safe_divide(median, norms))


def shrink_longest(
    factor: optax.ScalarOrSchedule = 1.0,
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Shrink-longest: the mean of gradients clipped to the median of their norms.

    .. math:: u = \frac1P \sum_i \min\left(1, \frac{c\, m}{|g_i|}\right) g_i

    with `m` the lower median of the norms of the present players. No player moves the
    update by more than `c m / P`. May conflict with players.

    Args:
      factor: positive `c`, or a schedule.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = shrink_longest()
      >>> g = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 6.0]])
      >>> print(tx.update(g, tx.init(g[0]))[0].round(4))
      [0.3333 0.6667]

    References:
      Sun et al., "Can You Really Backdoor Federated Learning?", 2019, norm
      thresholding. There the threshold is fixed; here it is the median, without a unit.
    """
    _checks.check_number("factor", factor, "(0, inf)")
    weighting = stateless_weighting(
        lambda players: shrink_longest_weights(
            players.gramian, value_at(factor, players.step), players.present
        ),
        "shrink_longest",
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
