"""Nonnegative quadratic programs, the one problem behind the projecting aggregators.

    minimize  1/2 y'Hy + c'y   subject to  y >= 0

for one positive semidefinite `H` with a unit diagonal and many `c` at once, by modified
proportioning with reduced gradient projections: conjugate gradients on the entries that
are free, a projected gradient step where they would leave the orthant, and a release of
entries at the bound where these promise more. A step is one product `Y H` for all rows.
Nothing is factorized: a singular `H` moves no row along its null space.

References:
  Dostal, "Box constrained quadratic programming with proportioning and projections",
  1997. Dostal and Schoeberl, "Minimizing quadratic functions subject to bound
  constraints with the rate of convergence and finite termination", 2005.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._solvers._implicit import at_root, constants

MAX_STEPS = 1000
STEPS_BETWEEN_CHECKS = 50
TOLERANCE_IN_EPS = 4
"""Optimality is asked for to this many units of rounding of the largest term."""

_SEARCH, _PROJECT, _CHECK, _DONE = range(4)
"""What the next product of a row is for."""


class Solution(NamedTuple):
    """Solutions of `nnqp`, one row for each right-hand side."""

    point: jax.Array  # [K, P]
    residual: jax.Array  # [K] largest violation of the optimality conditions


class _Rows(NamedTuple):
    point: jax.Array  # [K, P], `y`
    slope: jax.Array  # [K, P], `Hy + c`; made anew by a check, else carried along
    direction: jax.Array  # [K, P], of the next product
    role: jax.Array  # [K]


class _Move(NamedTuple):
    direction: jax.Array  # [K, P]; a multiple of it is subtracted from the point
    product: jax.Array  # [K, P], its product with `H`
    curvature: jax.Array  # [K]
    flat: jax.Array  # [K] whether the curvature is but rounding
    releases: jax.Array  # [K] whether it frees entries at the bound


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
    width = 1.9 / _largest_eigenvalue(matrix)

    def going(carry: tuple[jax.Array, _Rows]):
        step, rows = carry
        return (step < MAX_STEPS) & jnp.any(rows.role != _DONE)

    def body(carry: tuple[jax.Array, _Rows]):
        step, rows = carry
        late = step % STEPS_BETWEEN_CHECKS == STEPS_BETWEEN_CHECKS - 1
        moved = _step(matrix, linear, width, rows, late)
        done = rows.role == _DONE
        return step + 1, jax.tree.map(lambda a, b: _where(done, a, b), rows, moved)

    zero = jnp.zeros_like(linear)
    role = jnp.where(_solved(linear, zero, linear), _DONE, _SEARCH)
    start = jnp.zeros((), jnp.int32), _Rows(zero, linear, zero, role)
    start = _tree.varying_like(start, matrix)
    point = jax.lax.while_loop(going, body, start)[1].point
    violation = _violation(point, _times(point, matrix) + linear)
    residual = violation / jnp.maximum(_demand(linear), 1)
    move = lambda y, c: at_root(_optimality, y, (given[0], c))  # noqa: E731
    return Solution(jax.vmap(move)(point, given[1]), residual)


def _optimality(
    point: Float[Array, " P"], given: tuple[Float[Array, "P P"], Float[Array, " P"]]
) -> Float[Array, " P"]:
    """Zero at a solution: the slope of what is free, and the rest itself."""
    matrix, linear = given
    return jnp.where(point > 0, _times(point, matrix) + linear, point)


def _step(
    matrix: Float[Array, "P P"],
    linear: Float[Array, "K P"],
    width: jax.Array,
    rows: _Rows,
    late: jax.Array,
) -> _Rows:
    """One product for every row, and what follows from it."""
    searches, checked = rows.role == _SEARCH, rows.role == _CHECK
    move = _measure(matrix, width, rows)
    length = _tree.safe_divide(_dot(rows.slope, move.direction), move.curvature)
    ahead = move.direction > 0
    limits = jnp.where(ahead, _tree.safe_divide(rows.point, move.direction), jnp.inf)
    limit = jnp.min(limits, axis=1)
    length = jnp.where(move.flat, 0, length)
    leaves = searches & (length > limit)
    length = jnp.where(leaves, limit, length)
    length = jnp.where(rows.role == _PROJECT, 1, jnp.where(checked, 0, length))[:, None]
    point = jnp.maximum(rows.point - length * move.direction, 0)
    point = jnp.where(leaves[:, None] & (limits <= limit[:, None]), 0, point)
    slope = rows.slope - length * move.product
    slope = _where(checked, move.product + linear, slope)

    solved = _solved(linear, point, slope)
    checks = ~leaves & (solved | (searches & (move.flat | late)))
    role = jnp.where(checks, jnp.where(checked & solved, _DONE, _CHECK), _SEARCH)
    role = jnp.where(leaves, _PROJECT, role)
    free = jnp.where(point > 0, slope, 0)
    direction = _where(searches & ~move.releases, _conjugate(free, move), free)
    projected = point - jnp.maximum(point - width * free, 0)
    direction = _where(leaves, projected, _where(checks, point, direction))
    return _Rows(point, slope, direction, role)


def _measure(matrix: Float[Array, "P P"], width: jax.Array, rows: _Rows) -> _Move:
    free = jnp.where(rows.point > 0, rows.slope, 0)
    reduced = jnp.minimum(free, rows.point / width)
    bound = jnp.where(rows.point > 0, 0, jnp.minimum(rows.slope, 0))
    proportional = _dot(bound, bound) <= _dot(reduced, free)
    releases = (rows.role == _SEARCH) & ~proportional
    direction = _where(releases, bound, rows.direction)
    product = _times(direction, matrix)
    curvature = _dot(direction, product)
    rounding = TOLERANCE_IN_EPS * _eps(matrix) * _dot(direction, direction)
    return _Move(direction, product, curvature, curvature <= rounding, releases)


def _conjugate(free: Float[Array, "K P"], move: _Move) -> Float[Array, "K P"]:
    share = _tree.safe_divide(_dot(free, move.product), move.curvature)
    share = jnp.where(move.flat, 0, share)[:, None]
    return free - share * move.direction


def _largest_eigenvalue(matrix: Float[Array, "P P"]) -> jax.Array:
    """A bound on it."""
    widest = jnp.max(jnp.sum(jnp.abs(matrix), axis=1))
    return jnp.minimum(widest, jnp.sqrt(jnp.sum(matrix * matrix)))


def _solved(
    linear: Float[Array, "K P"], point: Float[Array, "K P"], slope: Float[Array, "K P"]
) -> Bool[Array, " K"]:
    largest = jnp.maximum(_demand(linear), jnp.max(point, axis=1))
    return _violation(point, slope) <= TOLERANCE_IN_EPS * _eps(linear) * largest


def _violation(
    point: Float[Array, "K P"], slope: Float[Array, "K P"]
) -> Float[Array, " K"]:
    return jnp.max(jnp.abs(jnp.minimum(point, slope)), axis=1)


def _demand(linear: Float[Array, "K P"]) -> Float[Array, " K"]:
    """What a solution has to make up for; large positive entries are met anyway."""
    return jnp.maximum(jnp.max(-linear, axis=1), 0)


def _where(chosen: Bool[Array, " K"], one: Any, other: Any):
    return jnp.where(chosen if one.ndim == 1 else chosen[:, None], one, other)


def _dot(a: Float[Array, "K P"], b: Float[Array, "K P"]) -> Float[Array, " K"]:
    return jnp.sum(a * b, axis=1)


def _times(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")


def _eps(array: jax.Array) -> float:
    return float(jnp.finfo(array.dtype).eps)
