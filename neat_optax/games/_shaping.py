"""Players that look one step of the others ahead: look-ahead, LOLA, SOS."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax.games._game import Game, Products, inner, one_each, widened


@cites("zhang2010multiagent", "letcher2019stable")
def lookahead(rate: float) -> Callable[[Game], Any]:
    r"""Adjustment: each player expects one gradient step of the others.

    .. math:: \xi_0 = (I - \alpha H_o)\, \xi

    To first order in :math:`\alpha` this is the gradient of
    :math:`L_i(\theta_i, \theta_{-i} - \alpha \xi_{-i})` by :math:`\theta_i`, where the
    step of the others is held fixed; where losses are quadratic it is exactly that.
    Converges to stable fixed points only. Costs one product.

    Args:
      rate: :math:`\alpha`, at least 0, or a JAX array: how large a step of the others
        is expected, by default their learning rate.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import games
      >>> losses = lambda z: [z[0] * z[1], -z[0] * z[1]]
      >>> of_game = games.value_and_grad(losses, games.lookahead(0.5))
      >>> _, grads = of_game([jnp.array(1.0), jnp.array(2.0)])
      >>> print(*grads)
      2.5 0.0

    References:
      Zhang & Lesser, "Multi-Agent Learning with Policy Prediction", AAAI 2010; in this
      form Letcher et al., "Stable Opponent Shaping in Differentiable Games", ICLR 2019.
    """
    _checks.check_number("rate", rate, "[0, inf)")

    def adjust(game: Game) -> Any:
        return _expecting(game, game.off_diagonal(), rate)

    return adjust


@cites("foerster2018learning")
def lola(rate: float, *, expect: bool = True) -> Callable[[Game], Any]:
    r"""Adjustment: each player shapes the step that the others are about to take.

    .. math::

        \xi_0 - \alpha \chi, \qquad
        \chi_i = \sum_{j \ne i} H_{ji}^\top\, \nabla_{\theta_j} L_i

    with :math:`\xi_0` of `lookahead`. To first order it is the gradient of
    :math:`L_i(\theta_i, \theta_{-i} - \alpha \xi_{-i}(\theta))` by :math:`\theta_i`,
    through the step of the others. In the iterated prisoner's dilemma it finds
    tit-for-tat. It may converge to points that are no fixed points, as in the tandem
    game; `sos` does not. Costs two products with two players, and `n` with more.

    Args:
      rate: :math:`\alpha`, at least 0, or a JAX array.
      expect: whether :math:`\xi_0` is where it starts from, as in Letcher et al.; False
        is the update of the 2018 paper, :math:`\xi - \alpha \chi`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import games
      >>> losses = lambda z: [z[0] * z[1], -z[0] * z[1]]
      >>> of_game = games.value_and_grad(losses, games.lola(0.5))
      >>> _, grads = of_game([jnp.array(1.0), jnp.array(2.0)])
      >>> print(*grads)
      3.0 1.0

    References:
      Foerster, Chen, Al-Shedivat, Whiteson, Abbeel & Mordatch, "Learning with
      Opponent-Learning Awareness", AAMAS 2018, section 4.
    """
    _checks.check_number("rate", rate, "[0, inf)")
    _checks.check_bool("expect", expect)

    def adjust(game: Game) -> Any:
        others = game.off_diagonal()
        start = _expecting(game, others, rate) if expect else widened(game.grads)
        return optax.tree.add_scale(start, -rate, _shaping(game, others))

    return adjust


@cites("letcher2019stable")
def sos(
    rate: float, *, alignment: float = 0.5, radius: float = 0.1
) -> Callable[[Game], Any]:
    r"""Adjustment: stable opponent shaping, LOLA where it does no harm.

    .. math:: \xi_p = \xi_0 - p\, \alpha \chi

    with :math:`\xi_0` of `lookahead`, :math:`\chi` of `lola`, and
    :math:`p = \min(p_1, p_2)`:

    .. math::

        p_1 &= \begin{cases} 1 & \langle -\alpha \chi, \xi_0 \rangle \ge 0 \\
            \min\bigl(1,\ a \|\xi_0\|^2 / \langle \alpha \chi, \xi_0 \rangle\bigr)
            & \text{otherwise} \end{cases} \\
        p_2 &= \begin{cases} \|\xi\|^2 & \|\xi\| < b \\ 1 & \text{otherwise} \end{cases}

    The first keeps the step on the side of :math:`\xi_0`, the second lets shaping fade
    near a fixed point, so that stable ones attract and strict saddles do not. Costs as
    much as `lola`.

    Args:
      rate: :math:`\alpha`, at least 0, or a JAX array.
      alignment: :math:`a` in (0, 1): the share of :math:`\|\xi_0\|^2` that shaping may
        take.
      radius: :math:`b` in (0, 1), in units of a gradient: how close a fixed point is.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import games
      >>> losses = lambda z: [z[0] * z[1], -z[0] * z[1]]
      >>> of_game = games.value_and_grad(losses, games.sos(0.5))
      >>> _, grads = of_game([jnp.array(1.0), jnp.array(2.0)])
      >>> print(*grads)
      3.0 1.0

    References:
      Letcher, Foerster, Balduzzi, Rocktaeschel & Whiteson, "Stable Opponent Shaping in
      Differentiable Games", ICLR 2019, Algorithm 1.
    """
    _checks.check_number("rate", rate, "[0, inf)")
    _checks.check_number("alignment", alignment, "(0, 1)")
    _checks.check_number("radius", radius, "(0, 1)")

    def adjust(game: Game) -> Any:
        others = game.off_diagonal()
        start = _expecting(game, others, rate)
        shaping = optax.tree.scale(-rate, _shaping(game, others))
        share = _share(widened(game.grads), start, shaping, alignment, radius)
        return optax.tree.add_scale(start, share, shaping)

    return adjust


def _expecting(game: Game, others: Products, rate: Any) -> Any:
    """What the players want after a step of the others."""
    grads = widened(game.grads)
    return optax.tree.add_scale(grads, -rate, others.jvp(grads))


def _shaping(game: Game, others: Products) -> Any:
    """How each player's parameters move the others, by what it has of that."""
    parts, together = one_each(game.grads)
    rows = [others.vjp(game.loss_grads(i)) for i in range(len(parts))]
    return together([one_each(row)[0][i] for i, row in enumerate(rows)])


def _share(grads: Any, start: Any, shaping: Any, alignment: Any, radius: Any) -> Any:
    """How much of the shaping is taken."""
    along = inner(shaping, start)
    against = alignment * inner(start, start) / jnp.where(along < 0, -along, 1.0)
    first = jnp.where(along < 0, jnp.minimum(1.0, against), 1.0)
    squared = inner(grads, grads)
    second = jnp.where(jnp.sqrt(squared) < radius, squared, 1.0)
    return jnp.minimum(first, second)
