r"""The convex potential that Nash-MTL and FairGrad share.

In the weights :math:`z_i = n_i w_i` of unit rows, their condition is

.. math:: (C z)_i = \kappa_i\, z_i^{-s}, \qquad s = 1 / \alpha, \quad
    \kappa_i = n_i^{s - 1}

the gradient of a strictly convex function, which Newton's method minimises.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neat_optax.aggregators._correlation import Correlation

MAX_STEPS = 60
FULL_STEP = 0.25
"""Newton decrement below which a full step converges quadratically."""
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
    problem = _Problem(rows.matrix, rows.active, exponent, scale)

    def body(carry):
        z, _, count = carry
        z = z * jnp.exp(_step(problem, z))
        return z, _residual(problem, z), count + 1

    def going(carry):
        _, residual, count = carry
        return (residual > 4 * jnp.finfo(dtype).eps) & (count < MAX_STEPS)

    start = _start(problem)
    first = (start, _residual(problem, start), jnp.zeros((), jnp.int32))
    z, residual, _ = jax.lax.while_loop(going, body, first)
    solved = _all_gain(problem, z)
    return Bargain(jnp.where(solved, z, 0.0), jnp.where(solved, residual, 0.0))


def _start(problem):
    """The solution if no two players correlated, at the length best for all."""
    power = 1 / (1 + problem.exponent)
    z = jnp.where(problem.active, problem.scale**power, 0.0)
    squared = z @ _times(problem.matrix, z)
    squared = jnp.maximum(squared, jnp.finfo(z.dtype).eps * jnp.sum(z) ** 2)
    ratio = (z @ z) / jnp.where(squared > 0, squared, 1.0)
    return z * jnp.where(squared > 0, ratio, 1.0) ** power


def _step(problem, z):
    """The change of `log z`: Newton's, in full where it is known to converge."""
    pull = jnp.where(problem.active, _power(problem, z, 1 - problem.exponent), 1.0)
    slope = jnp.where(problem.active, z * _times(problem.matrix, z) - pull, 0.0)
    scaled = z[:, None] * problem.matrix * z[None, :]
    hessian = scaled + jnp.diag(problem.exponent * pull)
    factor = jnp.linalg.cholesky(hessian)
    direction = jax.scipy.linalg.cho_solve((factor, True), -slope)
    direction = jnp.where(jnp.isfinite(direction), direction, 0.0)
    concordance = (1 + problem.exponent) / 2
    concordance = concordance / jnp.sqrt(problem.exponent * jnp.min(pull))
    decrement = concordance * jnp.sqrt(jnp.maximum(-slope @ direction, 0.0))
    lengths = 0.5 ** jnp.arange(HALVINGS, dtype=z.dtype)
    values = jax.vmap(lambda t: _potential(problem, z * jnp.exp(t * direction)))(
        lengths
    )
    searched = lengths[jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values))]
    return jnp.where(decrement < FULL_STEP, 1.0, searched) * direction


def _potential(problem, z):
    power = 1 - problem.exponent
    logarithmic = jnp.abs(power) < 1e-6
    grown = _power(problem, z, power) / jnp.where(logarithmic, 1.0, power)
    gain = jnp.where(logarithmic, problem.scale * jnp.log(z), grown)
    quadratic = z @ _times(problem.matrix, z) / 2
    return quadratic - jnp.sum(jnp.where(problem.active, gain, 0.0))


def _power(problem, z, power):
    return problem.scale * jnp.where(problem.active, z, 1.0) ** power


def _residual(problem, z):
    ratio = _times(problem.matrix, z) / _power(problem, z, -problem.exponent)
    return jnp.max(jnp.where(problem.active, jnp.abs(ratio - 1), 0.0))


def _all_gain(problem, z):
    """Whether every player gains, and the sum has not cancelled to rounding."""
    rounding = 4 * len(z) * jnp.finfo(z.dtype).eps
    gains = _times(problem.matrix, z)
    terms = _times(jnp.abs(problem.matrix), z)
    enough = jnp.all(gains >= -rounding * terms)
    return enough & (z @ gains > rounding * jnp.sum(z) ** 2)


def _times(matrix, vector):
    return jnp.matmul(matrix, vector, precision="highest")
