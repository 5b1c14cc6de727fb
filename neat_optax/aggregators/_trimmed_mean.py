"""The coordinate-wise trimmed mean.

Works on coordinates, not on inner products.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._coordinates import Stacks, reduce_coordinates


@jax.jit
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
    shape = (-1, *[1] * (stack.ndim - 1))
    ordered = jnp.sort(jnp.where(present.reshape(shape), stack, jnp.inf), axis=0)
    count = jnp.sum(present)
    trimmed = jnp.clip(num_trimmed, 0, jnp.maximum(count - 1, 0) // 2)
    rank = jnp.arange(len(stack)).reshape(shape)
    inner = (rank >= trimmed) & (rank < count - trimmed)
    wide = jnp.result_type(jnp.float32, stack)
    share = 1 / jnp.maximum(count - 2 * trimmed, 1).astype(wide)
    return jnp.sum(jnp.where(inner, ordered, 0), axis=0, dtype=wide) * share


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

        def reduce_block(block: jax.Array, present: jax.Array) -> jax.Array:
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
