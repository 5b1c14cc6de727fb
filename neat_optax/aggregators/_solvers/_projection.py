"""Projections of combinations of unit gradients onto the dual cone of all."""

import jax.numpy as jnp

from neat_optax._typing import Array, Float
from neat_optax.aggregators._correlation import Correlation
from neat_optax.aggregators._solvers._nnqp import nnls, nnqp
from neat_optax.aggregators._solvers._proportioning import Solution


def project(rows: Correlation, start: Float[Array, "K P"] | None = None) -> Solution:
    r"""What to add to combinations of unit rows so that they conflict with none.

    .. math:: \min_{y \ge 0} |(y + s_k)\, U|^2

    Args:
      rows: the unit rows' products, or their coordinates where there are any.
      start: `s` [K, P]; each row by itself by default.
    """
    identity = start is None
    if rows.coordinates is not None:
        factor = rows.coordinates
        return nnls(factor, factor if identity else _times(start, factor))
    linear = rows.matrix if identity else _times(start, rows.matrix)
    active = rows.active[:, None] if identity else rows.active[None]
    return nnqp(rows.matrix, jnp.where(active, linear, 1.0))


def _times(a: Float[Array, "K P"], b: Float[Array, "P P"]) -> Float[Array, "K P"]:
    return jnp.matmul(a, b, precision="highest")
