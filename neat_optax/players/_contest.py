"""The contest between players: measure each against its opponent, decide, combine.

The rules are those of a contest for one gradient. Every player is measured against its
opponent, the rules decide its two coefficients, and the corrected gradients are reduced
to one update without ever being formed. How depends on the opponent: its `Form`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _factored, _tree
from neat_optax._leaves import Scope, per_leaf
from neat_optax.aggregators import _monitor
from neat_optax.aggregators._aggregate import check_finite, record
from neat_optax.aggregators._aggregator import aggregator
from neat_optax.aggregators._gramian import Extras, group_leaves, one_player
from neat_optax.conflict import _decide, _passes
from neat_optax.players._form import Form, Reduction
from neat_optax.players._gramian_form import gramian_form
from neat_optax.players._mean_form import mean_form
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
    preference: ArrayLike | None = None,
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
      >>> print(tx.update(g, tx.init(g[0]))[0].round(4) + 0)
      [0.    0.569]
    """
    _check(opponent, rules, scope, reduce, preference)
    _check_monitor(num_players, monitor, raise_nonfinite)
    form = _form_of(opponent, rules, Reduction(preference, reduce == "sum"))

    def init_fn(params: optax.Params) -> PlayerContestState:
        count = scope.count(params)
        step = jnp.zeros((), jnp.int32)
        blank: Any = _decide.open_contest(_passes.blank(False), step)
        own = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), rules.init(blank)
        )
        recorded = _monitor.start(count, num_players or 0) if monitor else None
        return PlayerContestState(step, own, recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, PlayerContestState]:
        leaves, treedef = _factored.flatten(updates)
        count = _checks.check_players(_factored.specs(updates), params)
        if not leaves:
            return updates, state._replace(step=_tree.increment(state.step))
        _checks.check_num_players(num_players, count)
        owners = scope.owners(one_player(updates))
        extras = Extras.read(extra_args, updates, count)
        groups, step = group_leaves(updates, extras, owners), state.step

        measured = form.measure(groups, extras, step)
        if raise_nonfinite:
            check_finite(measured.finite, extras.present)
        decided, own = form.decide(measured, state.rules, step)
        combined = form.combine(leaves, owners, measured, decided)
        recorded = state.recorded
        if recorded is not None:
            report = form.report(groups, extras, step, measured, decided)
            recorded = record(recorded, *report, extras, step)
        new_state = PlayerContestState(_tree.increment(step), own, recorded)
        return treedef.unflatten(combined), new_state

    return aggregator(init_fn, update_fn)


def _form_of(
    opponent: PlayerOpponent, rules: optax.GradientTransformation, reduction: Reduction
) -> Form:
    if isinstance(opponent, MeanOpponent):
        return mean_form(rules, opponent.include_self, reduction)
    return gramian_form(rules, opponent, reduction)


def _check(
    opponent: Any, rules: Any, scope: Any, reduce: Any, preference: ArrayLike | None
) -> None:
    if not isinstance(opponent, (MeanOpponent, PairwiseOpponent)):
        raise ValueError(
            "`opponent` must be others_mean(), batch_mean() or pairwise(), got "
            f"{opponent!r}."
        )
    _checks.check_kind("rules", rules, optax.GradientTransformation)
    _checks.check_kind("scope", scope, Scope)
    _checks.check_choice("reduce", reduce, ("mean", "sum"))
    _checks.check_preference("preference", preference)


def _check_monitor(num_players: Any, monitor: Any, raise_nonfinite: Any) -> None:
    _checks.check_bool("monitor", monitor)
    if num_players is not None:
        _checks.check_count("num_players", num_players, minimum=1)
    elif monitor:
        raise ValueError("`num_players` must be given for monitor=True, got None.")
    _checks.check_bool("raise_nonfinite", raise_nonfinite)
