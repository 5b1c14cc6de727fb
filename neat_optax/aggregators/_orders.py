"""The orders in which players meet."""

import jax
import jax.numpy as jnp

from neat_optax._typing import Array, Int


def fixed_orders(num_players: int) -> Int[Array, "P P"]:
    """[P, P]: every player meets the others in the order of their numbers."""
    order = jnp.arange(num_players)
    return jnp.broadcast_to(order, (num_players, num_players))


def random_orders(key: jax.Array, num_players: int) -> Int[Array, "P P"]:
    """[P, P]: every player meets the others in a random order of its own."""
    keys = jax.random.split(key, num_players)
    return jax.vmap(lambda k: jax.random.permutation(k, num_players))(keys)
