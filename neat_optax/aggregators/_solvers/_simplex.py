"""The simplex: projection onto it, and the point of a hull nearest to zero."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._correlation import Correlation
from neat_optax.aggregators._solvers._nnqp import nnls_onward, nnqp

SATURATED = 4.0
"""Beyond it, a step on the simplex has already set an entry to zero."""
LONGEST_SLOPE = 1e30
"""Bound on slopes, so that products with them stay finite."""


def project_simplex(
    point: Float[Array, " P"], present: Bool[Array, " P"]
) -> Float[Array, " P"]:
    """The nearest point with nonnegative entries that sum to 1, zero where absent.

    Args:
      point: [P].
      present: [P] bool, which entries may be positive.
    """
    order = jnp.sort(jnp.where(present, point, -jnp.inf))[::-1]
    counts = jnp.arange(1, len(point) + 1)
    shifts = (jnp.cumsum(jnp.where(order > -jnp.inf, order, 0)) - 1) / counts
    last = jnp.sum((order > shifts) & (order > -jnp.inf))
    shift = shifts[jnp.maximum(last - 1, 0)]
    return jnp.where(present, jnp.maximum(point - shift, 0), 0)


def descend_simplex(
    products: Float[Array, "P P"],
    weights: Float[Array, " P"],
    step_size: Any,
    decay: Any,
    present: Bool[Array, " P"],
    scale: Any = 1.0,
) -> Float[Array, " P"]:
    r"""The weights after one projected step towards a shorter combination.

    .. math:: w \leftarrow \Pi_\Delta \bigl(w - \gamma\, (s^2 A w + \rho\, w)\bigr)

    Only differences of slopes count on the simplex, and a step of more than its
    diameter has already set an entry to zero, so long gradients cannot overflow.

    Args:
      products: `A` [P, P], inner products of gradients divided by `scale`.
      weights: `w` [P] before.
      step_size: nonnegative.
      decay: nonnegative, towards equal weights.
      present: [P] bool, which entries may be positive.
      scale: `s`.
    """

    def above_smallest(values: Float[Array, " P"]):
        smallest = jnp.min(jnp.where(present, values, jnp.inf))
        return jnp.where(present, values - smallest, 0)

    gains = above_smallest(jnp.matmul(products, weights, precision="highest"))
    slope = jnp.minimum(gains * scale * scale, LONGEST_SLOPE) + decay * weights
    step = jnp.minimum(above_smallest(step_size * slope), SATURATED)
    return project_simplex(weights - step, present)


class MinNorm(NamedTuple):
    """The point of the convex hull of the gradients that is nearest to zero."""

    weights: jax.Array  # [P], nonnegative, sum 1
    norm: jax.Array  # its distance from zero
    residual: jax.Array
    flattest: jax.Array  # see `Solution`


@jax.jit
def min_norm(rows: Correlation, present: Bool[Array, " P"]) -> MinNorm:
    r"""Solves :math:`\min_w |\sum_i w_i g_i|` over the simplex of the present players.

    In the weights of unit rows, scaled so that the smallest norm is 1, this is a
    nonnegative quadratic program with a unit diagonal for every scale of the rows:
    with `b = n_min / n_i`, minimize `1/2 y'(C + bb')y - b'y`, then `w = y b / (y'b)`.

    A present player with a zero gradient is itself the nearest point.
    """
    # For z with b'z = 1 and y = t z, 1/2 y'Cy + 1/2 (1 - b'y)^2 is least at
    # t = 1 / (1 + q), q = z'Cz, with the value q / (2 (1 + q)), which grows with q.
    smallest = jnp.min(jnp.where(rows.active, rows.norms, jnp.inf))
    smallest = jnp.where(smallest < jnp.inf, smallest, 1.0)
    relative = jnp.where(rows.active, smallest * rows.per_norm, 0)
    lengths = jnp.sqrt(1 + relative**2)
    outer = relative[:, None] * relative[None, :]
    matrix = (rows.matrix + outer) / (lengths[:, None] * lengths[None, :])
    solution = nnqp(matrix, -(relative / lengths)[None])
    scaled = solution.point[0] / lengths
    total = scaled @ relative
    weights = _tree.safe_divide(scaled * relative, total)
    idle = present & ~rows.active
    nothing = jnp.any(idle)
    at_zero = idle / jnp.maximum(jnp.sum(idle), 1)
    squared = scaled @ jnp.matmul(rows.matrix, scaled, precision="highest")
    length = jnp.where(jnp.any(rows.active), smallest, 0)
    norm = _tree.safe_divide(_tree.root(jnp.maximum(squared, 0)), total) * length
    return MinNorm(
        weights=jnp.where(nothing, at_zero, weights).astype(weights.dtype),
        norm=jnp.where(nothing, 0.0, norm),
        residual=jnp.where(nothing, 0.0, solution.residual[0]),
        flattest=jnp.where(nothing, 1.0, solution.flattest[0]),
    )


@jax.jit
def correct_min_norm(
    rows: Correlation, weights: Float[Array, " P"], gains: Float[Array, " P"]
) -> tuple[Float[Array, " P"], jax.Array]:
    r"""The weights of `min_norm` and their residual, from others and their gains on.

    The program of `min_norm` with `1/2 h^2 (1 - b'y)^2` for the last term, where `h` is
    as long as the combination of the weights, so that neither term drowns the other.

    Args:
      rows: with coordinates, and no row that is present and zero.
      weights: on the simplex.
      gains: [P], inner products of the rows with their combination.
    """
    eps = jnp.finfo(gains.dtype).eps
    smallest = jnp.min(jnp.where(rows.active, rows.norms, jnp.inf))
    smallest = jnp.where(smallest < jnp.inf, smallest, 1.0)
    relative = smallest * rows.per_norm
    squared = jnp.maximum(weights @ gains, 0) / smallest**2
    height = jnp.clip(jnp.sqrt(squared), jnp.sqrt(eps), 1.0)
    share = height**2 / (squared + height**2)
    lengths = jnp.sqrt(1 + (height * relative) ** 2)
    point = share * _tree.safe_divide(weights, relative) * lengths
    slope = share * gains * rows.per_norm / smallest
    slope = (slope + height**2 * (share - 1) * relative) / lengths
    inside = jnp.asarray(rows.coordinates)
    factor = jnp.concatenate([inside, height * relative[:, None]], axis=1)
    solution = nnls_onward(factor / lengths[:, None], point[None], slope[None])
    found = solution.point[0] / lengths * relative
    return _tree.safe_divide(found, jnp.sum(found)), solution.residual[0]
