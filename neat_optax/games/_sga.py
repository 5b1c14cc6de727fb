"""Symplectic gradient adjustment: against the part of a game that rotates."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax.games._game import Game, inner, one_each, widened


@cites("balduzzi2018mechanics")
def sga(
    strength: float = 1.0, *, align: bool = True, epsilon: float = 0.1
) -> Callable[[Game], Any]:
    r"""Adjustment: adds what the antisymmetric part of the Jacobian makes of it.

    .. math::

        \xi + \lambda A^\top \xi, \qquad A = \tfrac12 (H - H^\top)

    In a potential game, :math:`A = 0`, it changes nothing; in a Hamiltonian game,
    :math:`H = A`, it adds the gradient of :math:`\tfrac12 \|\xi\|^2`, as consensus
    optimization does everywhere. With `align`, the sign of :math:`\lambda` is such that
    the adjustment pulls to stable fixed points and pushes away from unstable ones:

    .. math::

        \lambda = s\, \mathrm{sign}\bigl(\tfrac1d \langle \xi, H^\top \xi \rangle
        \langle A^\top \xi, H^\top \xi \rangle + \varepsilon\bigr)

    where :math:`d` is the number of parameters of all players. Costs two products.

    Args:
      strength: :math:`s`, at least 0, or a JAX array.
      align: whether the sign is chosen; otherwise it is positive.
      epsilon: :math:`\varepsilon`, at least 0, which prefers the positive sign where
        little tells. It is in units of the fourth power of a gradient.

    The authors' code divides by the number of arrays instead of :math:`d`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import games
      >>> losses = lambda z: [z[0] * z[1], -z[0] * z[1]]
      >>> of_game = games.value_and_grad(losses, games.sga())
      >>> _, grads = of_game([jnp.array(1.0), jnp.array(2.0)])
      >>> print(*grads)
      3.0 1.0

    References:
      Balduzzi, Racaniere, Martens, Foerster, Tuyls & Graepel, "The Mechanics of
      n-Player Differentiable Games", ICML 2018, Algorithm 1.
    """
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_bool("align", align)
    _checks.check_number("epsilon", epsilon, "[0, inf)")

    def adjust(game: Game) -> Any:
        grads, turn = widened(game.grads), _turn(game)
        if not align:
            return optax.tree.add_scale(grads, strength, turn)
        moved = game.jacobian().jvp(grads)
        pull = optax.tree.add_scale(moved, 2.0, turn)
        return optax.tree.add_scale(
            grads, strength * _alignment(grads, turn, pull, epsilon), turn
        )

    return adjust


def _turn(game: Game) -> Any:
    """The transposed antisymmetric part times the gradient: no block on the diagonal.

    Its part of player i is half the gradient of a sum over j of the derivatives of
    the difference of losses j and i along the gradient of j.
    """
    grads, _ = one_each(game.grads)

    def scalar(i: int, slope: Callable[[int, Any], jax.Array]) -> Any:
        total = jnp.float32(0)
        for j, direction in enumerate(grads):
            if j != i:
                slopes = slope(j, direction)
                total += (slopes[j] - slopes[i]) / 2
        return total

    return game.mixed(scalar)


def _alignment(grads: Any, turn: Any, pull: Any, epsilon: Any) -> jax.Array:
    """The sign that takes the gradient towards stable points.

    `pull` is the gradient of half the squared length of the simultaneous gradient.
    """
    size = sum(leaf.size for leaf in jax.tree.leaves(grads))
    agreement = inner(grads, pull) / size * inner(turn, pull)
    return jnp.where(agreement + epsilon < 0, -1.0, 1.0)
