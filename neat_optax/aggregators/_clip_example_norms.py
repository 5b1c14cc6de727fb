"""Per-example clipping: the mean of gradients that are shortened to a longest norm."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks, _leaves, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._weighting import everyone, shares, stateless_weighting


def clip_example_norms_weights(
    gramian: Float[Array, "P P"],
    max_norm: Any,
    preference: Any = None,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of `clip_example_norms`.

    .. math:: w_i = p_i \min\left(1, \frac{c}{|g_i|}\right)

    Args:
      gramian: [P, P], of which the diagonal is read: the squared norms. A zero gradient
        is not shortened.
      max_norm: positive `c`, in the unit of the norms.
      preference: nonnegative `p` [P]; by default `1 / P` of the present players.
      present: [P] bool; absent players get the weight 0.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> squares = jnp.diag(jnp.array([1.0, 16.0]))
      >>> clip_example_norms_weights(squares, 2.0).tolist()
      [0.5, 0.25]
    """
    norms = _tree.root(jnp.maximum(jnp.diagonal(gramian), 0))
    shortened = _leaves.shortened(norms, max_norm)
    return shares(everyone(gramian, present), preference) * shortened


@cites("abadi2016deep", "goodfellow2015efficient")
def clip_example_norms(
    max_norm: optax.ScalarOrSchedule,
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""The mean of the players' gradients, each clipped to a norm first.

    .. math:: u = \frac1P \sum_i \min\left(1, \frac{c}{|g_i|}\right) g_i

    No player moves the update by more than `c / P`, and the update is no longer than
    `c`. May conflict with players. Only norms are measured, no products between
    players, and of gradients that are kept as factors
    (`value_and_example_grads(factored=True)`) neither these nor the clipped ones are
    formed: ghost clipping. There is no noise, and no accounting of privacy.

    Args:
      max_norm: positive `c`, or a schedule.
      preference: nonnegative weights to use instead of `1 / P`, taken as they are.
        Overridden by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`. Each scope is clipped by its own
        norm; `monitor=True` measures all products.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.clip_example_norms(1.0)
      >>> g = jnp.array([[0.0, 0.5], [4.0, 0.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [0.5, 0.25]

    References:
      Abadi et al., "Deep Learning with Differential Privacy", 2016, algorithm 1 without
      its noise. Goodfellow, "Efficient Per-Example Gradient Computations", 2015, for
      norms from factors. The mean is over the present players, where
      `optax.contrib.differentially_private_aggregate` divides by all of them.
    """
    _checks.check_number("max_norm", max_norm, "(0, inf)")
    _checks.check_preference("preference", preference)
    weighting = stateless_weighting(
        lambda players: clip_example_norms_weights(
            players.gramian,
            value_at(max_norm, players.step) / players.scale,
            preference if players.preference is None else players.preference,
            players.present,
        ),
        "clip_example_norms",
        needs_gramian=False,
        needs_norms=True,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
