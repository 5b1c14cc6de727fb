"""The recipe for many players: NEAT between them."""

from __future__ import annotations

import optax
from jax.typing import ArrayLike

from neat_optax._leaves import Scope, per_leaf
from neat_optax.conflict._rules import rules_of_recipe
from neat_optax.players._contest import player_contest
from neat_optax.players._opponents import PlayerOpponent, others_mean


def player_neat_correction(
    alpha: optax.ScalarOrSchedule | None = None,
    *,
    opponent: PlayerOpponent | None = None,
    rules: optax.GradientTransformation | None = None,
    scope: Scope = per_leaf,
    reduce: str = "mean",
    preference: ArrayLike | None = None,
    num_players: int | None = None,
    monitor: bool = False,
    raise_nonfinite: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""NEAT between players, to put before any optimizer.

    .. math:: u = \frac1P \sum_i \Bigl(g_i - \alpha\, c_i\,
        \frac{g_i \cdot o_i}{o_i \cdot o_i}\, o_i\Bigr), \qquad
        c_i = \max(0, -\cos(g_i, o_i))

    Gradients come in with a leading player axis and one update goes out. With
    `alpha=0`, or where no player opposes its opponent, it is the mean. The correction
    is bounded, but the update may conflict with a player; that of `aggregators.upgrad`
    does not.

    Args:
      alpha: strength of the correction, at least 0, or a schedule; 0.25 by default.
      opponent: `others_mean()` (the default), `batch_mean()` or `pairwise()`.
      rules: what `neat_rules` returns, or any other rules, instead of `alpha`; by
        default `neat_rules(alpha)`.
      scope: over which parameters conflict is measured.
      reduce: "mean" or "sum" over the corrected players.
      preference: how much each player counts, nonnegative; 1 each by default.
        Overridden by the extra argument `preference=`.
      num_players: the number of players; needed where `monitor` is set.
      monitor: whether to record what was corrected, conflict between the players and
        their weights, for `diagnostics`.
      raise_nonfinite: whether a player that is not finite raises an error instead of
        being dropped; see `player_contest`.

    Returns:
      A transformation from gradients with a player axis to one update; its extra
      arguments are those of `player_contest`.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as neo
      >>> tx = optax.chain(neo.player_neat_correction(1.0), optax.sgd(0.1))
      >>> params = jnp.zeros(2)
      >>> g = jnp.array([[1.0, 0.0], [-1.0, 1.0]])
      >>> print(tx.update(g, tx.init(params), params)[0].round(4))
      [-0.0177 -0.0677]

    References:
      neat-optim, specification nce_spec_v2, the player step. The differences are in
      docs/math.md.
    """
    return player_contest(
        others_mean() if opponent is None else opponent,
        rules_of_recipe(alpha, rules, monitor),
        scope=scope,
        reduce=reduce,
        preference=preference,
        num_players=num_players,
        monitor=monitor,
        raise_nonfinite=raise_nonfinite,
    )
