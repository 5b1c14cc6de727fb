"""SoftAdapt: softmax weights on the slopes of the losses over the last steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import masked_softmax, read_losses
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, everyone

DIFFERENCES = {
    1: (-1, 1),
    2: (-3 / 2, 2, -1 / 2),
    3: (-11 / 6, 3, -3 / 2, 1 / 3),
    4: (-25 / 12, 4, -3, 4 / 3, -1 / 4),
    5: (-137 / 60, 5, -5, 10 / 3, -5 / 4, 1 / 5),
}
"""Of `order + 1` equidistant values, oldest first: the slope at the oldest."""


class SoftAdaptState(NamedTuple):
    """The losses of the steps before."""

    history: jax.Array  # [order, P], oldest first
    times: jax.Array  # [P] int32: how many of them each player has


def softadapt_weights(
    slopes: Float[Array, " P"],
    beta: Any = 0.1,
    mean_losses: Any = None,
    normalized: bool = False,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of SoftAdapt.

    .. math:: w_i = \frac{f_i\, e^{\beta s_i}}{\sum_j f_j\, e^{\beta s_j}}

    Args:
      slopes: [P] `s`, the change of each loss in one step.
      beta: a number; above 0 for more weight on what falls least.
      mean_losses: [P] `f`, of which none that is not positive gets a weight; None for
        1 each.
      normalized: whether the slopes are divided by the sum of their absolute values.
      present: [P] bool.

    Returns:
      [P] weights of the gradients, which sum to 1.

    Example:
      >>> import jax.numpy as jnp
      >>> weights = softadapt_weights(jnp.array([0.0, -1.0]), jnp.log(3.0))
      >>> [round(x, 4) for x in weights.tolist()]
      [0.75, 0.25]
    """
    counted = everyone(slopes, present)
    slopes = jnp.where(counted, slopes, 0)
    if normalized:
        slopes = _tree.safe_divide(slopes, jnp.sum(jnp.abs(slopes)))
    logits = beta * slopes
    if mean_losses is not None:
        counted = counted & (mean_losses > 0)
        logits = logits + jnp.log(jnp.where(counted, mean_losses, 1))
    return masked_softmax(logits, counted)


@cites("heydari2019softadapt")
def softadapt(
    beta: optax.ScalarOrSchedule = 0.1,
    order: int = 1,
    *,
    normalized: bool = False,
    loss_weighted: bool = False,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""SoftAdapt: more weight for losses that fall more slowly.

    .. math:: u = \sum_i w_i\, g_i, \qquad
        w_i = \frac{f_i\, e^{\beta s_i}}{\sum_j f_j\, e^{\beta s_j}}

    with `s_i` the slope of loss `i` over the last `order + 1` steps, this one included,
    and `f_i = 1`. Its three variants: as it is; `normalized`, with
    :math:`s_i / \sum_j |s_j|` for the slopes, which have no unit then;
    `loss_weighted`, with the mean of the loss over these steps for `f_i`. The two go
    together. The weights are `1 / P` until every present player has that many losses.
    Ignores the gradients, and may conflict with any of them. Needs the extra argument
    `losses=`. Steps in which a player is absent, or its loss not finite, are no steps
    of its history.

    Args:
      beta: a number, or a schedule; above 0 for more weight on what falls least, below
        0 for more on what falls most.
      order: of the accuracy of the slope, 1 to 5; 1 is the difference of two losses.
      normalized: whether slopes are divided by the sum of their absolute values.
      loss_weighted: whether weights are multiplied by mean losses. A loss whose mean is
        not positive then gets none.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.softadapt(1.0, num_players=2)
      >>> g, state = jnp.eye(2), tx.init(jnp.zeros(2))
      >>> for losses in ([2.0, 2.0], [1.0, 2.0]):
      ...     update, state = tx.update(g, state, losses=jnp.array(losses))
      >>> [round(x, 4) for x in update.tolist()]
      [0.2689, 0.7311]

    References:
      Heydari, Thompson and Mehmood, "SoftAdapt: Techniques for Adaptive Loss Weighting
      of Neural Networks with Multi-Part Loss Functions", 2019, section 3.1. Slopes are
      those of the authors' package, at the oldest of the losses. It divides normalized
      slopes by their plain sum, which turns every sign where the sum is negative; here,
      as in the paper, by the sum of absolute values. It adds 1e-8 to the denominators;
      here nothing is added.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("beta", beta, "(-inf, inf)")
    _checks.check_integer("order", order)
    _checks.check_number("order", order, "[1, 5]")
    _checks.check_bool("normalized", normalized)
    _checks.check_bool("loss_weighted", loss_weighted)
    differences = np.array(DIFFERENCES[order], np.float32)

    def init(_: Any):
        history = jnp.zeros((order, num_players), jnp.float32)
        return SoftAdaptState(history, jnp.zeros((num_players,), jnp.int32))

    def decide(players: Players, state: SoftAdaptState):
        losses, usable = read_losses(players)
        history = jnp.concatenate([state.history, losses[None]])
        factor = value_at(beta, players.step)
        means = jnp.mean(history, axis=0) if loss_weighted else None
        slopes = jnp.matmul(differences, history, precision="highest")
        weights = softadapt_weights(slopes, factor, means, normalized, usable)
        known = jnp.all((state.times >= order) | ~usable)
        equal = usable / jnp.maximum(jnp.sum(usable), 1)
        new = SoftAdaptState(
            jnp.where(usable, history[1:], state.history),
            jnp.minimum(state.times + usable, order),
        )
        return as_decision(jnp.where(known, weights, equal)), new

    weighting = Weighting(
        "softadapt", init, decide, needs_gramian=False, needs_losses=True
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)
