"""Nonnegative quadratic programs, the one problem behind the projecting aggregators.

    minimize  1/2 y'Hy + c'y   subject to  y >= 0

for one positive semidefinite `H` with a unit diagonal and many `c` at once. Accelerated
projected gradient finds the active set, one masked solve makes it exact, and where the
optimality conditions still fail, an interior point method takes over.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax.aggregators._typing import Array, Bool, Float

GRADIENT_STEPS = 100
INTERIOR_STEPS = 20
TOLERANCE_IN_EPS = 16
"""Optimality is asked for to this many units of rounding of the largest term."""


class Solution(NamedTuple):
    """Solutions of `nnqp`, one row for each right-hand side."""

    point: jax.Array  # [K, P]
    residual: jax.Array  # [K] largest violation of the optimality conditions


@jax.jit
def nnqp(matrix: Float[Array, "P P"], linear: Float[Array, "K P"]) -> Solution:
    r"""Solves :math:`\min_{y \ge 0} \tfrac12 y^\top H y + c_k^\top y` for every `k`.

    Args:
      matrix: `H` [P, P], symmetric, positive semidefinite, ones on the diagonal.
      linear: `c` [K, P].

    Returns:
      The solutions, and for each the largest entry of `|min(y, Hy + c)|` over the
      largest of `1`, `y` and `|c|`: 0 where the point is optimal.
    """
    blank = Solution(jnp.zeros_like(linear), jnp.full(len(linear), jnp.inf))
    methods = (_project_gradients, _interior_points)

    def going(carry: tuple[jax.Array, Solution]):
        attempt, best = carry
        unsolved = jnp.any(best.residual > TOLERANCE_IN_EPS * _eps(matrix))
        return unsolved & (attempt < len(methods))

    def body(carry: Any):
        attempt, best = carry
        point = jax.lax.switch(attempt, methods, matrix, linear)
        return attempt + 1, _better(_polish(matrix, linear, point), best)

    return jax.lax.while_loop(going, body, (jnp.zeros((), jnp.int32), blank))[1]


def _project_gradients(matrix: Float[Array, "P P"], linear: Float[Array, "K P"]):
    """Nesterov's accelerated projected gradient with a restart for each row."""
    step = 1 / jnp.max(jnp.sum(jnp.abs(matrix), axis=1))

    def body(_: jax.Array, carry: Any):
        point, ahead, momentum = carry
        new = jnp.maximum(ahead - step * (_times(ahead, matrix) + linear), 0)
        uphill = jnp.sum((ahead - new) * (new - point), axis=1, keepdims=True) > 0
        momentum = jnp.where(uphill, 1.0, momentum)
        next_momentum = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / next_momentum * (new - point)
        return new, ahead, next_momentum

    start = jnp.maximum(-linear, 0)
    momentum = jnp.ones_like(linear[:, :1])
    return jax.lax.fori_loop(0, GRADIENT_STEPS, body, (start, start, momentum))[0]


def _polish(
    matrix: Float[Array, "P P"], linear: Float[Array, "K P"], point: Float[Array, "K P"]
) -> Solution:
    """Solves the equations of the active set, and keeps the better of two points."""
    support = point - (_times(point, matrix) + linear) > 0
    exact = jax.vmap(_solve_on, (None, 0, 0))(matrix, linear, support)
    exact = jnp.maximum(exact, 0)
    exact = jnp.where(jnp.isfinite(exact), exact, 0)
    return _better(
        Solution(exact, _violation(matrix, linear, exact)),
        Solution(point, _violation(matrix, linear, point)),
    )


def _solve_on(
    matrix: Float[Array, "P P"], linear: Float[Array, " P"], support: Bool[Array, " P"]
):
    """`H y = -c` on the support, by a ridge and refinement, since `H` may be singular.

    Refinement takes the ridge's effect out again wherever `H` is regular.
    """
    both = support[:, None] & support[None, :]
    system = jnp.where(both, matrix, 0)
    rhs = jnp.where(support, -linear, 0)
    identity = jnp.eye(len(linear), dtype=matrix.dtype)
    ridge = jnp.where(support, 32 * _eps(matrix), 1.0)
    factor = jnp.linalg.cholesky(system + identity * ridge[:, None])

    def refine(point: Float[Array, " P"]):
        gap = rhs - _times(system, point)
        return point + jax.scipy.linalg.cho_solve((factor, True), gap)

    return refine(refine(refine(jnp.zeros_like(rhs))))


def _interior_points(matrix: Float[Array, "P P"], linear: Float[Array, "K P"]):
    """Mehrotra's predictor and corrector, for every right-hand side."""
    return jax.vmap(_interior_point, (None, 0))(matrix, linear)


def _interior_point(matrix: Float[Array, "P P"], linear: Float[Array, " P"]):
    count = len(linear)
    identity = jnp.eye(count, dtype=matrix.dtype)
    tiny = jnp.asarray(1e-12, matrix.dtype)

    def to_boundary(value: Float[Array, " P"], change: Float[Array, " P"]):
        limits = jnp.where(change < 0, -value / change, jnp.inf)
        return jnp.minimum(1.0, jnp.min(limits))

    def body(_: jax.Array, carry: Any):
        point, slack = carry
        gap = jnp.dot(point, slack) / count
        infeasible = _times(matrix, point) + linear - slack
        system = matrix + jnp.diag(slack / point) + 2 * _eps(matrix) * identity
        factor = jnp.linalg.cholesky(system)

        def direction(correction: Float[Array, " P"]):
            rhs = -infeasible - slack + correction
            change = jax.scipy.linalg.cho_solve((factor, True), rhs)
            return change, -slack - slack * change / point + correction

        change, slack_change = direction(jnp.zeros_like(point))
        ahead = to_boundary(point, change)
        slack_ahead = to_boundary(slack, slack_change)
        predicted = jnp.dot(point + ahead * change, slack + slack_ahead * slack_change)
        centring = (predicted / count / gap) ** 3
        correction = (centring * gap - change * slack_change) / point
        change, slack_change = direction(correction)
        ahead = 0.99 * to_boundary(point, change)
        slack_ahead = 0.99 * to_boundary(slack, slack_change)
        new = point + ahead * change, slack + slack_ahead * slack_change
        finite = jnp.all(jnp.isfinite(new[0])) & jnp.all(jnp.isfinite(new[1]))
        return tuple(
            jnp.maximum(jnp.where(finite, fresh, old), tiny)
            for fresh, old in zip(new, carry, strict=True)
        )

    start = jnp.ones_like(linear)
    slack = jnp.maximum(_times(matrix, start) + linear, 1.0)
    return jax.lax.fori_loop(0, INTERIOR_STEPS, body, (start, slack))[0]


def _violation(
    matrix: Float[Array, "P P"], linear: Float[Array, "K P"], point: Float[Array, "K P"]
):
    gradient = _times(point, matrix) + linear
    worst = jnp.max(jnp.abs(jnp.minimum(point, gradient)), axis=1)
    scale = jnp.maximum(jnp.max(jnp.abs(linear), axis=1), jnp.max(point, axis=1))
    return worst / jnp.maximum(scale, 1.0)


def _better(one: Solution, other: Solution) -> Solution:
    wins = one.residual <= other.residual
    point = jnp.where(wins[:, None], one.point, other.point)
    return Solution(point, jnp.where(wins, one.residual, other.residual))


def _times(a: jax.Array, b: jax.Array):
    return jnp.matmul(a, b, precision="highest")


def _eps(matrix: Float[Array, "P P"]):
    return float(jnp.finfo(matrix.dtype).eps)
