"""Which leaves vary from one individual to the next."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._leaves import chosen

Where = Callable[[str, Any], bool]


def as_where(where: Any) -> Where | None:
    """The function that says which leaves vary; None for all."""
    if where is not None:
        _checks.check_function("where", where)
    return where


def taking_part(params: Any, where: Where | None) -> list[int]:
    """The numbers of the leaves of stacked weights that vary.

    Integers, booleans and keys never do. `where` sees one individual's shapes.
    """
    one = jax.tree.map(_of_one, params)
    numbers = list(range(len(jax.tree.leaves(one))))
    if where is not None:
        numbers = chosen(one, where, "where")
    leaves = jax.tree.leaves(one)
    return [n for n in numbers if jnp.issubdtype(leaves[n].dtype, jnp.inexact)]


def split(params: Any, where: Where | None) -> tuple[Any, Callable[..., Any]]:
    """The leaves that vary, and the function that puts them back among the others.

    The others are `optax.MaskedNode()` in the tree of the first.
    """
    leaves, treedef = jax.tree.flatten(params)
    numbers = taking_part(params, where)
    kept = [x if n in numbers else optax.MaskedNode() for n, x in enumerate(leaves)]
    varying = treedef.unflatten(kept)

    def join(tree: Any, others: Any = params) -> Any:
        rest = jax.tree.leaves(others)
        for number, leaf in zip(numbers, jax.tree.leaves(tree), strict=True):
            rest[number] = leaf
        return treedef.unflatten(rest)

    return varying, join


def _of_one(leaf: Any) -> jax.ShapeDtypeStruct:
    leaf = jnp.asarray(leaf)
    return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
