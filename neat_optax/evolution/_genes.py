"""Which leaves vary from one individual to the next."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax._leaves import Mask, chosen


def taking_part(params: Any, mask: Mask | None) -> list[int]:
    """The numbers of the leaves of stacked weights that vary.

    Integers, booleans and keys never do. A function for a mask sees one individual's
    shapes.
    """
    one = jax.tree.map(_of_one, params)
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(one)]
    return [n for n in chosen(one, mask) if jnp.issubdtype(dtypes[n], jnp.inexact)]


def split(params: Any, mask: Mask | None) -> tuple[Any, Callable[..., Any]]:
    """The leaves that vary, and the function that puts them back among the others.

    The others are `optax.MaskedNode()` in the tree of the first.
    """
    leaves, treedef = jax.tree.flatten(params)
    numbers = taking_part(params, mask)
    kept = [x if n in numbers else optax.MaskedNode() for n, x in enumerate(leaves)]
    varying = treedef.unflatten(kept)

    def join(tree: Any, others: Any = params) -> Any:
        rest = jax.tree.leaves(others)
        for number, leaf in zip(numbers, jax.tree.leaves(tree), strict=True):
            rest[number] = leaf
        return treedef.unflatten(rest)

    return varying, join


def _of_one(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf))
