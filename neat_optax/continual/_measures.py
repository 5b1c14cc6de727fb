"""Measures of features and of kernels: ranks, isometry, norms."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax.continual import _isometry


class Ranks(NamedTuple):
    """Of a matrix."""

    effective: jax.Array
    srank: jax.Array
    stable: jax.Array


@cites("roy2007effective")
def effective_rank(x: Any) -> jax.Array:
    r"""The exponential of the entropy of the singular values.

    .. math:: \exp\Bigl(-\sum_i p_i \log p_i\Bigr), \qquad
        p_i = \frac{\sigma_i}{\sum_j \sigma_j}

    Args:
      x: features [..., units] or a kernel [..., inputs, outputs]: a matrix whose rows
        are all axes but the last. Features are not centered.

    Returns:
      [] in float32 or wider, from 1 to the smaller side of the matrix; 0 where all is
      zero, NaN where something is not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(effective_rank(jnp.eye(4)).round(3))
      4.0

    References:
      Roy and Vetterli, "The effective rank: A measure of effective dimensionality",
      2007, definition 1.
    """
    return ranks(x).effective


@cites("kumar2021implicit")
def srank(x: Any, delta: ArrayLike = 0.01) -> jax.Array:
    r"""How many of the largest singular values make nearly all of their sum.

    .. math:: \min\Bigl\{k : \frac{\sum_{i \le k} \sigma_i}{\sum_i \sigma_i}
        \ge 1 - \delta\Bigr\}

    It is called an effective rank too.

    Args:
      x: as in `effective_rank`.
      delta: :math:`\delta` in [0, 1).

    Returns:
      [] a whole number in float32 or wider; 0 where all is zero, NaN where something is
      not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(srank(jnp.diag(jnp.array([6.0, 3.9, 0.1]))))
      2.0

    References:
      Kumar, Agarwal, Ghosh and Levine, "Implicit Under-Parameterization Inhibits
      Data-Efficient Deep Reinforcement Learning", 2021, definition 1.
    """
    _checks.check_number("delta", delta, "[0, 1)")
    return ranks(x, delta).srank


@cites("rudelson2007sampling")
def stable_rank(x: Any) -> jax.Array:
    r"""The squared Frobenius norm over the squared spectral norm.

    .. math:: \frac{\|W\|_F^2}{\|W\|_2^2} = \sum_i \frac{\sigma_i^2}{\sigma_1^2}

    Args:
      x: as in `effective_rank`.

    Returns:
      [] in float32 or wider, from 1 to the smaller side of the matrix; 0 where all is
      zero, NaN where something is not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> print(stable_rank(jnp.diag(jnp.array([2.0, 1.0]))))
      1.25

    References:
      Rudelson and Vershynin, "Sampling from large matrices: An approach through
      geometric functional analysis", 2007, section 1.
    """
    return ranks(x).stable


@cites("han2026fire")
def isometry_deviation(kernel: Any) -> jax.Array:
    r"""How far a kernel is from an isometry.

    .. math:: \|W^\top W - I\|_F^2

    for a kernel with at least as many inputs as outputs, :math:`\|W W^\top - I\|_F^2`
    for others: of the two Gram matrices the smaller, which can be the identity.

    Args:
      kernel: [..., inputs, outputs], as in `effective_rank`.

    Returns:
      [] in float32 or wider.

    Example:
      >>> import jax.numpy as jnp
      >>> print(isometry_deviation(2 * jnp.eye(3)))
      27.0

    References:
      Han et al., "FIRE: Frobenius-Isometry Reinitialization for Balancing the
      Stability-Plasticity Tradeoff", 2026.
    """
    return _isometry.deviation(_matrix(kernel))


def feature_norm(features: Any) -> jax.Array:
    r"""The mean length of a feature vector.

    .. math:: \frac1T \sum_t \|h_t\|_2

    Args:
      features: [..., units].

    Returns:
      [] in float32 or wider.

    Example:
      >>> import jax.numpy as jnp
      >>> print(feature_norm(jnp.array([[3.0, 4.0], [0.0, 1.0]])))
      3.0
    """
    rows = jnp.abs(_matrix(features))
    largest = jnp.max(rows, axis=1, keepdims=True, initial=0)
    scaled = _tree.safe_divide(rows, largest)
    lengths = jnp.sqrt(jnp.sum(jnp.square(scaled), axis=1)) * largest[:, 0]
    return jnp.mean(lengths)


def _matrix(x: Any) -> jax.Array:
    """[rows, columns] in float32 or wider."""
    _checks.check_inexact("x", x)
    wide = _tree.unsharded(_tree.widen(x))
    if wide.ndim < 2:
        raise ValueError(
            f"`x` must be an array of two axes or more, got shape {wide.shape}."
        )
    return wide.reshape(-1, wide.shape[-1])


def ranks(x: Any, delta: ArrayLike = 0.01) -> Ranks:
    """All of them, of one decomposition."""
    values = jnp.linalg.svd(_matrix(x), compute_uv=False)
    total = jnp.sum(values)
    share = _tree.safe_divide(values, total)
    entropy = -jnp.sum(share * jnp.log(jnp.where(share > 0, share, 1)))
    sums = jnp.cumsum(share)
    below = sums[:-1] < (1 - delta) * jnp.max(sums, initial=0)
    counted = jnp.where(jnp.isnan(total), jnp.nan, 1 + jnp.sum(below))
    parts = _tree.safe_divide(values, jnp.max(values, initial=0))
    return Ranks(
        jnp.where(total == 0, 0, jnp.exp(entropy)),
        jnp.where(total == 0, 0, counted).astype(total.dtype),
        jnp.sum(jnp.square(parts)),
    )
