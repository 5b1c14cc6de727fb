"""GradNorm: learned weights that balance gradient norms by training rates."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import (
    Learned,
    check_optimizer,
    learn,
    read_losses,
    start_learning,
)
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, everyone


class GradNormState(NamedTuple):
    """The learned weights, and the losses that progress is measured from."""

    weights: Learned
    initial: jax.Array  # [P], 0 where not known


def gradnorm_targets(
    lengths: Float[Array, " P"],
    ratios: Float[Array, " P"],
    alpha: float | jax.Array = 1.5,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""The lengths that GradNorm wants weighted gradients to have.

    .. math:: \hat n_i = \bar n\, r_i^\alpha, \qquad
        r_i = \frac{\rho_i}{\frac1P \sum_j \rho_j}, \quad \rho_i = L_i / L_i(0)

    Args:
      lengths: [P] `n`, lengths of the weighted gradients.
      ratios: [P] nonnegative :math:`\rho`. If all are zero, all rates are equal.
      alpha: nonnegative; how strongly slow players are favored.
      present: [P] bool.

    Returns:
      [P] lengths, 0 for absent players.

    Example:
      >>> import jax.numpy as jnp
      >>> gradnorm_targets(jnp.array([1.0, 3.0]), jnp.array([0.5, 1.5]), 1.0).tolist()
      [1.0, 3.0]
    """
    present = everyone(lengths, present)
    count = jnp.maximum(jnp.sum(present), 1)
    ratios = jnp.where(present, jnp.maximum(ratios, 0), 0)
    average = jnp.sum(ratios) / count
    rates = jnp.where(average > 0, _tree.safe_divide(ratios, average), 1.0)
    mean = jnp.sum(jnp.where(present, lengths, 0)) / count
    return jnp.where(present, mean * rates**alpha, 0)


@cites("chen2018gradnorm")
def gradnorm(
    alpha: optax.ScalarOrSchedule = 1.5,
    optimizer: optax.GradientTransformation | None = None,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""GradNorm: learns weights that equalize the players' training rates.

    .. math:: u = \sum_i w_i\, g_i, \qquad
        \min_w \sum_i \bigl|\, w_i |g_i| - \hat n_i \bigr|, \quad
        \hat n_i = \bar n \left(\frac{L_i / L_i(0)}
        {\frac1P \sum_j L_j / L_j(0)}\right)^{\alpha}

    with :math:`\bar n` the mean length of the weighted gradients and :math:`\hat n`
    held fixed. The state holds `w`, 1 at first; after each step the optimizer moves it
    by the slope, :math:`\pm |g_i|`, and it is scaled to sum to `P`. May conflict with
    players. Needs the extra argument `losses=`. The slope of a player with a zero
    gradient is zero. `L(0)` is a player's first loss that is not zero. A player that is
    absent, or whose loss is not finite, is left out and keeps its weight.

    Args:
      alpha: nonnegative, or a schedule; larger favors players whose losses have fallen
        less, and 0 makes all lengths equal.
      optimizer: what moves `w`; `optax.adam(0.025)` by default.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax import aggregators
      >>> tx = aggregators.gradnorm(optimizer=optax.sgd(0.1), num_players=2)
      >>> g, state = jnp.diag(jnp.array([1.0, 3.0])), tx.init(jnp.zeros(2))
      >>> for _ in range(2):
      ...     update, state = tx.update(g, state, losses=jnp.ones(2))
      >>> [round(x, 4) for x in update.tolist()]
      [1.2222, 2.3333]

    References:
      Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep
      Multitask Networks", 2018, eq. 1 and 2, Algorithm 1. The authors measure lengths
      on the last shared layer only; here they are those of the whole scope. A weight
      that a step makes negative is set to zero, from where the slope brings it back.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_number("alpha", alpha, "[0, inf)")
    rule = check_optimizer(optimizer, 0.025)

    def init(_: Any):
        weights = start_learning(rule, num_players, 1.0)
        return GradNormState(weights, jnp.zeros_like(weights.values))

    def decide(players: Players, state: GradNormState):
        losses, usable = read_losses(players)
        first = jnp.where(state.initial != 0, state.initial, losses)
        ratios = jnp.where(first != 0, _tree.safe_divide(losses, first), 1.0)
        diagonal = jnp.maximum(jnp.diagonal(players.gramian), 0)
        norms = _tree.root(diagonal) * players.scale
        weights = state.weights.values
        power = value_at(alpha, players.step)
        targets = gradnorm_targets(weights * norms, ratios, power, usable)
        slope = jnp.sign(weights * norms - targets) * norms
        learned = learn(rule, state.weights, slope, usable)
        learned = learned._replace(values=_renormalize(learned.values, usable))
        decision = as_decision(jnp.where(usable, weights, 0))
        return decision, GradNormState(learned, first)

    weighting = Weighting(
        "gradnorm",
        init,
        decide,
        needs_gramian=False,
        needs_losses=True,
        needs_norms=True,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def _renormalize(weights: Float[Array, " P"], mask: Bool[Array, " P"]):
    """Nonnegative, with mean 1 over the mask; the others stay as they are."""
    kept = jnp.where(mask, jnp.maximum(weights, 0), 0)
    total = jnp.sum(kept)
    fresh = jnp.where(total > 0, kept * _tree.safe_divide(jnp.sum(mask), total), 1.0)
    return jnp.where(mask, fresh, weights)
