"""The contest between players: many gradients in, one update out.

The rules are those of a contest for one gradient. Every player is measured against its
opponent, the rules decide its two coefficients, and the corrected gradients are reduced
without ever being formed.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _stacked, _tree
from neat_optax._leaves import Scope, per_leaf, sum_by_owner
from neat_optax.aggregators import _monitor
from neat_optax.aggregators._aggregate import (
    aggregate,
    check_finite,
    record,
)
from neat_optax.aggregators._gramian import (
    Extras,
    group_leaves,
    measure_gramian,
    one_player,
)
from neat_optax.aggregators._weighting import as_decision
from neat_optax.conflict import _decide
from neat_optax.conflict._passes import Measured
from neat_optax.players import _means
from neat_optax.players._gramian_form import (
    Reduction,
    combined_weights,
    neat_weighting,
    share_state,
)
from neat_optax.players._opponents import MeanOpponent, PairwiseOpponent, PlayerOpponent


class PlayerContestState(NamedTuple):
    """State of `player_contest`."""

    step: jax.Array  # [] int32
    rules: Any  # the rules' state, each array with a leading axis over scopes
    recorded: Any  # a Recorded, or None


def player_contest(
    opponent: PlayerOpponent,
    rules: optax.GradientTransformation,
    *,
    scope: Scope = per_leaf,
    reduce: str = "mean",
    preference: Any = None,
    num_players: int | None = None,
    monitor: bool = False,
    raise_nonfinite: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Corrects every player by what `rules` decide about it, and reduces.

    .. math:: u = \sum_i r_i\, (g_i + a_i\, g_i + b_i\, o_i)

    with the coefficients :math:`a_i, b_i` chosen by `rules` from the inner products of
    player `i` and its opponent, and :math:`r_i` its share. On a lone CPU device neither
    opponents nor corrected gradients are stored, only blocks of their columns; on
    others that is left to XLA. The order of the players does not matter.

    Args:
      opponent: `others_mean()`, `batch_mean()` or `pairwise()`.
      rules: an optax transformation whose updates are `Contest` nodes, as for
        `contest`. Rules with averages start, for every player, from shared ones; the
        new shared averages are the mean over players.
      scope: over which parameters inner products are summed.
      reduce: "mean", with `r_i = p_i / sum(p)`, or "sum", with `r_i = p_i`.
      preference: nonnegative `p`, 1 for every player by default. Overridden by the
        extra argument `preference=`. It weighs a player in the update and in opponents.
      num_players: the number of players; needed where `monitor` is set.
      monitor: whether to record conflict, weights and stationarity for `diagnostics`.
      raise_nonfinite: whether a player that is not finite raises an error instead of
        being dropped. Under `jit` this needs `jax.experimental.checkify.checkify`.

    Returns:
      A transformation from gradients with a leading player axis to one update. `update`
      takes the extra arguments `preference=`, `present=` ([P] bool) and, with a mean of
      players as the opponent, `metric=` as in `contest`. A player whose gradient is
      not finite, or whose squared norm overflows, is dropped.

    Raises:
      ValueError: at trace time, if the leaves have no common leading axis, or are not
        the parameters' shapes behind it.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as neo
      >>> rules = optax.chain(neo.detect_conflict(), neo.project_conflict(1.0))
      >>> tx = neo.player_contest(neo.opponents.others_mean(), rules)
      >>> g = jnp.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
      >>> print(tx.update(g, tx.init(g[0]))[0].round(4))
      [0.    0.569]
    """
    _check(opponent, rules, scope, reduce, preference, num_players, monitor)
    _checks.check_bool("raise_nonfinite", raise_nonfinite)
    reduction = Reduction(preference, reduce == "sum")
    weighting = neat_weighting(rules, opponent, reduction)
    if isinstance(opponent, PairwiseOpponent):
        return aggregate(
            weighting,
            scope=scope,
            num_players=num_players,
            monitor=monitor,
            raise_nonfinite=raise_nonfinite,
        )
    decide = jax.jit(jax.vmap(_decider(rules), (0, 0, None)))

    def init_fn(params: Any) -> PlayerContestState:
        _checks.check_inexact("params", params)
        count = scope.count(params)
        own = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), weighting.init(None)
        )
        recorded = _monitor.start(count, num_players or 0) if monitor else None
        return PlayerContestState(jnp.zeros((), jnp.int32), own, recorded)

    def update_fn(updates, state, params=None, **extra_args):
        leaves, treedef = jax.tree.flatten(updates)
        count = _checks.check_players(updates, params)
        if not leaves:
            return updates, state._replace(step=_tree.increment(state.step))
        _checks.check_num_players(num_players, count)
        extras = Extras.read(extra_args, updates, count)
        owners = scope.owners(one_player(updates))
        field = _Field.of(leaves, extras, reduction, opponent.include_self)
        if raise_nonfinite:
            check_finite(field.finite, extras.present)
        verdicts, own = _decide.decide_each(
            decide,
            [(part, field.present) for part in field.measures(owners)],
            state.rules,
            state.step,
        )
        factors = reduction.factors(field.seats.shares)
        combined = [
            _means.combine(leaf, field.seats, factors, *_coefficients(verdicts[owner]))
            for leaf, owner in zip(leaves, owners, strict=True)
        ]
        recorded = state.recorded
        if recorded is not None:
            seats = field.seats
            weights = [
                combined_weights(v, seats.shares, seats.own, seats.inverse, reduction)
                for v in verdicts
            ]
            groups = group_leaves(updates, extras, owners)
            taking_part = extras._replace(present=field.present)
            measured = measure_gramian(groups, taking_part, state.step)
            measured = measured._replace(finite=field.finite)
            decisions = jax.vmap(as_decision)(jnp.stack(weights))
            recorded = record(recorded, measured, decisions, extras, state.step)
        new_state = PlayerContestState(_tree.increment(state.step), own, recorded)
        return treedef.unflatten(combined), new_state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


