"""Many players, some of them at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def in_chunks(function: Callable[[Any], Any], rows: Any, size: int | None) -> Any:
    """A function of the rows of many players, of some of them at a time."""
    count = len(jax.tree.leaves(rows)[0])
    if size is None or size >= count:
        return function(rows)
    whole = count - count % size

    def split(x: jax.Array) -> jax.Array:
        return x[:whole].reshape(whole // size, size, *x.shape[1:])

    def joined(x: jax.Array) -> jax.Array:
        return x.reshape(whole, *x.shape[2:])

    found = jax.tree.map(joined, jax.lax.map(function, jax.tree.map(split, rows)))
    if whole == count:
        return found
    rest = function(jax.tree.map(lambda x: x[whole:], rows))
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), found, rest)
