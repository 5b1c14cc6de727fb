"""FAMO: learns weights so that all log-losses decrease at the same rate."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._entries import check_entries, spread
from neat_optax.aggregators._losses import (
    Learned,
    learn,
    masked_softmax,
    read_losses,
    start_learning,
    usable_losses,
)
from neat_optax.aggregators._weighting import Players, Weighting, as_decision


class FAMOState(NamedTuple):
    """What the next change of the log-losses is measured from."""

    logits: Learned
    log_losses: jax.Array  # [P]
    seen: jax.Array  # [P] bool: whether the step before had this player's loss


def famo_weights(
    losses: Float[Array, " P"],
    logits: Float[Array, " P"],
    ideal: Any = 0.0,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of FAMO, the slopes of a weighted sum of log-losses, scaled to sum to 1.

    .. math:: w_i = c\, \frac{z_i}{L_i - b_i}, \qquad z = \operatorname{softmax}(\xi)

    Args:
      losses: [P] `L`; one that is not above its ideal gets the weight 0.
      logits: [P].
      ideal: `b`, the smallest losses there can be: a number or [P].
      present: [P] bool.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> print(famo_weights(jnp.array([1.0, 3.0]), jnp.zeros(2)).round(4))
      [0.75 0.25]
    """
    logs, usable = _log_gaps(*usable_losses(losses, present), ideal)
    return masked_softmax(logits - logs, usable)


@cites("liu2023famo")
def famo(
    learning_rate: optax.ScalarOrSchedule = 0.025,
    weight_decay: float = 1e-3,
    ideal: Any = 0.0,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""FAMO: decreases all log-losses at the same rate.

    .. math:: u = \sum_i w_i\, g_i, \qquad w_i = c\, \frac{z_i}{L_i - b_i}, \quad
        z = \operatorname{softmax}(\xi)

    with `c` such that the weights sum to 1. At each call the change of the log-losses
    since the call before, :math:`\delta_i = \log(L_i - b_i) - \log(L_i' - b_i)`, moves
    the logits by one step of Adam down :math:`J_z^\top \delta + \gamma\, \xi`. Needs no
    inner products, and may conflict with players. Needs the extra argument `losses=`.
    A loss that is not above its ideal has no logarithm: its player is left out for that
    step, and the rate is measured anew afterwards.

    Args:
      learning_rate: of the logits, nonnegative, or a schedule.
      weight_decay: nonnegative :math:`\gamma`, added to Adam's gradient.
      ideal: `b`, the smallest losses there can be: a number or [P].
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.famo(num_players=2)
      >>> g, state = jnp.eye(2), tx.init(jnp.zeros(2))
      >>> for losses in ([1.0, 1.0], [0.9, 1.0]):
      ...     update, state = tx.update(g, state, losses=jnp.array(losses))
      >>> [round(x, 4) for x in update.tolist()]
      [0.5138, 0.4862]

    References:
      Liu et al., "FAMO: Fast Adaptive Multitask Optimization", 2023, Algorithm 2. The
      authors evaluate the losses a second time on the same batch to measure the change;
      here the losses of the next call serve, which costs nothing and adds the noise of
      a new batch. They add 1e-8 to every loss, which lowers the weights of losses
      near that; here nothing is added.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("learning_rate", learning_rate, "[0, inf)")
    _checks.check_fields({"weight_decay": weight_decay}, {"weight_decay": "[0, inf)"})
    check_entries("ideal", ideal, "(-inf, inf)")
    optimizer = optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.adam(learning_rate, eps_root=_tree.TINY),
    )

    def init(_: Any):
        logits = start_learning(optimizer, num_players, 0.0)
        blank = jnp.zeros_like(logits.values)
        return FAMOState(logits, blank, blank.astype(bool))

    def decide(players: Players, state: FAMOState):
        logs, usable = _log_gaps(*read_losses(players), ideal)
        both = usable & state.seen
        slope = _slope(state.logits.values, state.log_losses - logs, both)
        logits = learn(optimizer, state.logits, slope, both)
        weights = masked_softmax(logits.values - logs, usable)
        return as_decision(weights), FAMOState(logits, logs, usable)

    weighting = Weighting(
        "famo",
        init,
        decide,
        needs_gramian=False,
        needs_losses=True,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _log_gaps(losses: Float[Array, " P"], usable: Bool[Array, " P"], ideal: Any):
    """Logarithms of what the losses are above the ideal, and where there are any."""
    gaps = losses - spread("ideal", ideal, len(losses))
    usable = usable & (gaps > 0)
    return jnp.log(jnp.where(usable, gaps, 1)), usable


def _slope(
    logits: Float[Array, " P"], change: Float[Array, " P"], mask: Bool[Array, " P"]
):
    """Of `softmax(logits) . change`."""
    z = masked_softmax(logits, mask)
    return z * (change - z @ change)
