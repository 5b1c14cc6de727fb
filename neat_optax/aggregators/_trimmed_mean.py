"""The coordinate-wise trimmed mean.

Works on coordinates, not on inner products.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _blocks, _checks, _tree
from neat_optax._citing import cites
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._coordinates import Stacks, reduce_coordinates

_FEW = 128
"""Entries up to which keeping them in order takes less time than sorting all."""


def trimmed_mean_leaf(
    stack: Float[Array, "P ..."],
    present: Bool[Array, " P"],
    num_trimmed: int | jax.Array,
) -> Float[Array, " ..."]:
    r"""The trimmed mean of one real leaf.

    .. math:: u = \frac{1}{P - 2t} \sum_{k=t+1}^{P-t} g_{(k)}

    Args:
      stack: [P, ...].
      present: [P] bool.
      num_trimmed: `t`. With no more than `2t` present players it is lowered to what
        leaves one or two, the median; without any the result is zero.

    Returns:
      [...], float32 or wider.

    Example:
      >>> import jax.numpy as jnp
      >>> g = jnp.array([[1.0, 7.0], [2.0, 8.0], [9.0, -9.0]])
      >>> trimmed_mean_leaf(g, jnp.ones(3, bool), 1).tolist()
      [2.0, 7.0]
    """
    most = max(len(stack) - 1, 0) // 2
    if isinstance(num_trimmed, int):
        most = min(most, num_trimmed)
    return _trimmed_mean(stack, present, num_trimmed, most)


@functools.partial(jax.jit, static_argnames="most")
def _trimmed_mean(
    stack: jax.Array, present: jax.Array, num_trimmed: Any, most: int
) -> jax.Array:
    """The sum of what lies between the bounds, and of its share of what is on them.

    Outer entries are left out and not subtracted, which would lose the inner ones where
    the outer are huge. The shares are constants, so derivatives need no order.
    """
    count = jnp.sum(present)
    trimmed = jnp.clip(num_trimmed, 0, jnp.maximum(count - 1, 0) // 2)
    inner = (count - 2 * trimmed).astype(jnp.float32)
    fixed = jax.lax.stop_gradient(stack)
    low = _nth_smallest(1, fixed, present, trimmed, most)
    high = -_nth_smallest(-1, fixed, present, trimmed, most)

    def place(row: jax.Array, here: jax.Array) -> list[jax.Array]:
        places = (row <= low, row == low, row >= high, row == high)
        return [(here & x).astype(jnp.float32) for x in places]

    up_to_low, on_low, from_high, on_high = _blocks.sum_rows(place, fixed, present)
    wanted = jnp.where(low < high, up_to_low - trimmed, inner)
    of_low = wanted / jnp.maximum(on_low, 1)
    of_high = (from_high - trimmed) / jnp.maximum(on_high, 1)

    def keep(row: jax.Array, here: jax.Array) -> jax.Array:
        between = ((row > low) & (row < high)).astype(jnp.float32)
        share = jnp.where(row == high, of_high, between)
        share = jax.lax.stop_gradient(jnp.where(row == low, of_low, share))
        return jnp.where(here & (share > 0), share * _tree.widen(row), 0)

    return _blocks.sum_rows(keep, stack, present) / jnp.maximum(inner, 1)


def _nth_smallest(
    sign: int, stack: jax.Array, present: jax.Array, rank: jax.Array, most: int
) -> jax.Array:
    """The entry of a rank from 1 to `most` over the rows; minus infinity at rank 0.

    Of the rows times a sign.

    The smallest so far are kept in order, and each row is let in at its place:
    `max(kept[k - 1], min(kept[k], row))`, with no branch and no sort.
    """
    lowest = jnp.full_like(stack[:1], -jnp.inf)
    first = jnp.where(present[0], stack[0], 0)
    # Waits for the players, as a constant would not: see `_blocks.turns`.
    kept = jnp.full_like(stack[:most], jnp.inf) + (first - first)[None]

    def let_in(kept: jax.Array, new: Any) -> tuple[jax.Array, None]:
        row = jnp.where(new[1], sign * new[0], jnp.inf)[None]
        before = jnp.concatenate([lowest, kept])[:-1]
        return jnp.maximum(before, jnp.minimum(kept, row)), None

    if most > _FEW:
        here = present.reshape(-1, *[1] * (stack.ndim - 1))
        kept = jnp.sort(jnp.where(here, sign * stack, jnp.inf), axis=0)
    elif most:
        kept, _ = jax.lax.scan(let_in, kept, (stack, present))
    return jnp.concatenate([lowest, kept])[rank]


@cites("yin2018byzantine")
def trimmed_mean(num_trimmed: int) -> optax.GradientTransformationExtraArgs:
    r"""The coordinate-wise trimmed mean, robust to a bounded number of players.

    .. math:: u = \frac{1}{P - 2t} \sum_{k=t+1}^{P-t} g_{(k)}

    in each coordinate, with :math:`g_{(1)} \le \dots \le g_{(P)}` its entries in order.
    Bounds what `t` hostile players can do. Works on coordinates, not on inner products:
    it has no weights, needs no scope and may conflict with players.

    Args:
      num_trimmed: `t`, how many entries to drop at each end. 0 gives the mean, and the
        largest `t` below `P / 2` the median.

    Returns:
      A transformation. `update` takes the extra argument `present=` ([P] bool); absent
      players, and those that are not finite, are left out. Where that leaves no more
      than `2t` players, the update is their median, and with none it is zero. The parts
      of a complex coordinate are ordered separately.

    Raises:
      ValueError: at trace time, if there are no more than `2t` players.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.trimmed_mean(1)
      >>> g = jnp.array([[1.0, 7.0], [2.0, 8.0], [9.0, -9.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [2.0, 7.0]

    References:
      Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical
      Rates", 2018, Definition 2.
    """
    _checks.check_count("num_trimmed", num_trimmed)

    def reduction(stacks: Stacks, state: Any):
        _check_enough(len(stacks.present), num_trimmed)

        def reduce_block(block: jax.Array, present: jax.Array, _: None) -> jax.Array:
            return trimmed_mean_leaf(block, present, num_trimmed)

        return stacks.map_leaves(reduce_block), state

    return reduce_coordinates(reduction)


def _check_enough(num_players: int, num_trimmed: int) -> None:
    if isinstance(num_trimmed, jax.Array):
        return
    if num_players <= 2 * num_trimmed:
        raise ValueError(
            f"`updates` must have more than 2 * num_trimmed = {2 * num_trimmed} "
            f"players, got {num_players}."
        )
