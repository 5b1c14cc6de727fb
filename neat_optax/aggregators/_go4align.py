"""GO4Align: groups of players with similar weights, which share them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._losses import masked_softmax, read_losses
from neat_optax.aggregators._weighting import Players, Weighting, as_decision, everyone


def go4align_weights(
    losses: Float[Array, " P"],
    logits: Float[Array, " P"],
    num_groups: int = 2,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of GO4Align: means over groups of the players' indicators.

    .. math:: \gamma_i = \frac{\sum_j L_j}{L_i} \operatorname{softmax}_i(\xi), \qquad
        \min_{\text{groups}} \sum_i (\gamma_i - w_i)^2

    Args:
      losses: [P] positive `L`.
      logits: [P] :math:`\xi`.
      num_groups: at least 1; how many groups of equal weights there are at most.
      present: [P] bool.

    Returns:
      [P] weights of the gradients.

    Example:
      >>> import jax.numpy as jnp
      >>> losses = jnp.array([1.0, 1.0, 4.0])
      >>> go4align_weights(losses, jnp.zeros(3)).tolist()
      [2.0, 2.0, 0.5]
    """
    counted = everyone(losses, present) & (losses > 0)
    losses = jnp.where(counted, losses, 1)
    total = jnp.sum(jnp.where(counted, losses, 0))
    indicators = total / losses * masked_softmax(logits, counted)
    groups = group_values(indicators, counted, num_groups)
    return jnp.where(counted, groups @ (indicators * counted), 0)


@cites("shen2024go4align")
def go4align(
    num_groups: int = 2,
    step_size: optax.ScalarOrSchedule = 1e-4,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""GO4Align: groups of players with similar risks, which share one weight.

    .. math:: u = \sum_i w_i\, g_i, \qquad \xi_i \leftarrow \xi_i - \beta L_i, \qquad
        \gamma_i = \frac{\sum_j L_j}{L_i} \operatorname{softmax}_i(\xi)

    The indicators :math:`\gamma` are parted into groups with the least sum of squared
    distances from the means of their groups, and `w_i` is the mean of the group of
    player `i`. Ignores the gradients, and may conflict with any of them. Needs the
    extra argument `losses=`, which must be positive: a player whose loss is not, or not
    finite, is left out. The step has the unit of one over a loss.

    Args:
      num_groups: at least 1; 1 gives all players the mean.
      step_size: nonnegative :math:`\beta`, or a schedule.
      num_players: `P`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.go4align(step_size=0.0, num_players=3)
      >>> g, losses = jnp.eye(3), jnp.array([1.0, 1.0, 4.0])
      >>> tx.update(g, tx.init(g[0]), losses=losses)[0].tolist()
      [2.0, 2.0, 0.5]

    References:
      Shen et al., "GO4Align: Group Optimization for Multi-Task Alignment", 2024. The
      authors' code looks for the groups by k-means from a random start, which may stop
      before the best ones; of single numbers these are intervals, and are found here.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    _checks.check_count("num_groups", num_groups, minimum=1, schedule=False)
    _checks.check_number("step_size", step_size, "[0, inf)")

    def decide(players: Players, state: jax.Array):
        losses, usable = read_losses(players)
        usable = usable & (losses > 0)
        step = jnp.asarray(value_at(step_size, players.step))
        logits = state - jnp.where(usable, step * losses, 0)
        logits = logits - jnp.max(logits)
        weights = go4align_weights(losses, logits, num_groups, usable)
        return as_decision(weights), logits

    weighting = Weighting(
        "go4align",
        lambda _: jnp.zeros((num_players,), jnp.float32),
        decide,
        needs_gramian=False,
        needs_losses=True,
    )
    return aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)


def group_values(
    values: Float[Array, " P"], counted: Bool[Array, " P"], num_groups: int
) -> Float[Array, "P P"]:
    """The matrix that takes the mean over each value's group.

    The groups are those of k-means at its optimum. They are intervals, so it is found
    by dynamic programming over the sorted values.
    """
    values = jax.lax.stop_gradient(values)
    order = jnp.argsort(jnp.where(counted, values, jnp.inf))
    costs = _interval_costs(values[order], counted[order])
    starts, best = [], costs[0]
    for _ in range(num_groups - 1):
        before = jnp.concatenate([jnp.zeros(1, best.dtype), best[:-1]])
        options = before[:, None] + costs
        starts.append(jnp.argmin(options, axis=0))
        best = jnp.min(options, axis=0)
    places = jnp.arange(len(values))
    labels, end = jnp.zeros(len(values), int), len(values) - 1
    for number, start in reversed(list(enumerate(starts, 1))):
        begin = jnp.where(end >= 0, start[end], 0)
        labels = jnp.where((places >= begin) & (places <= end), number, labels)
        end = begin - 1
    labels = labels[jnp.argsort(order)]
    same = (labels[:, None] == labels[None, :]) & counted[None, :]
    return _tree.safe_divide(same, jnp.sum(same, axis=1, keepdims=True))


def _interval_costs(values: Float[Array, " P"], counted: Bool[Array, " P"]):
    """[P, P]: sums of squared distances from the mean, from one place to another."""
    gaps = jnp.where(counted[None, :], values[None, :] - values[:, None], 0)
    later = jnp.triu(jnp.ones_like(gaps))
    gaps = gaps * later
    number = jnp.cumsum(later * counted[None, :], axis=1)
    sums, squares = jnp.cumsum(gaps, axis=1), jnp.cumsum(gaps**2, axis=1)
    costs = squares - _tree.safe_divide(sums**2, number)
    return jnp.where(later > 0, jnp.maximum(costs, 0), jnp.inf)
