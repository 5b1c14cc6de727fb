"""ExcessMTL's risks: how much a gradient still moves, by its history."""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree

LARGEST = 1e30
"""Bound on risks, so that products with them stay finite."""


def blank_roots(params: Any, num_players: int) -> Any:
    """The roots before the first step: real zeros [P, ...], float32 or wider."""

    def zeros(x: Any):
        dtype = jnp.finfo(jnp.result_type(jnp.float32, x)).dtype
        return jnp.zeros((num_players, *jnp.shape(x)), dtype)

    return jax.tree.map(zeros, params)


def measure_risks(updates: Any, roots: Any) -> tuple[Any, jax.Array]:
    r"""The next roots, and each player's excess risk.

    .. math:: E_i = \sum_n \frac{g_{in}^2}{r_{in}}, \qquad
        r_{in} \leftarrow \sqrt{r_{in}^2 + g_{in}^2}

    A zero over zero counts as zero.

    Args:
      updates: a tree of arrays [P, ...] with at least one leaf.
      roots: `r` before, a tree like it.

    Returns:
      `r`, and `E` [P].
    """
    leaves, treedef = jax.tree.flatten(roots)
    pairs = zip(jax.tree.leaves(updates), leaves, strict=True)
    grown, parts = zip(*(_measure_leaf(g, root) for g, root in pairs), strict=True)
    risks = jnp.minimum(jnp.sum(jnp.stack(parts), axis=0), LARGEST)
    return treedef.unflatten(grown), risks


@jax.jit
def _measure_leaf(g: jax.Array, root: jax.Array):
    lengths = jnp.abs(_tree.widen(g))
    # On a mesh with explicit axes hypot wants both sharded alike; a sum makes them so.
    grown = jnp.hypot(root + jnp.zeros_like(lengths), lengths)
    each = lengths * _tree.safe_divide(lengths, grown)
    return grown, jnp.sum(each, axis=tuple(range(1, g.ndim)))
