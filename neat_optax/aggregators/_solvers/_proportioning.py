"""Modified proportioning with reduced gradient projections, many programs at once.

Conjugate gradients on the entries that are free, a projected gradient step where they
would leave the orthant, and a release of entries at the bound where these promise more.
A step is one product with `H` for all rows. Nothing is factorized: a singular `H` moves
no row along its null space.

References:
  Dostal, "Box constrained quadratic programming with proportioning and projections",
  1997. Dostal and Schoeberl, "Minimizing quadratic functions subject to bound
  constraints with the rate of convergence and finite termination", 2005.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._typing import Array, Bool, Float

STEPS_BETWEEN_CHECKS = 50
TOLERANCE_IN_EPS = 4
"""Optimality is asked for to this many units of rounding of the largest term."""

PATIENCE = 3
"""Checks that do not halve the violation of what seems solved, before a row ends."""

_SEARCH, _PROJECT, _LOOK, _CHECK, _DONE = range(5)
"""What the next product of a row is for; a row that seems solved is checked."""


class Solution(NamedTuple):
    """Solutions of `nnqp` or `nnls`, one row for each right-hand side."""

    point: jax.Array  # [K, P]
    residual: jax.Array  # [K] largest violation of the optimality conditions
    flattest: jax.Array  # [K] least curvature along a unit direction of the search


class _Rows(NamedTuple):
    point: jax.Array  # [K, P], `y`
    slope: jax.Array  # [K, P], `Hy + c`; made anew by a check, else carried along
    direction: jax.Array  # [K, P], of the next product
    role: jax.Array  # [K]
    best: jax.Array  # [K, P], the point of the least violation that was checked
    least: jax.Array  # [K], that violation
    stalls: jax.Array  # [K], checks since it was halved
    flattest: jax.Array  # [K]


class _Move(NamedTuple):
    direction: jax.Array  # [K, P]; a multiple of it is subtracted from the point
    product: jax.Array  # [K, P], its product with `H`; where checked, the slope
    curvature: jax.Array  # [K]
    flat: jax.Array  # [K] whether the curvature is but rounding
    releases: jax.Array  # [K] whether it frees entries at the bound


class Program(NamedTuple):
    """What `minimize` has to know."""

    multiply: Callable[[Any, Any], Any]
    """From directions `v` [K, P] to `Hv` and `v'Hv`; where `whole`, to `Hv + c`."""
    linear: jax.Array  # [K, P], `c`
    width: jax.Array  # of a projected step
    flat: float  # curvature along a unit direction that is but rounding
    scale: Callable[[Any], Any]  # from a point to what rounding is relative to


def minimize(program: Program, start: Solution, most: int) -> Solution:
    linear, begin = program.linear, start.point

    def going(carry: tuple[jax.Array, _Rows]):
        step, rows = carry
        return (step < most) & jnp.any(rows.role != _DONE)

    def body(carry: tuple[jax.Array, _Rows]):
        step, rows = carry
        late = step % STEPS_BETWEEN_CHECKS == STEPS_BETWEEN_CHECKS - 1
        moved = _step(program, rows, late)
        done = rows.role == _DONE
        return step + 1, jax.tree.map(lambda a, b: _where(done, a, b), rows, moved)

    everyone = jnp.ones(len(linear), bool)
    slope = program.multiply(begin, everyone)[0]
    role = jnp.where(_solved(program, begin, slope), _DONE, _SEARCH)
    least, stalls = _violation(begin, slope), jnp.zeros(len(linear), jnp.int32)
    free = jnp.where(begin > 0, slope, 0)
    rows = _Rows(begin, slope, free, role, begin, least, stalls, start.flattest)
    carry = _tree.varying_like((jnp.zeros((), jnp.int32), rows), linear)
    rows = jax.lax.while_loop(going, body, carry)[1]
    violation = _violation(rows.point, program.multiply(rows.point, everyone)[0])
    last = violation <= rows.least
    point = _where(last, rows.point, rows.best)
    violation = jnp.minimum(violation, rows.least)
    residual = violation / jnp.maximum(demand(linear), 1)
    return Solution(point, residual, rows.flattest)


def _step(program: Program, rows: _Rows, late: jax.Array) -> _Rows:
    """One product for every row, and what follows from it."""
    searches = rows.role == _SEARCH
    checked = (rows.role == _CHECK) | (rows.role == _LOOK)
    move = _measure(program, rows, checked)
    length = _tree.safe_divide(dot(rows.slope, move.direction), move.curvature)
    ahead = move.direction > 0
    limits = jnp.where(ahead, _tree.safe_divide(rows.point, move.direction), jnp.inf)
    limit = jnp.min(limits, axis=1)
    length = jnp.where(move.flat, 0, length)
    leaves = searches & (length > limit)
    length = jnp.where(leaves, limit, length)
    length = jnp.where(rows.role == _PROJECT, 1, jnp.where(checked, 0, length))[:, None]
    point = jnp.maximum(rows.point - length * move.direction, 0)
    point = jnp.where(leaves[:, None] & (limits <= limit[:, None]), 0, point)
    slope = _where(checked, move.product, rows.slope - length * move.product)

    solved = _solved(program, point, slope)
    rows = _judge(rows, point, slope, checked)
    ends = checked & (solved | (rows.stalls >= PATIENCE))
    seems = ~checked & (solved | (searches & move.flat))
    role = jnp.where(seems, _CHECK, jnp.where(searches & late, _LOOK, _SEARCH))
    role = jnp.where(leaves, _PROJECT, jnp.where(ends, _DONE, role))
    free = jnp.where(point > 0, slope, 0)
    direction = _where(searches & ~move.releases, _conjugate(free, move), free)
    projected = point - jnp.maximum(point - program.width * free, 0)
    checks = (role == _CHECK) | (role == _LOOK)
    direction = _where(leaves, projected, _where(checks, point, direction))
    steepness = _tree.safe_divide(move.curvature, dot(move.direction, move.direction))
    steepness = jnp.where(searches, steepness, jnp.inf)
    flattest = jnp.minimum(rows.flattest, steepness)
    return rows._replace(
        point=point, slope=slope, direction=direction, role=role, flattest=flattest
    )


def _judge(rows: _Rows, point: Any, slope: Any, checked: Any) -> _Rows:
    """Keeps the best point that was checked, and counts checks that gained little."""
    violation = _violation(point, slope)
    better = checked & (violation < rows.least)
    halved = checked & (violation < rows.least / 2)
    stalls = rows.stalls + (rows.role == _CHECK)
    return rows._replace(
        best=_where(better, point, rows.best),
        least=jnp.where(better, violation, rows.least),
        stalls=jnp.where(halved, 0, stalls),
    )


def _measure(program: Program, rows: _Rows, checked: jax.Array) -> _Move:
    free = jnp.where(rows.point > 0, rows.slope, 0)
    reduced = jnp.minimum(free, rows.point / program.width)
    bound = jnp.where(rows.point > 0, 0, jnp.minimum(rows.slope, 0))
    proportional = dot(bound, bound) <= dot(reduced, free)
    releases = (rows.role == _SEARCH) & ~proportional
    direction = _where(releases, bound, rows.direction)
    product, curvature = program.multiply(direction, checked)
    rounding = program.flat * dot(direction, direction)
    return _Move(direction, product, curvature, curvature <= rounding, releases)


def _conjugate(free: Float[Array, "K P"], move: _Move) -> Float[Array, "K P"]:
    share = _tree.safe_divide(dot(free, move.product), move.curvature)
    share = jnp.where(move.flat, 0, share)[:, None]
    return free - share * move.direction


def _solved(
    program: Program, point: Float[Array, "K P"], slope: Float[Array, "K P"]
) -> Bool[Array, " K"]:
    tolerance = TOLERANCE_IN_EPS * eps(slope) * program.scale(point)
    return _violation(point, slope) <= tolerance


def _violation(
    point: Float[Array, "K P"], slope: Float[Array, "K P"]
) -> Float[Array, " K"]:
    return jnp.max(jnp.abs(jnp.minimum(point, slope)), axis=1)


def demand(linear: Float[Array, "K P"]) -> Float[Array, " K"]:
    """What a solution has to make up for; large positive entries are met anyway."""
    return jnp.maximum(jnp.max(-linear, axis=1), 0)


def _where(chosen: Bool[Array, " K"], one: Any, other: Any):
    return jnp.where(chosen if one.ndim == 1 else chosen[:, None], one, other)


def dot(a: Float[Array, "K P"], b: Float[Array, "K P"]) -> Float[Array, " K"]:
    return jnp.sum(a * b, axis=1)


def times(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")


def eps(array: jax.Array) -> float:
    return float(jnp.finfo(array.dtype).eps)
