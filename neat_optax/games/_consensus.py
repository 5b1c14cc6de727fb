"""Consensus optimization: a pull to points where nobody wants to move."""

from collections.abc import Callable
from typing import Any

import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax.games._game import Game, widened


@cites("mescheder2017numerics")
def consensus(strength: float = 1.0) -> Callable[[Game], Any]:
    r"""Adjustment: descends on the length of the simultaneous gradient as well.

    .. math:: \xi + \gamma \nabla \tfrac12 \|\xi\|^2 = \xi + \gamma H^\top \xi

    Around a fixed point where the Jacobian :math:`H` is invertible, eigenvalues on the
    imaginary axis move to its right, so that a rotation becomes a spiral inward. The
    second term is drawn to every fixed point, those that a player would leave included:
    :math:`\gamma` must be small enough for the first to win there. Costs one product.

    Args:
      strength: :math:`\gamma`, at least 0, or a JAX array.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import games
      >>> losses = lambda z: [z[0] * z[1], -z[0] * z[1]]
      >>> of_game = games.value_and_grad(losses, games.consensus(0.5))
      >>> _, grads = of_game([jnp.array(1.0), jnp.array(2.0)])
      >>> print(*grads)
      2.5 0.0

    References:
      Mescheder, Nowozin & Geiger, "The Numerics of GANs", NeurIPS 2017, Algorithm 2.
    """
    _checks.check_number("strength", strength, "[0, inf)")

    def adjust(game: Game) -> Any:
        grads = widened(game.grads)
        return optax.tree.add_scale(grads, strength, game.jacobian().vjp(grads))

    return adjust