class _Field(NamedTuple):
    """All that is measured of the players before the rules decide."""

    finite: jax.Array
    present: jax.Array
    seats: _means.Seats
    parts: list[Measured]

    @classmethod
    def of(cls, leaves, extras: Extras, reduction: Reduction, include_self: bool):
        norms = [_stacked.squared_norms(leaf) for leaf in leaves]
        finite = jnp.all(jnp.isfinite(jnp.stack(norms)), axis=0)
        present = extras.present & finite
        shares = reduction.shares(present, extras.preference)
        seats = _means.seat(present, shares, include_self)
        metrics = [None] * len(leaves)
        if extras.metric is not None:
            metrics = jax.tree.leaves(extras.metric)
        parts = []
        for leaf, norm, metric in zip(leaves, norms, metrics, strict=True):
            norm = jnp.where(present, norm, 0)
            raw, in_metric = _means.align(leaf, seats, norm, metric)
            size = jnp.full(len(leaf), leaf[0].size, jnp.float32)
            parts.append(Measured(size, raw, in_metric, None))
        return cls(finite, present, seats, parts)

    def measures(self, owners) -> list[Measured]:
        return sum_by_owner(self.parts, owners)


def _decider(rules):
    """Runs the rules on the players of one scope, and shares their state."""

    def decide(measured_and_present, state, step):
        measured, present = measured_and_present
        decided, states = jax.vmap(
            lambda measures: _decide.decide(rules, measures, state, step)
        )(measured)
        return decided, share_state(states, present.astype(jnp.float32), state)

    return decide


def _coefficients(verdict) -> tuple[jax.Array, jax.Array]:
    return verdict.on_gradient, verdict.on_opponent


def _check(opponent, rules, scope, reduce, preference, num_players, monitor):
    if not isinstance(opponent, (MeanOpponent, PairwiseOpponent)):
        raise ValueError(
            "`opponent` must be others_mean(), batch_mean() or pairwise(), got "
            f"{opponent!r}."
        )
    _checks.check_kind("rules", rules, optax.GradientTransformation)
    _checks.check_kind("scope", scope, Scope)
    _checks.check_choice("reduce", reduce, ("mean", "sum"))
    _checks.check_preference("preference", preference)
    _checks.check_bool("monitor", monitor)
    if num_players is not None:
        _checks.check_count("num_players", num_players, minimum=1)
    elif monitor:
        raise ValueError("`num_players` must be given for monitor=True, got None.")
