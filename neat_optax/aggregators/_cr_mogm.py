"""CR-MOGM: an exponential moving average (EMA) of any weighting's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._weighting import Decision, Players, Weighting, as_weighting


class CRMOGMState(NamedTuple):
    """State of the weighting of `cr_mogm`."""

    inner: Any
    weights: jax.Array  # [P] average weights
    started: jax.Array  # [] bool


def cr_mogm_weights(
    weights: Float[Array, " P"], average: Float[Array, " P"], decay: Any
) -> Float[Array, " P"]:
    """The next average: `decay * average + (1 - decay) * weights`."""
    return decay * average + (1 - decay) * weights


@cites("zhou2022convergence")
def cr_mogm_weighting(
    weighting: Weighting | Callable[[jax.Array], jax.Array],
    decay: optax.ScalarOrSchedule = 0.9,
    *,
    num_players: int,
) -> Weighting:
    """The weighting of `cr_mogm`, for `aggregate`."""
    inner = as_weighting(weighting)
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("decay", decay, "[0, 1)")

    def init(_: Any):
        blank = jnp.zeros((num_players,), jnp.float32)
        return CRMOGMState(inner.init(num_players), blank, jnp.zeros((), bool))

    def decide(players: Players, state: CRMOGMState):
        decision, inner_state = inner.decide(players, state.inner)
        average = jnp.where(state.started, state.weights, decision.weights)
        share = value_at(decay, players.step)
        weights = cr_mogm_weights(decision.weights, average, share)
        weights = jnp.where(players.present, weights, average)
        new_state = CRMOGMState(inner_state, weights, jnp.ones((), bool))
        return Decision(weights, decision.residual), new_state

    return inner._replace(name="cr_mogm", init=init, weights=decide)


def cr_mogm(
    weighting: Weighting | Callable[[jax.Array], jax.Array],
    decay: optax.ScalarOrSchedule = 0.9,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""CR-MOGM: combines gradients by an EMA of another weighting's weights.

    .. math:: \lambda_t = \beta\, \lambda_{t-1} + (1 - \beta)\, w_t, \qquad
        u = \sum_i \lambda_{t,i}\, g_i

    Less noise in the weights of stochastic gradients, at the price of the guarantees of
    the weighting inside. The average starts at the first weights. An absent player's
    weight stays as it was.

    Args:
      weighting: a `Weighting`, or a function from a Gramian to weights.
      decay: :math:`\beta` in [0, 1), or a schedule.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.cr_mogm(aggregators.upgrad_weights, num_players=2)
      >>> g = jnp.array([[1.0, 1.0], [1.0, 0.0]])
      >>> tx.update(g, tx.init(g[0]))[0].tolist()
      [1.0, 0.5]

    References:
      Zhou et al., "On the Convergence of Stochastic Multi-Objective Gradient
      Manipulation and Beyond", 2022, Algorithm 1.
    """
    weighting = cr_mogm_weighting(weighting, decay, num_players=num_players)
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
