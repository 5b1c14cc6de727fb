"""PCGrad: projects away the components of gradients that conflict."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._random import as_key
from neat_optax._typing import Array, Float, Int
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._orders import fixed_orders, random_orders
from neat_optax.aggregators._weighting import Players, Weighting, as_decision


def pcgrad_weights(
    gramian: Float[Array, "P P"], orders: Int[Array, "P P"] | None = None
) -> Float[Array, " P"]:
    r"""Weights of PCGrad.

    Every player starts from its own gradient, meets the others in turn, and loses its
    component along each whose gradient it opposes:

    .. math:: v \leftarrow v - \frac{v \cdot g_j}{g_j \cdot g_j}\, g_j
        \quad\text{if } v \cdot g_j < 0

    Args:
      gramian: [P, P], inner products of the gradients.
      orders: [P, P] int, row `i` is the order in which player `i` meets all players,
        itself among them; by default the order of their numbers.

    Returns:
      [P] weights of the gradients, each at least 1 for a gradient that is not zero.

    Example:
      >>> import jax.numpy as jnp
      >>> print(pcgrad_weights(jnp.array([[2.0, -1.0], [-1.0, 1.0]])).round(5))
      [1.5 2. ]
    """
    rows = correlation(gramian)
    if orders is None:
        orders = fixed_orders(len(gramian))

    def met_by(player: jax.Array, start: Float[Array, " P"], order: Int[Array, " P"]):
        def meet(index: jax.Array, held: Float[Array, " P"]):
            other = order[index]
            opposed = jnp.minimum(held @ rows.matrix[other], 0)
            return held.at[other].add(jnp.where(other == player, 0, -opposed))

        return jax.lax.fori_loop(0, len(order), meet, start)

    starts = jnp.diag(rows.active.astype(rows.norms.dtype))
    held = jax.vmap(met_by)(jnp.arange(len(starts)), starts, orders)
    return jnp.matmul(rows.norms, held, precision="highest") * rows.per_norm


@cites("yu2020gradient")
def pcgrad_weighting(*, key: jax.Array | int | None = 0) -> Weighting:
    """The weighting of `pcgrad`, for `aggregate` and `cr_mogm`."""
    if key is None:
        return Weighting(
            "pcgrad",
            lambda _: (),
            lambda players, state: (
                as_decision(pcgrad_weights(players.gramian)),
                state,
            ),
        )

    def decide(players: Players, state: jax.Array):
        now, later = jax.random.split(state)
        orders = random_orders(now, len(players.gramian))
        return as_decision(pcgrad_weights(players.gramian, orders)), later

    return Weighting("pcgrad", lambda _: as_key(key), decide)


def pcgrad(
    *,
    key: jax.Array | int | None = 0,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""PCGrad: projects each gradient onto the normal planes of those it opposes.

    .. math:: u = \sum_i v_i, \qquad
        v_i \leftarrow v_i - \frac{v_i \cdot g_j}{g_j \cdot g_j}\, g_j
        \quad\text{if } v_i \cdot g_j < 0, \text{ for } j \ne i

    Never conflicts between two players; with three or more it may, and depends on the
    order in which they meet.

    Args:
      key: a random key or a seed, for an order drawn anew for every player in every
        step; None for the order of the players' numbers. All scopes use the same draw.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.pcgrad()
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> [round(x, 4) for x in tx.update(g, tx.init(g[0]))[0].tolist()]
      [-0.5, 1.5]

    References:
      Yu et al., "Gradient Surgery for Multi-Task Learning", 2020, Algorithm 1. The sum,
      as there; some implementations take the mean.
    """
    weighting = pcgrad_weighting(key=key)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
