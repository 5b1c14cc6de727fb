"""GradDrop: gradient sign dropout, coordinate-wise.

Works on coordinates, not on inner products.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _blocks, _tree
from neat_optax._citing import cites
from neat_optax._random import as_key
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._coordinates import Stacks, reduce_coordinates
from neat_optax.aggregators._entries import check_entries, spread


@jax.jit
def graddrop_leaf(
    stack: Float[Array, "P ..."],
    present: Bool[Array, " P"],
    uniform: Float[Array, " ..."],
    leak: Float[Array, " P"],
) -> Float[Array, " ..."]:
    r"""GradDrop of one real leaf.

    .. math:: u = \sum_i \bigl(l_i + (1 - l_i) M_i\bigr)\, g_i

    where, in each coordinate, the mask :math:`M` is 1 for the positive entries if
    :math:`U \sum_i |g_i| < \sum_i \max(g_i, 0)`, and else for the negative entries.

    Args:
      stack: [P, ...].
      present: [P] bool.
      uniform: [...] `U`, numbers in [0, 1).
      leak: [P] `l`, in [0, 1].

    Returns:
      [...], float32 or wider.

    Example:
      >>> import jax.numpy as jnp
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> everyone, draws = jnp.ones(2, bool), jnp.array([0.6, 0.6])
      >>> graddrop_leaf(g, everyone, draws, jnp.zeros(2)).tolist()
      [-1.0, 1.0]
    """

    def signs(row: jax.Array, here: jax.Array, leak: jax.Array) -> list[jax.Array]:
        row = jnp.where(here, _tree.widen(row), 0)
        up, down = jnp.maximum(row, 0), jnp.minimum(row, 0)
        return [up, down, leak * up, leak * down]

    ups, downs, leaked_ups, leaked_downs = _blocks.sum_rows(signs, stack, present, leak)
    upwards = ups * (1 - uniform) > -downs * uniform
    return jnp.where(upwards, ups + leaked_downs, downs + leaked_ups)


@cites("chen2020just")
def graddrop(
    leak: Any = 0.0, *, key: jax.Array | int = 0
) -> optax.GradientTransformationExtraArgs:
    r"""GradDrop: keeps one randomly drawn sign in each coordinate (sign dropout).

    .. math:: u = \sum_i \bigl(l_i + (1 - l_i) M_i\bigr)\, g_i, \qquad
        P(+) = \frac12 \left(1 + \frac{\sum_i g_i}{\sum_i |g_i|}\right)

    where the mask `M`, drawn for each coordinate in each step, is 1 for the positive
    entries with probability `P(+)` and else for the negative entries. So more weight on
    one side makes it more likely, and the kept entries add up. Works on coordinates,
    not on inner products: it has no weights, needs no scope and may conflict with
    players. Where all entries are zero, so is the update.

    Args:
      leak: `l`, how much of each gradient passes whatever its sign: a number in
        [0, 1], one for each player, or a schedule. 1 for all gives the sum.
      key: a random key or a seed. The state holds the key, split in every step.

    Returns:
      A transformation. `update` takes the extra argument `present=` ([P] bool); absent
      players, and those that are not finite, are left out. The parts of a complex
      coordinate are drawn separately.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.graddrop(key=0)
      >>> g = jnp.array([[1.0, 1.0], [3.0, 0.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [4.0, 1.0]

    References:
      Chen et al., "Just Pick a Sign: Optimizing Deep Multitask Models with Gradient
      Sign Dropout", 2020, eq. 1 and Algorithm 1. The paper drops gradients of shared
      activations, multiplied by the signs of these; here gradients of parameters are
      dropped, as in TorchJD. The probability is compared without a division, so zero
      coordinates need no epsilon.
    """
    check_entries("leak", leak, "[0, 1]")

    def reduction(stacks: Stacks, state: jax.Array):
        later, *keys = jax.random.split(state, len(stacks.leaves) + 1)
        amount = value_at(leak, stacks.step)
        leaks = spread("leak", amount, len(stacks.present))
        draws = [
            jax.random.uniform(now, leaf.shape[1:])
            for now, leaf in zip(keys, stacks.leaves, strict=True)
        ]

        def reduce_block(block: jax.Array, present: jax.Array, draw: jax.Array):
            return graddrop_leaf(block, present, draw, leaks)

        return stacks.map_leaves(reduce_block, draws), later

    return reduce_coordinates(reduction, lambda: as_key(key))
