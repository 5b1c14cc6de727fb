"""Adam's division for a direction that is no gradient: M-ConFIG's second moment."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree


class Moments(NamedTuple):
    """One leaf's update and next moments."""

    update: jax.Array
    momentum: jax.Array
    second_moment: jax.Array


def divide_by_pseudo_root(
    direction: jax.Array,
    momentum: jax.Array,
    second_moment: jax.Array,
    step: jax.Array,
    decays: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> Moments:
    r"""Divides a direction by the root of the second moment of its pseudo-gradient.

    .. math:: m_t = (1 - \beta_1^t)\, d, \qquad
        \tilde g = \frac{m_t - \beta_1 m_{t-1}}{1 - \beta_1}, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, \tilde g^2, \qquad
        u = \frac{d}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    Args:
      direction: [...] `d`.
      momentum: [...] :math:`m_{t-1}`.
      second_moment: [...] :math:`v_{t-1}`.
      step: [] `t`, at least 1.
      decays: :math:`\beta_1` and :math:`\beta_2`.
      eps: :math:`\epsilon`.

    Returns:
      `u`, :math:`m_t` and :math:`v_t`.

    Example:
      >>> import jax.numpy as jnp
      >>> zero = jnp.zeros(1)
      >>> one = jnp.array(1)
      >>> print(divide_by_pseudo_root(jnp.array([-4.0]), zero, zero, one).update)
      [-1.]
    """
    first, second = decays
    fresh = bias_share(first, step) * direction
    pseudo = (fresh - first * momentum) / (1 - first)
    power = jnp.real(pseudo * jnp.conj(pseudo))
    moment = second * second_moment + (1 - second) * power
    root = _tree.root(moment / bias_share(second, step))
    return Moments(direction / (root + eps), fresh, moment)


def bias_share(decay: float | jax.Array, count: jax.Array) -> jax.Array:
    """`1 - decay**count` without loss of digits for a decay near 1."""
    if isinstance(decay, jax.Array):
        log: Any = jnp.log(decay)
    else:
        log = math.log(decay) if decay > 0 else -math.inf
    return jnp.where(count > 0, -jnp.expm1(jnp.maximum(count, 1) * log), 0)
