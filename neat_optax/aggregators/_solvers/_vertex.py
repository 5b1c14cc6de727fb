"""Small linear programs, by the simplex method on a dense tableau.

    maximize  c'x   subject to  Ax <= b,  e'x = 1,  x >= 0     (b >= 0, e >= 0)

The point 0 satisfies all but the equation, so the first phase is to maximize `e'x`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._typing import Array, Float
from neat_optax.aggregators._solvers._implicit import constants

ROUNDING_IN_EPS = 32
"""Entries of the tableau below this are zero; those of the program are near 1."""
PATIENCE = 2
"""Steps for each column that go where it is steepest, which could cycle; then Bland's
rule, which cannot."""


class Vertex(NamedTuple):
    """The best corner of a polyhedron."""

    point: jax.Array  # [N]
    feasible: jax.Array  # [] bool: whether the equation holds


class _Tableau(NamedTuple):
    rows: jax.Array  # [M + 1, N + M + 2], of constraints; the right side comes last
    gains: jax.Array  # [2, N + M + 2], of `e'x` and of `c'x`
    basis: jax.Array  # [M + 1] int32, the column of each row
    steps: jax.Array
    done: jax.Array  # [] bool


@jax.jit
def best_vertex(
    gains: Float[Array, " N"],
    matrix: Float[Array, "M N"],
    bounds: Float[Array, " M"],
    total: Float[Array, " N"],
) -> Vertex:
    """Solves the program; the point is exact to rounding of one linear system.

    What the basis is counts as constant in derivatives.

    Args:
      gains: `c` [N].
      matrix: `A` [M, N], entries of a size near 1.
      bounds: `b` [M], nonnegative.
      total: `e` [N], nonnegative, at most 1.
    """
    longest = jnp.max(jnp.abs(gains))
    gains = gains / jnp.where(longest > 0, longest, 1)
    system = jnp.concatenate([matrix, total[None]])
    sides = jnp.append(bounds, 1.0)
    count = len(sides)
    system = jnp.concatenate([system, jnp.eye(count, dtype=system.dtype)], axis=1)
    found = _search(*constants((system, sides, gains, total)))
    at_corner = jnp.linalg.solve(system[:, found.basis], sides)
    at_corner = jnp.where(at_corner > 0, at_corner, 0)
    point = jnp.zeros_like(system[0]).at[found.basis].set(at_corner)
    feasible = ~jnp.any(found.basis == system.shape[1] - 1)
    return Vertex(point[: len(gains)], feasible)


def _search(system: jax.Array, sides: jax.Array, gains: jax.Array, total: jax.Array):
    """The tableau at the best corner."""
    count, columns = system.shape
    basis = jnp.arange(columns - count, columns)
    goals = jnp.stack([total, gains])
    goals = jnp.pad(goals, ((0, 0), (0, count + 1)))
    rows = jnp.concatenate([system, sides[:, None]], axis=1)
    zero = jnp.zeros((), jnp.int32)
    start = _Tableau(rows, goals, basis, zero, zero.astype(bool))
    most = 50 * (columns + 10)
    going = lambda x: ~x.done & (x.steps < most)  # noqa: E731
    return jax.lax.while_loop(going, _step, _tree.varying_like(start, system))


def _step(at: _Tableau) -> _Tableau:
    """One pivot, or the news that there is none."""
    small = ROUNDING_IN_EPS * jnp.finfo(at.rows.dtype).eps
    columns = at.rows.shape[1] - 1
    numbers = jnp.arange(columns)
    last = columns - 1  # the slack of the equation, which must leave for good
    unequal = jnp.any(at.basis == last)
    slopes = jnp.where(unequal, at.gains[0], at.gains[1])[:-1]
    inside = jnp.any(numbers[:, None] == at.basis[None], axis=1)
    better = (slopes > small) & ~inside & (numbers != last)
    patient = at.steps > PATIENCE * columns
    entering = jnp.argmax(jnp.where(better, jnp.where(patient, 1, slopes), -jnp.inf))
    column = jnp.take(at.rows, entering, axis=1)
    falls = column > small
    ratios = jnp.where(falls, at.rows[:, -1] / jnp.where(falls, column, 1), jnp.inf)
    tied = falls & (ratios <= jnp.min(ratios) + small)
    rank = jnp.where(patient, -at.basis, column)
    rank = jnp.where(at.basis == last, jnp.inf, rank)
    leaving = jnp.argmax(jnp.where(tied, rank, -jnp.inf))
    moved = jnp.any(better) & jnp.any(falls)
    new = _pivot(at, leaving, entering)
    kept = jax.tree.map(lambda a, b: jnp.where(moved, a, b), new, at)
    return kept._replace(steps=at.steps + 1, done=~moved)


def _pivot(at: _Tableau, leaving: jax.Array, entering: jax.Array) -> _Tableau:
    row = at.rows[leaving] / at.rows[leaving, entering]
    column = jnp.take(at.rows, entering, axis=1)
    rows = (at.rows - column[:, None] * row[None]).at[leaving].set(row)
    rows = rows.at[:, -1].set(jnp.maximum(rows[:, -1], 0))
    gains = at.gains - jnp.take(at.gains, entering, axis=1)[:, None] * row[None]
    basis = at.basis.at[leaving].set(entering)
    return _Tableau(rows, gains, basis, at.steps, at.done)
