"""ConFIG: the conflict-free direction with equal cosines to all gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import Correlation, correlation
from neat_optax.aggregators._solvers._spectrum import equal_projections
from neat_optax.aggregators._weighting import Decision, Players, stateless_weighting

LENGTHS = ("projection", "minimum", "maximum", "harmonic", "arithmetic", "geometric")


def conflict_free_weights(
    gramian: Float[Array, "P P"], preference: Any = None, length: str = "projection"
) -> Float[Array, " P"]:
    r"""Weights of ConFIG.

    .. math:: u = \ell\, \frac{d}{|d|}, \qquad d = \sum_i y_i \frac{g_i}{n_i}, \quad
        C y = p

    Args:
      gramian: [P, P], inner products of the gradients. Zero rows get the weight 0.
      preference: [P] positive `p`, the wanted ratios of the cosines; all 1 by default.
      length: see `conflict_free`.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> print(conflict_free_weights(jnp.diag(jnp.array([1.0, 9.0]))).round(4))
      [2.     0.6667]
    """
    if preference is None:
        preference = jnp.ones(len(gramian))
    return decide(gramian, preference, length).weights


@cites("liu2024config")
def conflict_free(
    length: str = "projection",
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""ConFIG: the conflict-free direction with equal cosines to all gradients.

    .. math:: u = \ell\, \frac{d}{|d|}, \qquad d = \sum_i y_i \frac{g_i}{n_i}, \quad
        C y = p

    Never conflicts with a player while the gradients are linearly independent. Only
    the `[P, P]` correlation matrix is decomposed, never the gradients. Where they
    depend on one another the system is solved in the least squares sense, eigenvalues
    below `P * eps` of the largest counting as zero, and the measures' residual says how
    far the cosines are from their ratios.

    Args:
      length: what the length is the sum of, each times the player's cosine with the
        update: "projection" takes the player's own norm, and "minimum", "maximum",
        "harmonic", "arithmetic" or "geometric" that mean of all norms.
      preference: `p`, nonnegative ratios of the cosines; all 1 by default. Overridden
        by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.conflict_free()
      >>> g = jnp.array([[1.0, 0.0], [0.0, 3.0]])
      >>> print(tx.update(g, tx.init(g[0]))[0].round(4))
      [2. 2.]

    References:
      Liu, Chu and Thuerey, "ConFIG: Towards Conflict-free Training of Physics Informed
      Neural Networks", 2024, eq. 2 and 3.
    """
    _checks.check_preference("preference", preference)
    _checks.check_choice("length", length, LENGTHS)

    def weigh(players: Players):
        wanted = preference if players.preference is None else players.preference
        wanted = jnp.ones(len(players.gramian)) if wanted is None else wanted
        return decide(players.gramian, jnp.asarray(wanted, jnp.float32), length)

    weighting = stateless_weighting(weigh, "config")
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def decide(
    gramian: Float[Array, "P P"], preference: Float[Array, " P"], length: str
) -> Decision:
    rows = correlation(gramian)
    solution = equal_projections(rows, preference)
    point = solution.point
    gains = jnp.where(rows.active, _times(rows.matrix, point), 0)
    squared = jnp.maximum(point @ gains, 0)
    reference = _reference_norms(rows, length)
    # l / |d| with l = sum_i reference_i (gain_i / |d|)
    factor = _tree.safe_divide(jnp.sum(reference * gains), squared)
    return Decision(factor * point * rows.per_norm, solution.residual)


def _reference_norms(rows: Correlation, length: str):
    norms, active = rows.norms, rows.active
    count = jnp.maximum(jnp.sum(active), 1)
    if length == "projection":
        return norms
    safe = jnp.where(active, norms, 1.0)
    means = {
        "minimum": lambda: jnp.min(jnp.where(active, norms, jnp.inf)),
        "maximum": lambda: jnp.max(norms),
        "harmonic": lambda: count / jnp.sum(jnp.where(active, 1 / safe, 0)),
        "arithmetic": lambda: jnp.sum(norms) / count,
        "geometric": lambda: jnp.exp(jnp.sum(jnp.log(safe)) / count),
    }
    return jnp.where(active, means[length](), 0)


def _times(matrix: Float[Array, "P P"], vector: Float[Array, " P"]):
    return jnp.matmul(matrix, vector, precision="highest")
