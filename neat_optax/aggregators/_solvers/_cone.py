r"""Maximizes the smallest gain within a ball around a direction: CAGrad's problem.

.. math:: \max_d \min_i g_i \cdot d \quad\text{s.t.}\quad |d - g_0| \le r

For a smallest gain :math:`t`, the nearest :math:`d` to :math:`g_0` with
:math:`g_i \cdot d \ge t` is a nonnegative quadratic program, and its distance from
:math:`g_0` grows with `t`, is convex, and is the root of a quadratic on each active
set. So `t` is found by jumping from one active set to the next inside a bracket.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._typing import Array, Float
from neat_optax.aggregators._correlation import Correlation
from neat_optax.aggregators._solvers._implicit import at_root, constants
from neat_optax.aggregators._solvers._nnqp import nnqp

MAX_JUMPS = 40
FEASIBLE = 1e-3
"""Residual above which no direction gives all players that gain: rounding stays far
below."""


class Push(NamedTuple):
    """What is added to `g_0`, as weights of unit rows."""

    weights: jax.Array  # [P], nonnegative
    residual: jax.Array


class _Problem(NamedTuple):
    matrix: jax.Array
    gains: jax.Array  # u_i . g_0, and 0 for a zero row
    demand: jax.Array  # n_min / n_i: what each unit row must gain for a gain of n_min
    active: jax.Array
    radius: jax.Array


class _Search(NamedTuple):
    low: jax.Array
    high: jax.Array
    next: jax.Array  # the gain to try
    distance: jax.Array  # of the last point tried
    residual: jax.Array
    best: jax.Array  # the furthest point that lies within the radius
    reached: jax.Array  # its distance
    attempts: jax.Array


@jax.jit
def push_smallest_gain(
    rows: Correlation, start: Float[Array, " P"], ratio: Any
) -> Push:
    """Solves CAGrad's problem around `g_0 = sum_i start_i u_i`.

    Args:
      rows: correlations and norms of the players.
      start: [P] weights of `g_0` on unit rows.
      ratio: `r / |g_0|`.
    """
    unit = jnp.max(jnp.abs(start))
    unit = jnp.where(unit > 0, unit, 1.0)
    gains = jnp.where(rows.active, _times(rows.matrix, start / unit), 0)
    length = _tree.root(jnp.maximum(start @ gains / unit, 0))
    smallest = jnp.min(jnp.where(rows.active, rows.norms, jnp.inf))
    smallest = jnp.where(smallest < jnp.inf, smallest, 1.0)
    demand = jnp.where(rows.active, smallest * rows.per_norm, 0)
    problem = _Problem(rows.matrix, gains, demand, rows.active, ratio * length)
    found = _search(*constants((problem, length)))
    best = _with_gain(problem, found.best)
    best = at_root(_optimality, best, problem)[:-1]
    moves = problem.radius > 0
    return Push(
        jnp.where(moves, best * unit, 0.0), jnp.where(moves, found.residual, 0.0)
    )


def _with_gain(problem: _Problem, point: Float[Array, " P"]) -> jax.Array:
    """The point and the gain that it gives to those it counts."""
    demand = jnp.where(point > 0, problem.demand, 0)
    gains = problem.gains + _times(problem.matrix, point)
    gain = _tree.safe_divide(demand @ gains, demand @ demand)
    return jnp.append(point, gain)


def _optimality(found: jax.Array, problem: _Problem) -> jax.Array:
    """Zero at a solution: equal gains of those that count, at that distance."""
    point, gain = found[:-1], found[-1]
    product = _times(problem.matrix, point)
    excess = problem.gains + product - gain * problem.demand
    excess = jnp.where(point > 0, excess, point)
    return jnp.append(excess, point @ product - problem.radius**2)


def _search(problem: _Problem, length: jax.Array) -> _Search:
    lows = jnp.where(
        problem.active, _tree.safe_divide(problem.gains, problem.demand), jnp.inf
    )
    low = jnp.min(lows)
    high = length + problem.radius
    tolerance = 4 * jnp.finfo(length.dtype).eps * problem.radius

    def going(search: _Search):
        reached = jnp.abs(search.distance - problem.radius) <= tolerance
        bracketed = (search.high > search.low) & (search.attempts < MAX_JUMPS)
        return (search.attempts == 0) | (~reached & bracketed)

    def body(search: _Search):
        tried = search.next
        point, residual = _nearest(problem, tried)
        distance = _length(problem, point)
        feasible = residual <= FEASIBLE
        near = feasible & (distance <= problem.radius + tolerance)
        better = near & (distance > search.reached)
        inside = feasible & (distance <= problem.radius)
        low = jnp.where(inside, jnp.maximum(search.low, tried), search.low)
        high = jnp.where(inside, search.high, jnp.minimum(search.high, tried))
        jump = _jump(problem, point)
        return _Search(
            low=low,
            high=high,
            next=jnp.where((jump > low) & (jump < high), jump, _middle(low, high)),
            distance=distance,
            residual=residual,
            best=jnp.where(better, point, search.best),
            reached=jnp.where(better, distance, search.reached),
            attempts=search.attempts + 1,
        )

    zero = jnp.zeros_like(low)
    first = _Search(
        low=low,
        high=high,
        next=zero,
        distance=zero,
        residual=zero,
        best=jnp.zeros_like(problem.gains),
        reached=zero,
        attempts=jnp.zeros((), jnp.int32),
    )
    return jax.lax.while_loop(going, body, first)


def _nearest(problem: _Problem, gain: jax.Array):
    """Weights to add to `g_0` so that every player gains its demand times `gain`."""
    linear = problem.gains - gain * problem.demand
    linear = jnp.where(problem.active, linear, 1.0)
    unmet = jnp.max(-linear)
    unit = jnp.where(unmet > 0, unmet, 1.0)
    solution = nnqp(problem.matrix, (linear / unit)[None])
    return solution.point[0] * unit, solution.residual[0]


def _jump(problem: _Problem, point: Float[Array, " P"]):
    """The gain at which the distance on this active set reaches the radius."""
    # On the active set d = g_0 + sum_j y_j u_j with C y = t b - a, for demands b and
    # gains a_i = u_i . g_0. With s = b'C^-1 b and m = b'C^-1 a, |d - g_0|^2 = y'Cy =
    # s t^2 - 2 m t + a'C^-1 a = r^2 at t = (m + sqrt(m^2 - s (a'C^-1 a - r^2))) / s.
    support = point > 0
    both = support[:, None] & support[None, :]
    count = len(point)
    eps = jnp.finfo(point.dtype).eps
    ridge = jnp.where(support, 32 * eps, 1.0)
    system = jnp.where(both, problem.matrix, 0) + jnp.eye(count) * ridge[:, None]
    rhs = jnp.stack([problem.demand, problem.gains], axis=1) * support[:, None]
    by_demand, by_gain = jnp.linalg.solve(system, rhs).T
    square = problem.demand @ by_demand
    mixed = problem.demand @ by_gain
    rest = problem.gains @ by_gain - problem.radius**2
    root = jnp.sqrt(jnp.maximum(mixed**2 - square * rest, 0))
    return (mixed + root) / square


def _middle(low: jax.Array, high: jax.Array):
    """Halfway, counted in decades where both ends are far below zero."""
    decades = -jnp.sqrt(jnp.abs(low) * jnp.maximum(jnp.abs(high), 1e-6 * jnp.abs(low)))
    return jnp.where((high <= 0) & (low < 0), decades, (low + high) / 2)


def _length(problem: _Problem, point: Float[Array, " P"]):
    return jnp.sqrt(jnp.maximum(point @ _times(problem.matrix, point), 0))


def _times(matrix: Float[Array, "P P"], vector: Float[Array, " P"]):
    return jnp.matmul(matrix, vector, precision="highest")
