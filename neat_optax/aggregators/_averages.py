"""Weights that do not look at the gradients: mean, sum, constant and random."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._random import as_key
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._weighting import (
    Players,
    Weighting,
    as_decision,
    everyone,
    shares,
    stateless_weighting,
)


def mean_weights(
    gramian: Float[Array, "P P"],
    preference: Any = None,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    """`1 / P` for each of the `P` present players, or their preference."""
    return shares(everyone(gramian, present), preference)


def sum_weights(
    gramian: Float[Array, "P P"], present: Bool[Array, " P"] | None = None
) -> Float[Array, " P"]:
    """1 for each present player."""
    return everyone(gramian, present).astype(jnp.float32)


def constant_weights(
    gramian: Float[Array, "P P"], weights: Any, present: Bool[Array, " P"] | None = None
) -> Float[Array, " P"]:
    """The given weights, 0 for absent players."""
    weights = jnp.asarray(weights, jnp.float32)
    _checks.check_per_player("weights", weights, len(gramian))
    return jnp.where(everyone(gramian, present), weights, 0)


def random_weights(
    gramian: Float[Array, "P P"],
    key: jax.Array,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    """The softmax of one standard normal number for each present player."""
    logits = jax.random.normal(key, (len(gramian),))
    present = everyone(gramian, present)
    return jnp.where(present, jax.nn.softmax(logits, where=present), 0)


def mean(
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""The mean of the players' gradients: the baseline of every other aggregator.

    .. math:: u = \frac1P \sum_i g_i

    Guarantees nothing where gradients conflict. Reads the gradients once, and a second
    time to find players that are not finite.

    Args:
      preference: nonnegative weights to use instead of `1 / P`, taken as they are.
        Overridden by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.mean()
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [0.0, 0.5]
    """
    _checks.check_preference("preference", preference)
    weighting = stateless_weighting(
        lambda players: players.shares(preference), "mean", needs_gramian=False
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def sum(
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""The sum of the players' gradients, the gradient of the sum of the losses.

    .. math:: u = \sum_i g_i

    Args:
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.sum()
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [0.0, 1.0]
    """
    weighting = stateless_weighting(
        lambda players: sum_weights(players.gramian, players.present),
        "sum",
        needs_gramian=False,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def constant(
    weights: Any,
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""A fixed weighted sum of the players' gradients.

    .. math:: u = \sum_i w_i\, g_i

    Args:
      weights: `w` [P], finite numbers of any sign; those of absent players are left
        out, and not shared among the others.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.constant((0.5, 2.0))
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [-1.5, 0.5]
    """
    _checks.check_numbers("weights", weights)
    weighting = stateless_weighting(
        lambda players: constant_weights(players.gramian, weights, players.present),
        "constant",
        needs_gramian=False,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


@cites("lin2022reasonable")
def random(
    *,
    key: jax.Array | int = 0,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Random loss weighting: draws new weights in every step.

    .. math:: u = \sum_i w_i\, g_i, \qquad w = \operatorname{softmax}(z),
        \quad z \sim \mathcal N(0, I)

    A baseline for any aggregator that costs more. All scopes use the same draw.

    Args:
      key: a random key or a seed.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.random(key=0)
      >>> g = jnp.ones((3, 2))
      >>> print(tx.update(g, tx.init(g[0]))[0].round(5))
      [1. 1.]

    References:
      Lin et al., "Reasonable Effectiveness of Random Weighting", 2022, section 3.
    """

    def decide(players: Players, state: jax.Array):
        now, later = jax.random.split(state)
        weights = random_weights(players.gramian, now, players.present)
        return as_decision(weights), later

    weighting = Weighting("random", lambda _: as_key(key), decide, needs_gramian=False)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
