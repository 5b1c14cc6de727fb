"""STCH: smooth Tchebycheff scalarization."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._entries import check_entries, spread
from neat_optax.aggregators._losses import masked_softmax, read_losses, usable_losses
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, shares


class IdealState(NamedTuple):
    """The smallest losses seen so far."""

    ideal: jax.Array  # [P]
    seen: jax.Array  # [P] bool


def stch_weights(
    losses: Float[Array, " P"],
    mu: Any = 0.1,
    preference: Any = None,
    ideal: Any = 0.0,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of STCH, the slopes of a smooth maximum.

    .. math:: w_i = p_i \operatorname{softmax}_i(p_i (L_i - z_i) / \mu)

    Args:
      losses: [P] `L`.
      mu: positive smoothing.
      preference: [P] nonnegative `p`; `1 / P` each by default.
      ideal: `z`, a number or [P].
      present: [P] bool.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> stch_weights(jnp.array([1.0, 1.0]), 1.0).tolist()
      [0.25, 0.25]
    """
    losses, usable = usable_losses(losses, present)
    chosen = shares(usable, preference)
    gaps = chosen * (losses - spread("ideal", ideal, len(losses)))
    highest = jnp.max(jnp.where(usable, gaps, -jnp.inf))
    logits = jnp.where(usable, gaps - highest, 0) / mu
    return chosen * masked_softmax(logits, usable)


@cites("lin2024smooth")
def stch(
    mu: optax.ScalarOrSchedule = 0.1,
    ideal: Any = 0.0,
    *,
    preference: Any = None,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""STCH: smooth Tchebycheff scalarization, a smooth maximum of the losses.

    .. math:: u = \nabla\, \mu \log \sum_i \exp \frac{p_i (L_i - z_i)}{\mu}
        = \sum_i w_i\, g_i, \qquad
        w_i = p_i \operatorname{softmax}_i(p_i (L_i - z_i) / \mu)

    Puts the weight on the players that are furthest from their ideal losses. It may
    conflict with the others. Needs the extra argument `losses=`. Losses that are all
    equal get the weights `p_i / P` with equal preferences. A player whose loss is not
    finite is left out.

    Args:
      mu: positive smoothing, or a schedule; smaller is closer to the maximum.
      ideal: `z`, the best losses that can be hoped for: a number or [P]; None for the
        smallest losses seen so far, which needs `num_players`.
      preference: `p`, nonnegative, taken as it is; `1 / P` each by default. Overridden
        by the extra argument `preference=`.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.stch(1.0)
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> losses = jnp.array([2.0, 2.0])
      >>> tx.update(g, tx.init(g[0]), losses=losses)[0].tolist()
      [0.0, 0.25]

    References:
      Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective Optimization",
      2024, section 3. The paper takes the ideal point as given; here it may also be
      tracked.
    """
    _checks.check_number("mu", mu, "(0, inf)")
    _checks.check_preference("preference", preference)
    if ideal is not None:
        check_entries("ideal", ideal, "(-inf, inf)")

    def init(count: int | None):
        if ideal is not None:
            return ()
        return IdealState(jnp.zeros((count,)), jnp.zeros((count,), bool))

    def decide(players: Players, state: Any):
        losses, usable = read_losses(players)
        if ideal is None:
            state = _lower(state, losses, usable)
        known = state.ideal if ideal is None else ideal
        chosen = preference if players.preference is None else players.preference
        smoothing = value_at(mu, players.step)
        weights = stch_weights(losses, smoothing, chosen, known, usable)
        return as_decision(weights), state

    weighting = Weighting(
        "stch",
        init,
        decide,
        needs_gramian=False,
        needs_losses=True,
        needs_num_players=ideal is None,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _lower(
    state: IdealState, losses: Float[Array, " P"], usable: Bool[Array, " P"]
) -> IdealState:
    lowest = jnp.where(state.seen, jnp.minimum(state.ideal, losses), losses)
    return IdealState(jnp.where(usable, lowest, state.ideal), state.seen | usable)
