"""IMTL-G: the impartial update, with equal projections on all gradients."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from neat_optax import _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._spectrum import equal_projections
from neat_optax.aggregators._weighting import Decision, stateless_weighting


def imtl_g_weights(gramian: Float[Array, "P P"]) -> Float[Array, " P"]:
    r"""Weights of IMTL-G.

    .. math:: w_i = \frac{y_i / n_i}{\sum_j y_j / n_j}, \qquad C y = 1

    Args:
      gramian: [P, P], inner products of the gradients. Zero rows get the weight 0.

    Returns:
      [P] weights of the gradients, with the sum 1; all zero where that sum vanishes.

    Example:
      >>> import jax.numpy as jnp
      >>> print(imtl_g_weights(jnp.diag(jnp.array([1.0, 9.0]))).round(6))
      [0.75 0.25]
    """
    return _decide(gramian).weights


@cites("liu2021towards")
def imtl_g(
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""IMTL-G: the impartial update, with equal projections on all gradients.

    .. math:: u = \sum_i w_i g_i, \qquad
        u \cdot \frac{g_i}{n_i} = u \cdot \frac{g_j}{n_j}, \quad \sum_i w_i = 1

    The system is solved on the correlation matrix, not on the Gramian, whose condition
    is its square. Where gradients depend on one another it is solved in the least
    squares sense, eigenvalues below `P * eps` of the largest counting as zero, and the
    measures' residual says how unequal the projections are. The weights sum to 1 and
    may be negative; with a negative sum before normalization the update conflicts
    with every player, as in the paper.

    Args:
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.imtl_g()
      >>> g = jnp.array([[1.0, 0.0], [0.0, 3.0]])
      >>> print(tx.update(g, tx.init(g[0]))[0].round(6))
      [0.75 0.75]

    References:
      Liu et al., "Towards Impartial Multi-task Learning", 2021, eq. 6.
    """
    weighting = stateless_weighting(lambda players: _decide(players.gramian), "imtl_g")
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(gramian: Float[Array, "P P"]) -> Decision:
    rows = correlation(gramian)
    solution = equal_projections(rows, jnp.ones_like(rows.norms))
    smallest = jnp.min(jnp.where(rows.active, rows.norms, jnp.inf))
    weights = solution.point * jnp.where(rows.active, smallest * rows.per_norm, 0)
    total = jnp.sum(weights)
    rounding = len(weights) * jnp.finfo(weights.dtype).eps * jnp.sum(jnp.abs(weights))
    total = jnp.where(jnp.abs(total) > rounding, total, 0)
    return Decision(_tree.safe_divide(weights, total), solution.residual)
