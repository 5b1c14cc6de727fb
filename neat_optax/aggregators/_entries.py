"""Arguments that are one number for all players, or one for each."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _checks
from neat_optax._typing import Array, Float


def check_entries(name: str, value: Any, interval: str) -> None:
    """Raises unless `value`, or each of its entries, lies in `interval`."""
    if callable(value) or isinstance(value, jax.Array):
        return
    for entry in np.ravel(value).tolist():
        _checks.check_number(name, entry, interval)


def spread(name: str, value: Any, num_players: int) -> Float[Array, " P"]:
    """`value` as float32 [P]; a single number is repeated."""
    value = jnp.asarray(value, jnp.float32)
    if value.ndim:
        _checks.check_per_player(name, value, num_players)
    return jnp.broadcast_to(value, (num_players,))
