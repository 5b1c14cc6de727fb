"""Aligned-MTL: the principal components of the gradients, aligned and rescaled."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._solvers._spectrum import eigenpairs
from neat_optax.aggregators._weighting import everyone, shares, stateless_weighting

SCALES = ("min", "median", "rmse")


def aligned_mtl_weights(
    gramian: Float[Array, "P P"],
    preference: Any = None,
    present: Bool[Array, " P"] | None = None,
    scale: str = "min",
) -> Float[Array, " P"]:
    r"""Weights of Aligned-MTL.

    .. math:: w = \sqrt{s}\, V \Lambda^{-1/2} V^\top p, \qquad G = V \Lambda V^\top

    Args:
      gramian: [P, P], inner products of the gradients.
      preference: [P] nonnegative `p`; `1 / P` each by default.
      present: [P] bool; absent players have zero rows, and no share.
      scale: see `aligned_mtl`.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> print(aligned_mtl_weights(jnp.diag(jnp.array([1.0, 4.0]))).round(6))
      [0.5  0.25]
    """
    return _decide(gramian, shares(everyone(gramian, present), preference), scale)


@cites("senushkin2023independent")
def aligned_mtl(
    scale: str = "min",
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Aligned-MTL: orthogonalizes the gradients with equal singular values, then sums.

    .. math:: u = \sqrt{s} \sum_i p_i\, \hat g_i, \qquad
        \hat J = V \Lambda^{-1/2} V^\top J, \quad J J^\top = V \Lambda V^\top

    Eigenvalues below `P * eps` of the largest count as zero, so a gradient much shorter
    than the others, by `1e-3` in float32, is lost. The update may conflict with a
    player.

    Args:
      scale: `s`, the "min", the lower "median" or, as "rmse", the mean of the
        eigenvalues that are not zero.
      preference: nonnegative `p`, taken as it is; `1 / P` each by default. Overridden
        by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.aligned_mtl()
      >>> g = jnp.array([[1.0, 0.0], [0.0, 2.0]])
      >>> print(tx.update(g, tx.init(g[0]))[0].round(6))
      [0.5 0.5]

    References:
      Senushkin et al., "Independent Component Alignment for Multi-Task Learning", 2023,
      Algorithm 1. Their code sums the players; here the default is their mean.
    """
    _checks.check_preference("preference", preference)
    _checks.check_choice("scale", scale, SCALES)
    weighting = stateless_weighting(
        lambda players: _decide(players.gramian, players.shares(preference), scale),
        "aligned_mtl",
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _decide(gramian: Float[Array, "P P"], preference: Float[Array, " P"], scale: str):
    values, vectors, counts = eigenpairs(_tree.widen(gramian))
    root = _tree.root(jnp.where(counts, values, 0))
    within = jnp.matmul(preference, vectors, precision="highest")
    length = _tree.root(_scale(values, counts, scale))
    aligned = _tree.safe_divide(within, root) * length
    return jnp.matmul(vectors, aligned, precision="highest")


def _scale(values: Float[Array, " P"], counts: Bool[Array, " P"], scale: str):
    """Of the eigenvalues that count, which come last in ascending order."""
    rank = jnp.sum(counts)
    if scale == "rmse":
        return jnp.sum(jnp.where(counts, values, 0)) / jnp.maximum(rank, 1)
    first = len(values) - rank
    index = first if scale == "min" else first + (rank - 1) // 2
    return jnp.where(rank > 0, values[jnp.clip(index, 0, len(values) - 1)], 0)
