"""The formulas of signals: sizes of gradients, their averages and means.

Each signal is a nonnegative real array. Divided by its mean over a scope it has no
unit, so that no decision depends on the scale of the loss.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree


def usable(gradient: jax.Array) -> jax.Array:
    """A gradient in float32 or wider, 0 where its square is not a finite number."""
    g = _tree.widen(gradient)
    return jnp.where(_has_square(g), g, 0)


def magnitude(gradient: jax.Array) -> jax.Array:
    """`abs(usable(gradient))`, as an operation of its own.

    What both averages and signals read, XLA:CPU stores, unless it follows from a single
    stored array in a single operation. A choice does not, so each has its own.
    """
    g = _tree.widen(gradient)
    return jnp.where(_has_square(g), jnp.abs(g), 0)


def scaled(coefficient: jax.Array, gradient: jax.Array) -> jax.Array:
    """`coefficient * usable(gradient)` in the dtype of the gradient."""
    g = _tree.widen(gradient)
    return jnp.where(_has_square(g), coefficient * g, 0).astype(gradient.dtype)


def square(x: jax.Array) -> jax.Array:
    r"""The real square :math:`|x|^2`."""
    if jnp.iscomplexobj(x):
        return jnp.real(x) ** 2 + jnp.imag(x) ** 2
    return x * x


def total(x: jax.Array) -> jax.Array:
    """The sum of `abs(x)`, not guarded. No array is stored on the way."""
    return jnp.sum(jnp.abs(apart(_tree.widen(x))))


def total_magnitude(gradients: Sequence[jax.Array]) -> list[jax.Array]:
    """The sum of `magnitude(g)` for each gradient.

    A sum below the root of the largest number shows that every square was finite. Only
    where one is not below it, all are summed again with guards, which takes longer.
    """
    totals = [total(g) for g in gradients]
    if not totals:
        return []
    below = [x < _largest_root(x.dtype) for x in totals]
    return jax.lax.cond(
        jnp.all(jnp.stack(below)),
        lambda: totals,
        lambda: [jnp.sum(magnitude(g)) for g in gradients],
    )


def apart(x: Any) -> Any:
    """The same for a sum alone.

    XLA:CPU sums what follows from stored arrays in one kernel, unless something else
    reads a part of it too: then it stores that part first.
    """
    return jax.lax.optimization_barrier(x)


def averaged(memory: jax.Array, value: jax.Array, decay: Any) -> jax.Array:
    r"""The next average :math:`d\, m + (1 - d)\, x`.

    Args:
      memory: :math:`m`.
      value: :math:`x`.
      decay: :math:`d` in [0, 1).
    """
    return decay * memory + (1 - decay) * value


def memory_signal(momentum: jax.Array, variance: jax.Array) -> jax.Array:
    r"""How steady the past of a weight is: :math:`|M| / \sqrt V`, 0 without a past.

    Args:
      momentum: the average :math:`M` of the gradients.
      variance: the average :math:`V` of their squares, real. What is below the
        smallest normal number counts as that.

    Example:
      >>> import jax.numpy as jnp
      >>> memory_signal(jnp.array([-1.0, 0.0]), jnp.array([4.0, 0.0])).tolist()
      [0.5, 0.0]
    """
    return _over_root(momentum, variance, _smallest(variance))


def total_memory_signal(momentum: jax.Array, variance: jax.Array) -> jax.Array:
    """The sum of `memory_signal`. No array is stored on the way."""
    return jnp.sum(_over_root(*apart((momentum, variance, _smallest(variance)))))


def over_mean(mean: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""Brings a signal into units of its mean, :math:`x / \bar x`.

    There is no epsilon: a signal times any constant gives the same. A signal that is
    zero everywhere counts as 1 everywhere.

    Args:
      mean: the mean :math:`\bar x` of a nonnegative signal, of shape [].

    Returns:
      A factor and an offset: `factor * x + offset` is the signal in units of its mean.

    Example:
      >>> import jax.numpy as jnp
      >>> factor, offset = over_mean(jnp.array(2e-30))
      >>> (factor * jnp.array([1e-30, 3e-30]) + offset).tolist()
      [0.5, 1.5]
    """
    positive = mean > 2 * jnp.finfo(mean.dtype).tiny
    factor = jnp.where(positive, 1 / jnp.where(positive, mean, 1), 0)
    return factor, jnp.where(positive, 0.0, 1.0).astype(factor.dtype)


def _over_root(
    momentum: jax.Array, variance: jax.Array, smallest: jax.Array
) -> jax.Array:
    return jnp.abs(momentum) / _tree.root(jnp.maximum(variance, smallest))


def _smallest(x: jax.Array) -> jax.Array:
    """The smallest normal number."""
    return jnp.asarray(jnp.finfo(x.dtype).tiny, x.dtype)


def _largest_root(dtype: Any) -> float:
    """A power of 2 with a finite square; the square of twice it is infinite."""
    return 2.0 ** (jnp.finfo(dtype).maxexp // 2 - 1)


def _has_square(g: jax.Array) -> jax.Array:
    """Whether `square(g)` is finite."""
    if jnp.iscomplexobj(g):
        return jnp.isfinite(square(g))
    return jnp.abs(g) < 2 * _largest_root(g.dtype)
