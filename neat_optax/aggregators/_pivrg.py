"""PIVRG: fair gains of the players, larger for those that do worse."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._schedules import value_at
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._losses import masked_softmax
from neat_optax.aggregators._solvers._bargaining import bargain
from neat_optax.aggregators._weighting import (
    Decision,
    Players,
    everyone,
    stateless_weighting,
)


def pivrg_weights(
    gramian: Float[Array, "P P"],
    scores: Any = None,
    bound: Any = 2.0,
    min_temperature: Any = 10.0,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of PIVRG.

    .. math:: (G w)_i = \sqrt{c_i / w_i}, \qquad c = P \operatorname{softmax}(s / T),
        \quad T = \max\left(\frac{\max s - \min s}{\log b},\ T_0\right)

    Args:
      gramian: [P, P] `G`, inner products of the gradients. Zero rows get the weight 0.
      scores: [P] `s`, how much worse each player does than by itself; None for equal
        ones. One that is not finite counts as their mean.
      bound: `b`, above 1.
      min_temperature: positive :math:`T_0`.
      present: [P] bool.

    Returns:
      [P] weights of the gradients; all zero where there is no solution.

    Example:
      >>> import jax.numpy as jnp
      >>> scores = jnp.array([0.0, 100.0])
      >>> weights = pivrg_weights(jnp.eye(2), scores)
      >>> [round(x, 4) for x in (weights**3).tolist()]
      [0.6667, 1.3333]
    """
    present = everyone(gramian, present)
    numbers = scores, bound, min_temperature
    return _decide(gramian, present, numbers).weights


@cites("qin2025revisiting")
def pivrg(
    bound: optax.ScalarOrSchedule = 2.0,
    min_temperature: optax.ScalarOrSchedule = 10.0,
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""PIVRG: fair gains of the players, larger for those that do worse.

    .. math:: u = \sum_i w_i g_i, \qquad g_i \cdot u = \sqrt{c_i / w_i}, \quad w > 0,
        \qquad c = P \operatorname{softmax}(s / T), \quad
        T = \max\left(\frac{\max s - \min s}{\log b},\ T_0\right)

    `fairgrad` with `alpha = 2` whose players count by their scores: `update` takes the
    extra argument `scores=` ([P], by how many percent each player does worse than it
    does by itself, on data that is not for testing). Of equal scores, or without, it is
    `fairgrad(2.0)`. No `c_i` is more than `b` times another. Never conflicts with a
    player; where no direction helps every player the update is zero.

    Args:
      bound: `b`, above 1, or a schedule: the largest ratio between two players.
      min_temperature: positive :math:`T_0`, in the unit of the scores, or a schedule.
      scope, num_players, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.pivrg()
      >>> g, scores = jnp.eye(2), jnp.array([0.0, 100.0])
      >>> update, _ = tx.update(g, tx.init(g[0]), scores=scores)
      >>> [round(x, 4) for x in (update**3).tolist()]
      [0.6667, 1.3333]

    References:
      Qin et al., "Revisiting Fairness in Multitask Learning: A Performance-Driven
      Approach for Variance Reduction", 2025. The authors' code multiplies the update by
      `P` and clips it to the length 1; here `optax.clip_by_global_norm(1.0)` does.
    """
    _checks.check_number("bound", bound, "(1, inf)")
    _checks.check_number("min_temperature", min_temperature, "(0, inf)")

    def decide(players: Players):
        numbers = (value_at(x, players.step) for x in (bound, min_temperature))
        given = players.losses, *numbers
        return _decide(players.gramian, players.present, given, players.scale)

    weighting = stateless_weighting(decide, "pivrg")
    inner = aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        *,
        scores: Any = None,
        **extra_args: Any,
    ):
        if scores is not None:
            count = _checks.check_players(updates)
            _checks.check_per_player("scores", scores, count)
        return inner.update(updates, state, params, **{**extra_args, "losses": scores})

    return optax.GradientTransformationExtraArgs(inner.init, update_fn)


def _decide(
    gramian: Float[Array, "P P"],
    present: Bool[Array, " P"],
    numbers: tuple[Any, Any, Any],
    scale: Any = 1.0,
) -> Decision:
    rows = correlation(gramian)
    counted = _shares(*numbers, present)
    # With v_i = c_i w_i, (G w)_i = sqrt(c_i / w_i) is (G' v)_i = v_i^(-1/2) for the
    # gradients g_i / c_i: FairGrad's condition.
    scaled = rows._replace(norms=_tree.safe_divide(rows.norms, counted))
    found = bargain(scaled, jnp.asarray(0.5, jnp.float32))
    unscaled = scale ** (-4 / 3)
    return Decision(found.weights * rows.per_norm * unscaled, found.residual)


def _shares(scores: Any, bound: Any, least: Any, present: Bool[Array, " P"]):
    """`c`: how much each player counts, with the mean 1 over the present players."""
    if scores is None:
        return present.astype(jnp.float32)
    scores = _tree.widen(jnp.asarray(scores))
    known = present & jnp.isfinite(scores)
    mean = jnp.sum(jnp.where(known, scores, 0)) / jnp.maximum(jnp.sum(known), 1)
    scores = jnp.where(known, scores, mean)
    spread = jnp.max(jnp.where(known, scores, mean)) - jnp.min(scores)
    temperature = jnp.maximum(spread / jnp.log(bound), least)
    return jnp.sum(present) * masked_softmax(scores / temperature, present)
