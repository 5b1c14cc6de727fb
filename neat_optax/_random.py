"""Random keys: from a key or a seed."""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _checks


def as_key(key: jax.Array | int) -> jax.Array:
    """A typed random key from a key, an array of a raw key, or a seed."""
    if isinstance(key, jax.Array):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            return key
        if key.ndim == 1:  # as `jax.random.PRNGKey` makes it
            return jax.random.wrap_key_data(key)
    return jax.random.key(key)


def check_key(name: str, key: Any) -> None:
    """Raises unless `key` is a random key or a seed."""
    if not isinstance(key, jax.Array):
        _checks.check_integer(name, key, minimum=0)


def key_at(key: Any, step: jax.Array) -> jax.Array:
    """The key of a step."""
    return jax.random.fold_in(as_key(key), step)


def lecun_normal(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """The initial kernels of Flax's Dense and Conv layers."""
    return jax.nn.initializers.lecun_normal()(key, shape, dtype)
