"""The bounds of a plasticity coefficient, and its way there."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def clipped(mixture: jax.Array, minimum: ArrayLike, maximum: ArrayLike) -> jax.Array:
    """A mixture of signals inside its bounds."""
    return jnp.clip(mixture, minimum, maximum)


def mixed(
    grad_only: jax.Array,
    full: jax.Array,
    strength: Any,
    minimum: ArrayLike,
    maximum: ArrayLike,
) -> jax.Array:
    r"""The coefficient between that of the gradient alone and that of all signals.

    .. math:: \alpha = \operatorname{clip}\bigl(
        a_g + s\, (a - a_g),\; \alpha_{\min},\; \alpha_{\max}\bigr)

    With :math:`s > 1` the mixture leaves the bounds that both coefficients keep, so it
    is clipped again: with :math:`\alpha_{\min} \ge 0` no update ascends.

    Args:
      grad_only: :math:`a_g`, clipped.
      full: :math:`a`, clipped.
      strength: :math:`s` at least 0.
      minimum: :math:`\alpha_{\min}`.
      maximum: :math:`\alpha_{\max}`.

    Example:
      >>> import jax.numpy as jnp
      >>> mixed(jnp.array(0.5), jnp.array(0.25), 4.0, 0.2, 2.0).item()
      0.20000000298023224
    """
    return clipped(grad_only + strength * (full - grad_only), minimum, maximum)
