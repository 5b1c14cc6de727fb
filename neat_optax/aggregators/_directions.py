"""A vector of losses beside the direction of a preference."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._typing import Array, Float
from neat_optax.aggregators._correlation import power_of_two

ROUNDING_IN_EPS = 4
"""A distance from the direction below this share of the length is rounding."""


class Away(NamedTuple):
    """How far losses are from a direction."""

    wish: jax.Array  # [P] the direction, of length 1, or 0
    distance: jax.Array  # []
    slope: jax.Array  # [P] of the distance: of length 1, or 0 on the direction


def normalize(vector: Float[Array, " P"]) -> tuple[Float[Array, " P"], jax.Array]:
    """The vector divided by its length, and the length; zero stays zero."""
    unit = power_of_two(jnp.max(jnp.abs(vector)))
    scaled = _tree.safe_divide(vector, unit)
    length = _tree.root(scaled @ scaled)
    return _tree.safe_divide(scaled, length), length * unit


def away_from(gaps: Float[Array, " P"], preference: Float[Array, " P"]) -> Away:
    r"""The distance of `L - z` from the line through 0 along `p`, and its slope.

    .. math:: d = |e|, \qquad \nabla d = \frac{e}{|e|}, \qquad
        e = L - z - ((L - z) \cdot \hat p)\, \hat p

    Args:
      gaps: [P] `L - z`.
      preference: [P] nonnegative `p`.
    """
    wish, _ = normalize(preference)
    direction, length = normalize(gaps)
    across, distance = normalize(direction - (direction @ wish) * wish)
    off = distance > ROUNDING_IN_EPS * jnp.finfo(distance.dtype).eps
    slope = jnp.where(off, across, 0)
    return Away(wish, jnp.where(off, distance, 0) * length, slope)
