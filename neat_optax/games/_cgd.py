"""Competitive gradient descent: the equilibrium of a local bilinear game."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.scipy.sparse.linalg import cg

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax.games._game import Game, Products, one_each, widened


@cites("schaefer2019competitive")
def cgd(
    rate: float,
    *,
    zero_sum: bool = False,
    iterations: int = 20,
    tolerance: float = 1e-6,
) -> Callable[[Game], Any]:
    r"""Adjustment: the step to the equilibrium of the local bilinear game.

    .. math:: (I + \eta H_o)^{-1} \xi

    After `optax.sgd` with the same rate :math:`\eta` it takes all players to the Nash
    equilibrium of the game in which every loss is replaced by its gradient, the mixed
    second derivatives, and a step penalty :math:`\|\Delta\|^2 / 2 \eta`. Then it
    converges for bilinear zero-sum games at any rate; after `optax.sgd` with another
    rate as long as that is below :math:`2 \eta`. Conjugate gradients solve it on
    products with the Jacobian, which never exists: for any number of players on the
    normal equations, two products an iteration, and for `zero_sum` on the first
    player's half,

    .. math::

        (I - \eta^2 H_{12} H_{21})\, \delta_1 = \xi_1 - \eta H_{12} \xi_2, \qquad
        \delta_2 = \xi_2 - \eta H_{21} \delta_1

    which is symmetric there, one product an iteration.

    Args:
      rate: :math:`\eta`, positive, or a JAX array: the learning rate that follows.
      zero_sum: whether there are two players whose losses add up to a constant. That is
        not checked.
      iterations: the most iterations of conjugate gradients.
      tolerance: in (0, 1); iterations end where the residual is shorter than this part
        of the right-hand side.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import games
      >>> losses = lambda z: [z[0] * z[1], -z[0] * z[1]]
      >>> of_game = games.value_and_grad(losses, games.cgd(1.0))
      >>> _, grads = of_game([jnp.array(1.0), jnp.array(2.0)])
      >>> print(*[round(float(g), 4) for g in grads])
      1.5 0.5

    References:
      Schaefer & Anandkumar, "Competitive Gradient Descent", NeurIPS 2019, equation (4).
      For more than two players: Ma, Letcher, Schaefer, Shi & Anandkumar, "Polymatrix
      Competitive Gradient Descent", 2021.
    """
    _checks.check_number("rate", rate, "(0, inf)")
    _checks.check_bool("zero_sum", zero_sum)
    _checks.check_integer("iterations", iterations, 1)
    _checks.check_number("tolerance", tolerance, "(0, 1)")

    def adjust(game: Game) -> Any:
        solve = _zero_sum if zero_sum else _general

        def solved(matrix: Callable[[Any], Any], right: Any) -> Any:
            return cg(matrix, right, tol=tolerance, maxiter=iterations)[0]

        grads = widened(game.grads)
        largest = jnp.asarray(optax.tree.max(jax.tree.map(jnp.abs, grads)))
        size = jnp.where(largest > 0, largest, 1.0)  # so that no square vanishes
        unit = optax.tree.scale(1 / size, grads)
        found = solve(unit, game.off_diagonal(), rate, solved)
        return optax.tree.scale(size, found)

    return adjust


def _general(
    grads: Any, others: Products, rate: Any, solved: Callable[..., Any]
) -> Any:
    """By the normal equations: the matrix is symmetric for no other kind of game."""

    def forward(v: Any) -> Any:
        return optax.tree.add_scale(v, rate, others.jvp(v))

    def backward(v: Any) -> Any:
        return optax.tree.add_scale(v, rate, others.vjp(v))

    return solved(lambda v: backward(forward(v)), backward(grads))


def _zero_sum(
    grads: Any, others: Products, rate: Any, solved: Callable[..., Any]
) -> Any:
    """By the Schur complement, whose second term is a square."""
    parts, together = one_each(grads)
    if len(parts) != 2:
        raise ValueError(
            f"`zero_sum` must be False unless there are two players, got {len(parts)}."
        )
    first, second = parts
    none = optax.tree.zeros_like

    def upper(v: Any) -> Any:
        return one_each(others.jvp(together([none(first), v])))[0][0]

    def lower(v: Any) -> Any:
        return one_each(others.jvp(together([v, none(second)])))[0][1]

    def matrix(v: Any) -> Any:
        return optax.tree.add_scale(v, -(rate**2), upper(lower(v)))

    one = solved(matrix, optax.tree.add_scale(first, -rate, upper(second)))
    return together([one, optax.tree.add_scale(second, -rate, lower(one))])
