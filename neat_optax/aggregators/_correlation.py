"""The Gramian without its scale: every solver works on correlations.

`G = D C D` with `D` the norms of the players' gradients. The correlation matrix `C` is
the same for every scale of every player, so no solver needs an absolute tolerance.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._typing import Array, Float


class Correlation(NamedTuple):
    """A Gramian divided by the norms of its rows."""

    matrix: jax.Array  # [P, P] with 1 on the diagonal, also in rows that are zero
    norms: jax.Array  # [P], 0 in zero rows
    active: jax.Array  # [P] bool: which rows are not zero
    coordinates: jax.Array | None = None  # [P, P], unit rows whose products are exact

    @property
    def per_norm(self) -> Float[Array, " P"]:
        """`1 / |g_i|`, and 0 for a zero row."""
        return _tree.safe_divide(1.0, self.norms)


def correlation(
    gramian: Float[Array, "P P"], coordinates: Float[Array, "P P"] | None = None
) -> Correlation:
    r"""Divides a Gramian by the norms of its rows.

    .. math:: C_{ij} = \frac{G_{ij}}{|g_i|\,|g_j|}

    A zero row correlates with nothing: 1 on the diagonal and 0 elsewhere.

    Args:
      gramian: [P, P], symmetric and positive semidefinite.
      coordinates: see `Players`.
    """
    gramian = _tree.widen(gramian)
    diagonal = jnp.diagonal(gramian)
    active = diagonal > 0
    norms = _tree.root(jnp.where(active, diagonal, 0))
    per_norm = _tree.safe_divide(1.0, norms)
    matrix = jnp.clip(gramian * per_norm[:, None] * per_norm[None, :], -1.0, 1.0)
    if coordinates is not None:
        unit = power_of_two(norms)
        coordinates = coordinates * _tree.safe_divide(norms, unit)[:, None]
        norms = unit
    identity = jnp.eye(len(norms), dtype=gramian.dtype)
    return Correlation(
        jnp.where(identity > 0, identity, matrix), norms, active, coordinates
    )


def power_of_two(number: Array) -> Array:
    """The next power of 2 above; 0 stays 0. Multiplication by it does not round."""
    power = jnp.ldexp(jnp.ones_like(number), jnp.frexp(number)[1])
    return jnp.where(number > 0, power, 0)
