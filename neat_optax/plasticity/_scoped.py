"""The leaves that take part: memories of them, and numbers added up over scopes."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax.scopes import Scope
from neat_optax.sparsity.masks import chosen

Where = Callable[[str, Any], bool]


def as_where(where: Any) -> Where:
    """The function that says which leaves take part: all, where it is None."""
    if where is None:
        return lambda path, leaf: True  # noqa: ARG005
    _checks.check_function("where", where)
    return where


def selected(tree: Any, where: Where) -> list[int]:
    """The numbers of the leaves that take part."""
    return chosen(tree, where, "where")


def zeros(tree: Any, where: Where, *, real: bool = False) -> Any:
    """A memory of the leaves that take part, in float32 or wider."""
    leaves, treedef = jax.tree.flatten(tree)
    memory: list[Any] = [optax.MaskedNode()] * len(leaves)
    for n in selected(tree, where):
        dtype = jnp.result_type(jnp.float32, leaves[n].dtype)
        dtype = jnp.finfo(dtype).dtype if real else dtype
        memory[n] = jnp.zeros_like(leaves[n], dtype=dtype)
    return treedef.unflatten(memory)


def groups(tree: Any, scope: Scope, numbers: Sequence[int]) -> list[int]:
    """For each of those leaves, the number of its scope, counted without gaps."""
    owners = scope.owners(tree)
    names = [owners[n] for n in numbers]
    order = {owner: index for index, owner in enumerate(dict.fromkeys(names))}
    return [order[owner] for owner in names]


def totals(owners: Sequence[int], numbers: Sequence[Any]) -> list[Any]:
    """For each leaf, the sum of `numbers` over all leaves of its scope."""
    sums: dict[int, Any] = {}
    for owner, number in zip(owners, numbers, strict=True):
        sums[owner] = sums[owner] + number if owner in sums else number
    return [sums[owner] for owner in owners]


def shortened(length: jax.Array, longest: jax.Array) -> jax.Array:
    """The factor that shortens `length` to `longest` where it is longer."""
    ratio = longest / jnp.where(length > longest, length, 1)
    return jnp.where(length > longest, ratio, 1.0)
