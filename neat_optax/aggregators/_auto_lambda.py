"""Auto-Lambda: weights learned by what they do to losses on other data."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import (
    Learned,
    check_optimizer,
    learn,
    start_learning,
)
from neat_optax.aggregators._weighting import Players, Weighting, as_decision

LONGEST_SLOPE = 1e15
"""Bound on slopes, so that Adam's squares of them stay finite."""


def auto_lambda_slopes(
    cross: Float[Array, "P P"], preference: Float[Array, " P"], step_size: Any = 1.0
) -> Float[Array, " P"]:
    r"""How the losses that count on other data change with each weight.

    .. math:: \frac{\partial}{\partial \lambda_i} \sum_j p_j
        L^\text{val}_j\Bigl(p - \alpha \sum_k \lambda_k g_k\Bigr)
        = -\alpha \sum_j p_j\; g_i \cdot g^\text{val}_j

    Args:
      cross: [P, P], inner products of the gradients with those of the other data.
      preference: [P] `p`, how much the loss of each player counts.
      step_size: :math:`\alpha` above 0.

    Returns:
      [P] slopes.

    Example:
      >>> import jax.numpy as jnp
      >>> cross = jnp.array([[2.0, -1.0], [0.5, 4.0]])
      >>> auto_lambda_slopes(cross, jnp.array([1.0, 0.0])).tolist()
      [-2.0, -0.5]
    """
    return -step_size * jnp.matmul(cross, preference, precision="highest")


@cites("liu2022auto")
def auto_lambda(
    step_size: optax.ScalarOrSchedule = 1.0,
    optimizer: optax.GradientTransformation | None = None,
    *,
    num_players: int,
    start: float = 0.1,
    preference: Any = None,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Auto-Lambda: learns weights that make the losses on other data fall.

    .. math:: u = \sum_i \lambda_i\, g_i, \qquad
        \min_\lambda \sum_j p_j L^\text{val}_j\Bigl(p - \alpha \sum_i \lambda_i g_i
        \Bigr), \quad
        \frac{\partial}{\partial \lambda_i} = -\alpha \sum_j p_j\; g_i \cdot
        g^\text{val}_j

    A player whose gradient agrees with those on other data gains weight, others lose
    it. In each step the optimizer moves the weights first, then they are used. They are
    not bounded, and may become negative. May conflict with players. The gradients
    :math:`g^\text{val}` are the extra argument `second_batch=`; without it the same
    batch serves for both, which rewards fitting its noise. Exact where they are taken
    at the parameters after the step :math:`p - \alpha \sum_i \lambda_i g_i` with the
    weights in the state, and to first order in :math:`\alpha` where they are taken at
    the parameters themselves, which costs no more than a second batch. An absent player
    keeps its weight.

    Args:
      step_size: :math:`\alpha` above 0, or a schedule: the learning rate of that step.
        To Adam, which divides by the size of slopes, it makes no difference.
      optimizer: what moves the weights; `optax.adam(1e-4)` by default.
      num_players: `P`.
      start: of all weights.
      preference: nonnegative `p`: 1 for the primary players, 0 for those that only help
        them. 1 each by default. Overridden by the extra argument `preference=`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax import aggregators
      >>> sgd = optax.sgd(0.1)
      >>> tx = aggregators.auto_lambda(1.0, sgd, num_players=2, preference=(1, 0))
      >>> g = jnp.array([[1.0, 0.0], [0.5, 2.0]])
      >>> other = jnp.array([[2.0, 0.0], [0.0, 1.0]])
      >>> _, state = tx.update(g, tx.init(g[0]), second_batch=other)
      >>> [round(x, 4) for x in state.weighting.values[0].tolist()]
      [0.3, 0.2]

    References:
      Liu, James, Davison and Johns, "Auto-Lambda: Disentangling Dynamic Task
      Relationships", 2022, eq. 3 to 5. The authors multiply by the gradients with
      differences of losses at two more points; here the products are taken. Their code
      adds momentum and weight decay to the step whose effect is measured; the
      parameters at which `second_batch=` is taken can contain both.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("step_size", step_size, "(0, inf)")
    _checks.check_number("start", start, "(-inf, inf)")
    _checks.check_preference("preference", preference)
    rule = check_optimizer(optimizer, 1e-4)

    def decide(players: Players, state: Learned):
        wanted = preference if players.preference is None else players.preference
        wanted = jnp.ones(num_players) if wanted is None else jnp.asarray(wanted)
        wanted = jnp.where(players.present, wanted, 0).astype(players.cross.dtype)
        rate = value_at(step_size, players.step)
        slopes = auto_lambda_slopes(players.cross, wanted, rate)
        slopes = slopes * players.scale * players.scale
        slopes = jnp.clip(slopes, -LONGEST_SLOPE, LONGEST_SLOPE)
        learned = learn(rule, state, slopes, players.present)
        weights = jnp.where(players.present, learned.values, 0)
        return as_decision(weights), learned

    weighting = Weighting(
        "auto_lambda", lambda _: start_learning(rule, num_players, start), decide
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
