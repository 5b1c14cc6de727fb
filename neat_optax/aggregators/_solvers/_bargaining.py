r"""The convex potential that Nash-MTL and FairGrad share.

In the weights :math:`z_i = n_i w_i` of unit rows, their condition is

.. math:: (C z)_i = \kappa_i\, z_i^{-s}, \qquad s = 1 / \alpha, \quad
    \kappa_i = n_i^{s - 1}

the gradient of a strictly convex function, which Newton's method minimizes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._typing import Array, Float
from neat_optax.aggregators._correlation import Correlation
from neat_optax.aggregators._solvers._implicit import at_root, constants

MAX_STEPS = 100
PATIENCE = 8
"""Short steps without a better residual after which rounding has been reached."""
HALVINGS = 12
"""Lengths of a step that the line search tries, all at once."""


class Bargain(NamedTuple):
    """A solution of `bargain`."""

    weights: jax.Array  # [P] of unit rows; all zero where there is no solution
    residual: jax.Array  # largest relative violation of the condition


class _Problem(NamedTuple):
    matrix: jax.Array
    active: jax.Array
    exponent: jax.Array
    scale: jax.Array  # kappa


class _Search(NamedTuple):
    z: jax.Array
    best: jax.Array  # the weights with the smallest residual so far
    residual: jax.Array
    stalled: jax.Array  # steps since then
    steps: jax.Array


@jax.jit
def bargain(rows: Correlation, exponent: jax.Array) -> Bargain:
    """Weights `z > 0` of unit rows with `(Cz)_i = k_i / z_i^s`, `s = exponent`.

    Args:
      rows: correlations and norms; zero rows keep the weight 0.
      exponent: `s = 1 / alpha`, positive.

    Returns:
      The weights. They are zero where no solution exists: where some players cannot
      all gain, to within rounding.
    """
    dtype = rows.matrix.dtype
    exponent = jnp.asarray(exponent, dtype)
    scale = jnp.where(rows.active, rows.norms, 1.0) ** (exponent - 1)
    given = _Problem(rows.matrix, rows.active, exponent, scale)
    problem = constants(given)

    def body(search: _Search):
        step = _step(problem, search.z)
        z = search.z * jnp.exp(step)
        residual = _residual(problem, z)
        better = residual < search.residual
        return _Search(
            z=z,
            best=jnp.where(better, z, search.best),
            residual=jnp.where(better, residual, search.residual),
            stalled=jnp.where(better | _is_long(step), 0, search.stalled + 1),
            steps=search.steps + 1,
        )

    def going(search: _Search):
        unsolved = search.residual > 4 * jnp.finfo(dtype).eps
        return unsolved & (search.stalled < PATIENCE) & (search.steps < MAX_STEPS)

    start, none = _start(problem), jnp.zeros((), jnp.int32)
    first = _Search(start, start, _residual(problem, start), none, none)
    first = _tree.varying_like(first, problem.matrix)
    found = jax.lax.while_loop(going, body, first)
    solved = _all_gain(problem, found.best)
    best = at_root(_optimality, found.best, given)
    return Bargain(jnp.where(solved, best, 0.0), jnp.where(solved, found.residual, 0.0))


def _optimality(z: Float[Array, " P"], problem: _Problem):
    """Zero at a solution."""
    slope = z * _times(problem.matrix, z) - _power(problem, z, 1 - problem.exponent)
    return jnp.where(problem.active, slope, z)


def _is_long(step: Float[Array, " P"]):
    """Whether some weight still changes by half of itself: then residuals may rise."""
    return jnp.max(jnp.abs(step)) > 0.5


def _start(problem: _Problem):
    """The solution if no two players correlated, at the length best for all."""
    power = 1 / (1 + problem.exponent)
    z = jnp.where(problem.active, problem.scale**power, 0.0)
    squared = z @ _times(problem.matrix, z)
    squared = jnp.maximum(squared, jnp.finfo(z.dtype).eps * jnp.sum(z) ** 2)
    ratio = (z @ z) / jnp.where(squared > 0, squared, 1.0)
    return z * jnp.where(squared > 0, ratio, 1.0) ** power


def _step(problem: _Problem, z: Float[Array, " P"]):
    """The change of `log z`: Newton's, shortened to a factor of e for every weight.

    The line search compares values of the potential. Once the gain that Newton's step
    promises is lost in their rounding, the step is taken without it: by then only
    weights are left to settle that hardly count in the potential.
    """
    pull = jnp.where(problem.active, _power(problem, z, 1 - problem.exponent), 1.0)
    slope = jnp.where(problem.active, z * _times(problem.matrix, z) - pull, 0.0)
    curvature = z[:, None] * problem.matrix * z[None, :]
    hessian = curvature + jnp.diag(problem.exponent * pull)
    # Unit diagonal: pulls of players of very different norms differ by decades.
    root = jnp.sqrt(jnp.diagonal(hessian))
    factor = jnp.linalg.cholesky(hessian / root[:, None] / root[None, :])
    direction = jax.scipy.linalg.cho_solve((factor, True), -slope / root) / root
    direction = jnp.where(jnp.isfinite(direction), direction, 0.0)
    longest = jnp.max(jnp.abs(direction))
    lengths = 0.5 ** jnp.arange(HALVINGS, dtype=z.dtype) / jnp.maximum(longest, 1.0)
    values, sizes = jax.vmap(lambda t: _potential(problem, z * jnp.exp(t * direction)))(
        lengths
    )
    searched = lengths[jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values))]
    rounding = 16 * jnp.finfo(z.dtype).eps * sizes[-1]
    settled = -slope @ direction <= rounding
    return jnp.where(settled, lengths[0], searched) * direction


def _potential(problem: _Problem, z: Float[Array, " P"]):
    """Its value, and the sum of its terms' sizes, which its rounding goes by."""
    power = 1 - problem.exponent
    logarithmic = jnp.abs(power) < 1e-6
    grown = _power(problem, z, power) / jnp.where(logarithmic, 1.0, power)
    gain = jnp.where(logarithmic, problem.scale * jnp.log(z), grown)
    gain = jnp.where(problem.active, gain, 0.0)
    quadratic = z @ _times(problem.matrix, z) / 2
    return quadratic - jnp.sum(gain), quadratic + jnp.sum(jnp.abs(gain))


def _power(problem: _Problem, z: Float[Array, " P"], power: Any):
    return problem.scale * jnp.where(problem.active, z, 1.0) ** power


def _residual(problem: _Problem, z: Float[Array, " P"]):
    ratio = _times(problem.matrix, z) / _power(problem, z, -problem.exponent)
    return jnp.max(jnp.where(problem.active, jnp.abs(ratio - 1), 0.0))


def _all_gain(problem: _Problem, z: Float[Array, " P"]):
    """Whether every player gains, and the sum has not cancelled to rounding."""
    rounding = 4 * len(z) * jnp.finfo(z.dtype).eps
    gains = _times(problem.matrix, z)
    terms = _times(jnp.abs(problem.matrix), z)
    enough = jnp.all(gains >= -rounding * terms)
    return enough & (z @ gains > rounding * jnp.sum(z) ** 2)


def _times(matrix: Float[Array, "P P"], vector: Float[Array, " P"]):
    return jnp.matmul(matrix, vector, precision="highest")
