"""Functions of a symmetric matrix through its eigenvalues."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._correlation import Correlation


def eigenpairs(
    matrix: Float[Array, "P P"],
) -> tuple[Float[Array, " P"], Float[Array, "P P"], Bool[Array, " P"]]:
    """Eigenvalues, eigenvectors, and which eigenvalues count as not zero.

    An eigenvalue counts where it exceeds the largest by more than `P * eps`, the
    rounding of a matrix of that size; it is the tolerance of `numpy.linalg`.
    """
    values, vectors = _eigh(matrix)
    tolerance = jnp.max(values) * len(matrix) * jnp.finfo(matrix.dtype).eps
    return values, vectors, values > tolerance


@jax.custom_jvp
def _eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


@_eigh.defjvp
def _eigh_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> Any:
    """Vectors of equal values do not turn: which ones they are is arbitrary."""
    values, vectors = _eigh(*primals)
    moved = vectors.T @ (tangents[0] + tangents[0].T) @ vectors / 2
    turn = _tree.safe_divide(moved, values[None, :] - values[:, None])
    return (values, vectors), (jnp.diagonal(moved), vectors @ turn)


@jax.custom_jvp
def solve_least_squares(
    matrix: Float[Array, "P P"], rhs: Float[Array, " P"]
) -> Float[Array, " P"]:
    """The pseudo-inverse times a vector: the least-squares solution of least norm."""
    return _inverse(matrix)(rhs)


@solve_least_squares.defjvp
def _least_squares_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> Any:
    """Of a pseudo-inverse `A+` where the rank stays (Golub and Pereyra, 1973)."""
    (matrix, rhs), (turned, moved) = primals, tangents
    inverse = _inverse(matrix)
    point = inverse(rhs)
    left = rhs - _times(matrix, point)
    outside = _times(turned, inverse(point))
    outside = outside - inverse(_times(matrix, outside))
    inside = inverse(moved - _times(turned, point) + inverse(_times(turned, left)))
    return point, inside + outside


def _inverse(matrix: Float[Array, "P P"]) -> Callable[[jax.Array], jax.Array]:
    """What multiplies a vector by the pseudo-inverse."""
    values, vectors, counts = eigenpairs(matrix)
    inverse = _tree.safe_divide(1.0, jnp.where(counts, values, 0))
    return lambda x: _times(vectors, inverse * _times(x, vectors))


def _times(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")


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
