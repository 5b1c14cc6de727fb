"""GradVac: aligns pairs of gradients to an EMA of their cosines."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._random import as_key
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Float, Int
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._orders import fixed_orders, random_orders
from neat_optax.aggregators._weighting import Players, Weighting, as_decision


class GradVacState(NamedTuple):
    """State of the weighting of `gradvac`."""

    targets: jax.Array  # [P, P] average cosines
    key: Any


def gradvac_weights(
    gramian: Float[Array, "P P"],
    targets: Float[Array, "P P"] | None = None,
    orders: Int[Array, "P P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of GradVac.

    Every player starts from its own gradient `v` and meets the others in turn. Where
    the cosine :math:`\phi` with `g_j` is below its target :math:`\hat\phi`, the
    multiple of `g_j` is added that raises it to the target:

    .. math:: v \leftarrow v + \frac{|v| (\hat\phi \sqrt{1 - \phi^2}
        - \phi \sqrt{1 - \hat\phi^2})}{|g_j| \sqrt{1 - \hat\phi^2}}\, g_j

    Args:
      gramian: [P, P], inner products of the gradients.
      targets: [P, P] in (-1, 1); zeros by default, which is PCGrad.
      orders: [P, P] int, as for `pcgrad_weights`.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> weights = gradvac_weights(jnp.array([[2.0, -1.0], [-1.0, 1.0]]))
      >>> [round(x, 4) for x in weights.tolist()]
      [1.5, 2.0]
    """
    return gradvac_step(gramian, targets, 1.0, orders)[0]


def gradvac_step(
    gramian: Float[Array, "P P"],
    targets: Float[Array, "P P"] | None = None,
    decay: Any = 0.5,
    orders: Int[Array, "P P"] | None = None,
) -> tuple[Float[Array, " P"], Float[Array, "P P"]]:
    """The weights of `gradvac_weights`, and the next targets.

    Args:
      gramian, targets, orders: see `gradvac_weights`.
      decay: share of the old target in the new one, in [0, 1].

    Returns:
      [P] weights of the gradients, and [P, P] targets.
    """
    rows = correlation(gramian)
    count = len(gramian)
    orders = fixed_orders(count) if orders is None else orders
    aims = jnp.zeros((count, count)) if targets is None else targets

    def met_by(
        start: Float[Array, " P"],
        order: Int[Array, " P"],
        own_targets: Float[Array, " P"],
    ):
        def meet(index: jax.Array, carry: tuple[jax.Array, jax.Array]):
            held, aims = carry
            other = order[index]
            aim = aims[other]
            cosine, added = _turn(rows.matrix, held, other, aim)
            meets = (
                (other != jnp.argmax(start)) & rows.active[other] & jnp.any(start > 0)
            )
            held = held.at[other].add(jnp.where(meets & (cosine < aim), added, 0))
            new_aim = decay * aim + (1 - decay) * cosine
            return held, aims.at[other].set(jnp.where(meets, new_aim, aim))

        return jax.lax.fori_loop(0, count, meet, (start, own_targets))

    starts = jnp.diag(rows.active.astype(rows.norms.dtype))
    aims = _tree.varying_like(aims.astype(starts.dtype), rows.matrix)
    held, aims = jax.vmap(met_by)(starts, orders, aims)
    weights = jnp.matmul(rows.norms, held, precision="highest") * rows.per_norm
    return weights, aims


@cites("wang2021gradient")
def gradvac_weighting(
    decay: optax.ScalarOrSchedule = 0.5,
    *,
    num_players: int,
    key: jax.Array | int | None = 0,
) -> Weighting:
    """The weighting of `gradvac`, for `aggregate` and `cr_mogm`."""
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("decay", decay, "[0, 1]")

    def init(_: Any):
        targets = jnp.zeros((num_players, num_players), jnp.float32)
        return GradVacState(targets, () if key is None else as_key(key))

    def decide(players: Players, state: GradVacState):
        now, later, orders = None, (), None
        if key is not None:
            now, later = jax.random.split(state.key)
            orders = random_orders(now, num_players)
        weights, targets = gradvac_step(
            players.gramian, state.targets, value_at(decay, players.step), orders
        )
        return as_decision(weights), GradVacState(targets, later)

    return Weighting("gradvac", init, decide)


def gradvac(
    decay: optax.ScalarOrSchedule = 0.5,
    *,
    num_players: int,
    key: jax.Array | int | None = 0,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""GradVac: PCGrad that aligns pairs of gradients to an EMA of their cosines.

    .. math:: u = \sum_i v_i, \qquad \hat\phi_{ij} \leftarrow
        \beta\, \hat\phi_{ij} + (1 - \beta)\, \phi_{ij}

    with `v_i` as in `gradvac_weights`. The first step, with all targets 0, is PCGrad.
    Two players whose cosine was ever a target of exactly 1 or -1 cannot be turned to it
    and are left as they are.

    Args:
      decay: :math:`\beta` in [0, 1], or a schedule. In the paper, `1 - decay` is
        called beta.
      num_players: `P`.
      key: a random key or a seed, for an order drawn anew in every step; None for the
        order of the players' numbers.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.gradvac(num_players=2)
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> [round(x, 4) for x in tx.update(g, tx.init(g[0]))[0].tolist()]
      [-0.5, 1.5]

    References:
      Wang et al., "Gradient Vaccine", 2021, eq. 3 and 4.
    """
    weighting = gradvac_weighting(decay, num_players=num_players, key=key)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _turn(
    matrix: Float[Array, "P P"],
    held: Float[Array, " P"],
    other: jax.Array,
    aim: jax.Array,
):
    """The cosine of `held` with a unit row, and how much of it to add for `aim`."""
    products = jnp.matmul(matrix, held, precision="highest")
    length = _tree.root(jnp.maximum(held @ products, 0))
    cosine = jnp.clip(_tree.safe_divide(products[other], length), -1.0, 1.0)
    across, aim_across = _tree.root(1 - cosine**2), _tree.root(1 - aim**2)
    added = length * _tree.safe_divide(aim * across - cosine * aim_across, aim_across)
    return cosine, added
