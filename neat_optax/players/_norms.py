"""Lengths of the players' gradients."""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _checks, _factored, _tree
from neat_optax.aggregators._gramian import Group, squared_norms


def example_norms(gradients: Any, *, each_leaf: bool = False) -> Any:
    r"""The norm of every player's gradient.

    .. math:: n_i = |g_i| = \Bigl(\sum_l |g_{il}|^2\Bigr)^{1/2}

    A leaf that is kept as factors, as `value_and_example_grads(factored=True)` returns
    it, is not formed. Squares that would overflow or vanish are taken of gradients
    which are scaled first, all by the same number.

    Args:
      gradients: a tree with a leading player axis [P, ...] on every leaf.
      each_leaf: whether to return the norm of every leaf instead of that of the tree.

    Returns:
      [P] in float32 or wider, or a tree of such arrays with the structure of the
      parameters. Of a player with a NaN or an infinite entry it is NaN or infinite.

    Raises:
      ValueError: at trace time, if the leaves have no common leading axis.

    Example:
      >>> import jax.numpy as jnp
      >>> w, b = jnp.array([[3.0, 0.0], [0.0, 1.0]]), jnp.array([4.0, 0.0])
      >>> gradients = {"w": w, "b": b}
      >>> example_norms(gradients).tolist()
      [5.0, 1.0]
      >>> example_norms(gradients, each_leaf=True)["b"].tolist()
      [4.0, 0.0]

    References:
      Goodfellow, "Efficient Per-Example Gradient Computations", 2015, for dense layers.
    """
    _checks.check_bool("each_leaf", each_leaf)
    leaves, treedef = _factored.flatten(gradients)
    _checks.check_players(_factored.specs(gradients), None)
    if not leaves:
        return gradients if each_leaf else jnp.zeros((0,), jnp.float32)
    parts = [[leaf] for leaf in leaves] if each_leaf else [leaves]
    norms = _lengths([Group(part, None, None) for part in parts])
    return treedef.unflatten(list(norms)) if each_leaf else norms[0]


@jax.jit
def _lengths(groups: list[Group]) -> jax.Array:
    """[S, P]: of the gradients of every scope."""
    squares, factors, _ = squared_norms(groups)
    return _tree.root(squares) / factors[:, None]
