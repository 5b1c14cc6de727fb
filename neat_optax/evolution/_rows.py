"""Rows of stacked arrays, which stay sharded as the arrays are."""

from typing import Any

import jax
import jax.numpy as jnp


def take(leaf: Any, indices: Any) -> jax.Array:
    """The rows of `leaf` at `indices`: an array [m] of them, or one."""
    leaf = jnp.asarray(leaf)
    sharding = explicit_sharding(leaf)
    if sharding is None:
        return leaf[indices]
    spec = sharding.spec if jnp.ndim(indices) else sharding.spec[1:]
    wanted = jax.sharding.NamedSharding(
        sharding.mesh, jax.sharding.PartitionSpec(*spec)
    )
    return leaf.at[indices].get(out_sharding=wanted)


def explicit_sharding(leaf: Any) -> Any:
    """The sharding of an array that a result must name: None without explicit axes."""
    sharding = jax.typeof(leaf).sharding
    explicit = jax.sharding.AxisType.Explicit in sharding.mesh.axis_types
    return sharding if explicit else None


def per_row(values: Any, leaf: Any) -> jax.Array:
    """An array [n] with axes of length 1 added, so that it broadcasts to `leaf`."""
    return jnp.reshape(values, (-1, *[1] * (jnp.ndim(leaf) - 1)))
