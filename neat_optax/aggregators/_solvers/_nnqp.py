"""Nonnegative quadratic programs, the one problem behind the projecting aggregators.

    minimize  1/2 y'Hy + c'y   subject to  y >= 0

for one positive semidefinite `H` with a unit diagonal and many `c` at once. `H` is a
matrix, or given by its factor `F`; then the answer is as well conditioned as `F`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax._typing import Array, Float
from neat_optax.aggregators._solvers._implicit import at_root, constants
from neat_optax.aggregators._solvers._proportioning import (
    TOLERANCE_IN_EPS,
    Program,
    Solution,
    demand,
    dot,
    eps,
    minimize,
    times,
)

MAX_STEPS = 600
MAX_STEPS_OF_SQUARES, MAX_STEPS_ALONE = 1000, 4000
"""The second for one row of least squares: its steps are cheap."""
FLAT_IN_EPS = 16
"""A unit combination of unit rows shorter than this is zero but for rounding."""


@jax.jit
def nnqp(matrix: Float[Array, "P P"], linear: Float[Array, "K P"]) -> Solution:
    r"""Solves :math:`\min_{y \ge 0} \tfrac12 y^\top H y + c_k^\top y` for every `k`.

    Of several solutions it is one next to zero, where the search starts.

    Args:
      matrix: `H` [P, P], symmetric, positive semidefinite, ones on the diagonal.
      linear: `c` [K, P].

    Returns:
      The solutions, and for each the largest entry of `|min(y, Hy + c)|` over the
      larger of `1` and `max -c`: 0 where the point is optimal.
    """
    given = matrix, linear
    matrix, linear = constants(given)

    def multiply(direction: Any, whole: Any):
        product = times(direction, matrix)
        curvature = dot(direction, product)
        return product + jnp.where(whole[:, None], linear, 0), curvature

    def scale(point: Any):
        return jnp.maximum(demand(linear), jnp.max(point, axis=1))

    width = 1.9 / _largest_eigenvalue(matrix)
    zero, ones = jnp.zeros_like(linear), jnp.ones_like(linear[:, 0])
    flat = TOLERANCE_IN_EPS * eps(linear)
    program = Program(multiply, linear, width, flat, scale)
    found = minimize(program, Solution(zero, ones, ones), MAX_STEPS)
    move = lambda y, c: at_root(_optimality, y, (given[0], c))  # noqa: E731
    return found._replace(point=jax.vmap(move)(found.point, given[1]))


@jax.jit
def nnls(factor: Float[Array, "P R"], offset: Float[Array, "K R"]) -> Solution:
    r"""Solves :math:`\min_{y \ge 0} \tfrac12 |y F + a_k|^2` for every `k`.

    It is `nnqp` with `H = F F'` and `c = F a`, and as well conditioned as `F`.

    Args:
      factor: `F` [P, R], rows of a length near 1.
      offset: `a` [K, R].
    """
    slope = times(offset, factor.T)
    length = jnp.sqrt(dot(offset, offset))
    return _least_squares(factor, jnp.zeros_like(slope), offset, slope, length)


@jax.jit
def nnls_onward(
    factor: Float[Array, "P R"], point: Float[Array, "K P"], slope: Float[Array, "K P"]
) -> Solution:
    """Solves `nnls` onward from a point whose slope `F (y F + a)` is known.

    Args:
      factor: `F` [P, R].
      point: `y` [K, P], nonnegative.
      slope: [K, P]; it decides the precision of what comes back.
    """
    nothing = jnp.zeros((len(point), factor.shape[1]), factor.dtype)
    length = jnp.max(jnp.abs(slope), axis=1)
    return _least_squares(factor, point, nothing, slope, length)


def _least_squares(
    factor: Float[Array, "P R"],
    point: Float[Array, "K P"],
    offset: Float[Array, "K R"],
    slope: Float[Array, "K P"],
    length: Float[Array, " K"],
) -> Solution:
    known = slope - times(offset, factor.T)

    def multiply(direction: Any, whole: Any):
        whole = whole[:, None]
        inside = times(direction - jnp.where(whole, point, 0), factor)
        inside = inside + jnp.where(whole, offset, 0)
        product = times(inside, factor.T) + jnp.where(whole, known, 0)
        return product, dot(inside, inside)

    width = 1.9 / _largest_eigenvalue(times(factor, factor.T))
    flat = (FLAT_IN_EPS * eps(factor)) ** 2
    program = Program(multiply, slope, width, flat, lambda _: length)
    ones = jnp.ones_like(length)
    most = MAX_STEPS_ALONE if len(point) == 1 else MAX_STEPS_OF_SQUARES
    return minimize(program, Solution(point, ones, ones), most)


def _optimality(
    point: Float[Array, " P"], given: tuple[Float[Array, "P P"], Float[Array, " P"]]
) -> Float[Array, " P"]:
    """Zero at a solution: the slope of what is free, and the rest itself."""
    matrix, linear = given
    return jnp.where(point > 0, times(point, matrix) + linear, point)


def _largest_eigenvalue(matrix: Float[Array, "P P"]) -> jax.Array:
    """A bound on it."""
    widest = jnp.max(jnp.sum(jnp.abs(matrix), axis=1))
    return jnp.minimum(widest, jnp.sqrt(jnp.sum(matrix * matrix)))
