"""Rows of stacked arrays, which stay sharded as the arrays are."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _blocks, _tree

_SHORT = 64
"""Entries along an axis, below which a compiled loop along it is slow."""


def take(leaf: Any, indices: Any) -> jax.Array:
    """The rows of `leaf` at `indices`: an array [m] of them, or one.

    One row is on all devices that hold the rows.
    """
    leaf, indices = jnp.asarray(leaf), jnp.asarray(indices)
    sharding = _tree.explicit_sharding(leaf)
    if sharding is None:
        return leaf[indices]
    first = sharding.spec[:1] if indices.ndim else (None,)
    spec = jax.sharding.PartitionSpec(*first, *sharding.spec[1:])
    wanted = jax.sharding.NamedSharding(sharding.mesh, spec)
    rows = leaf.at[jnp.atleast_1d(indices)].get(out_sharding=wanted)
    return rows if indices.ndim else rows[0]


def rearrange(leaf: Any, indices: jax.Array) -> jax.Array:
    """As many rows of `leaf` as it has.

    A row that stays where it is comes from the leaf itself. Without this the compiler
    would not see that rows belong where the leaf has its own, and would gather them on
    every device of a mesh with automatic axes.
    """
    stays = indices == jnp.arange(indices.shape[0])
    return jnp.where(per_row(stays, leaf), leaf, take(leaf, indices))


def placed(values: Any, leaf: Any) -> jax.Array:
    """Values of a leaf's shape, sharded as it is."""
    sharding = _tree.explicit_sharding(leaf)
    return values if sharding is None else jax.reshard(values, sharding)


def specs_of_rows(tree: Any) -> Any:
    """How leaves lie of which only the rows are divided, as those of the first leaf.

    Numbers are everyone's. None without explicit axes.
    """
    sharding = _tree.explicit_sharding(jax.tree.leaves(tree)[0])
    if sharding is None:
        return None
    rows = jax.sharding.PartitionSpec(*sharding.spec[:1])
    everyones = jax.sharding.PartitionSpec()
    return jax.tree.map(lambda leaf: rows if jnp.ndim(leaf) else everyones, tree)


def mapped(function: Callable, batch_size: int | None, rows: tuple) -> Any:
    """The function of one row of each tree, for all rows, so many at the same time."""
    if batch_size is None:
        return jax.vmap(function)(*rows)
    return jax.lax.map(lambda one: function(*one), rows, batch_size=batch_size)


def at_a_time(leaf: jax.Array) -> int | None:
    """How many rows are drawn together where all would take much memory."""
    rows, size = leaf.shape[0], leaf.size
    if size <= _blocks.TURN or not _blocks.in_blocks():
        return None
    most = max(_blocks.TURN * rows // size, 1)
    return next(n for n in range(most, 0, -1) if rows % n == 0)


def per_row(values: Any, leaf: Any) -> jax.Array:
    """An array [n], one value for each row, as an array that broadcasts to `leaf`."""
    columns = jnp.reshape(values, (-1, *[1] * (jnp.ndim(leaf) - 1)))
    if _tree.explicit_sharding(leaf) is None:
        return columns
    return placed(jnp.broadcast_to(columns, jnp.shape(leaf)), leaf)


def joined(array: jax.Array, axes: int = 1) -> jax.Array:
    """The array with its last axes as one while the last is short.

    Compiled loops run along the last axis, and take no vectors where it has few
    entries. The first `axes` stay; so do explicitly sharded arrays.
    """
    if _tree.explicit_sharding(array) is not None:
        return array
    *shape, last = array.shape or (1,)
    while len(shape) > axes and last < _SHORT:
        last *= shape.pop()
    return array.reshape(*shape, last)


def parted(array: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """What was computed of joined arrays, with all axes again.

    The compiler is kept from computing it along the axes of the result.
    """
    if array.shape == shape:
        return array
    return jax.lax.optimization_barrier(array).reshape(shape)


def forget_changed(fitness: jax.Array, before: Any, after: Any) -> jax.Array:
    """NaN in place of the fitness of every individual whose weights are others now."""
    changed: Any = False
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        axes = tuple(range(1, jnp.ndim(old)))
        differs = (old != new) & ~((old != old) & (new != new))
        changed = changed | jnp.any(differs, axis=axes)
    return jnp.where(changed, jnp.nan, fitness).astype(fitness.dtype)
