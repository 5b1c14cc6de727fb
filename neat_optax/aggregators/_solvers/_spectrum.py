"""Functions of a symmetric matrix through its eigenvalues."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax.aggregators._correlation import Correlation
from neat_optax.aggregators._typing import Array, Bool, Float


def eigenpairs(
    matrix: Float[Array, "P P"],
) -> tuple[Float[Array, " P"], Float[Array, "P P"], Bool[Array, " P"]]:
    """Eigenvalues, eigenvectors, and which eigenvalues count as not zero.

    An eigenvalue counts where it exceeds the largest by more than `P * eps`, the
    rounding of a matrix of that size; it is the tolerance of `numpy.linalg`.
    """
    values, vectors = jnp.linalg.eigh(matrix)
    tolerance = jnp.max(values) * len(matrix) * jnp.finfo(matrix.dtype).eps
    return values, vectors, values > tolerance


def solve_least_squares(
    matrix: Float[Array, "P P"], rhs: Float[Array, " P"]
) -> Float[Array, " P"]:
    """The pseudo-inverse times a vector: the least-squares solution of least norm."""
    values, vectors, counts = eigenpairs(matrix)
    inverse = _tree.safe_divide(1.0, jnp.where(counts, values, 0))
    within = jnp.matmul(rhs, vectors, precision="highest")
    return jnp.matmul(vectors, inverse * within, precision="highest")


class EqualProjections(NamedTuple):
    """Weights of unit rows whose sum has given projections on them."""

    point: jax.Array  # [P]
    residual: jax.Array  # largest error of a projection, relative to the largest one


def equal_projections(
    rows: Correlation, wanted: Float[Array, " P"]
) -> EqualProjections:
    """Solves `C y = wanted` on the rows that are not zero, by least squares."""
    active = rows.active
    identity = jnp.eye(len(wanted), dtype=rows.matrix.dtype)
    # A row that is absent gets the eigenvalue 0 in place of 1, and so drops out.
    matrix = rows.matrix - identity * ~active[:, None]
    wanted = jnp.where(active, wanted, 0).astype(matrix.dtype)
    point = solve_least_squares(matrix, wanted)
    error = jnp.max(jnp.abs(jnp.matmul(matrix, point, precision="highest") - wanted))
    residual = _tree.safe_divide(error, jnp.max(jnp.abs(wanted)))
    return EqualProjections(jnp.where(active, point, 0), residual)
