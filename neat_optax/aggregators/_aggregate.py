"""Combines gradients by a weighting: measure the Gramian, weight, sum."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _factored, _recording, _stacked, _tree
from neat_optax._leaves import Scope, whole_tree
from neat_optax._recording import Recorded
from neat_optax._typing import Array, Bool
from neat_optax.aggregators import _monitor
from neat_optax.aggregators._aggregator import aggregator
from neat_optax.aggregators._gramian import (
    Extras,
    Measured,
    group_leaves,
    measure_gramian,
    measure_norms,
    measure_nothing,
    one_player,
)
from neat_optax.aggregators._precise import decide_precisely
from neat_optax.aggregators._weighting import (
    Decision,
    Players,
    Weighting,
    as_weighting,
    over_scopes,
)


class AggregateState(NamedTuple):
    """State of `aggregate`."""

    step: jax.Array  # [] int32
    weighting: Any  # the weighting's state, each array with a leading axis over scopes
    recorded: Any  # a Recorded, or None


def aggregate(
    weighting: Weighting | Callable[[jax.Array], jax.Array],
    *,
    scope: Scope = whole_tree,
    num_players: int | None = None,
    monitor: bool = False,
    raise_nonfinite: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""Combines the gradients of several players into one update by a weighting.

    .. math:: u = \sum_i w_i\, g_i, \qquad w = \operatorname{weighting}(J J^\top)

    The gradients come in with a leading axis of `P` players on every leaf and go out
    without it, so everything after this in the chain is an ordinary optimizer. Inner
    products are taken in float32 or wider, and rescaled where they would overflow or
    vanish. No second array of the input's size is formed.

    Args:
      weighting: a `Weighting`, or a function from a Gramian `[P, P]` to weights `[P]`,
        such as `upgrad_weights`.
      scope: over which parameters inner products are summed, and so which leaves share
        their weights: `whole_tree`, `per_leaf` or `by_label(labels)`.
      num_players: `P`; needed where `monitor` is set and by weightings that remember
        something of each player.
      monitor: whether to record conflict, weights and stationarity for `diagnostics`.
        Costs one small quadratic program.
      raise_nonfinite: whether a player that is not finite raises an error instead of
        being dropped. Under `jit` this needs `jax.experimental.checkify.checkify`.

    Returns:
      A transformation. `update` takes the extra arguments `preference=` ([P],
      nonnegative), `present=` ([P] bool, absent players are left out), `losses=` ([P]),
      `traces=` ([P]) and `second_batch=` (a tree like the updates); each is ignored by
      weightings that have no use for it. With `metric=`, a positive tree like the
      parameters, products are divided by it: what the weighting promises then holds for
      `u / metric`. A player with a NaN or an infinite entry is dropped. With no player
      left the update is zero.

    Raises:
      ValueError: at trace time, if the leaves have no common leading axis, if they are
        not the parameters' shapes behind it, if an extra argument has another number of
        players, or if `losses=` is needed and missing.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.aggregate(aggregators.upgrad_weights)
      >>> g = jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> update, _ = tx.update(g, tx.init(g[0]))
      >>> update.tolist()
      [-0.25, 0.75]
    """
    weighting = as_weighting(weighting)
    _checks.check_kind("scope", scope, Scope)
    _checks.check_bool("monitor", monitor)
    _checks.check_bool("raise_nonfinite", raise_nonfinite)
    _check_num_players(weighting, num_players, monitor)

    def init_fn(params: Any) -> AggregateState:
        count = scope.count(params)
        own = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))),
            weighting.init(num_players),
        )
        recorded = _monitor.start(count, num_players or 0) if monitor else None
        return AggregateState(jnp.zeros((), jnp.int32), own, recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ):
        leaves, treedef = _factored.flatten(updates)
        count = _checks.check_players(_factored.specs(updates), params)
        if not leaves:
            return updates, state._replace(step=_tree.increment(state.step))
        _checks.check_num_players(num_players, count)
        _check_losses(weighting, extra_args)
        owners = scope.owners(one_player(updates))
        extras = Extras.read(extra_args, updates, count)
        groups = group_leaves(updates, extras, owners)
        measured = _measuring(weighting, monitor)(groups, extras, state.step)
        if raise_nonfinite:
            check_finite(measured.finite, extras.present)
        decisions, own = _decide(weighting, measured, state.weighting)
        if weighting.takes_coordinates or weighting.correct:
            decisions = decide_precisely(weighting, groups, measured, decisions)
        combined = [
            _stacked.weighted_sum(decisions.weights[owner], measured.finite, leaf)
            for leaf, owner in zip(leaves, owners, strict=True)
        ]
        recorded = state.recorded
        if recorded is not None:
            recorded = record(recorded, measured, decisions, extras, state.step)
        new_state = AggregateState(_tree.increment(state.step), own, recorded)
        return treedef.unflatten(combined), new_state

    return aggregator(init_fn, update_fn)


def _measuring(weighting: Weighting, monitor: bool) -> Callable[..., Measured]:
    """The least measure that shows what is asked for."""
    if monitor or weighting.needs_gramian:
        return measure_gramian
    return measure_norms if weighting.needs_norms else measure_nothing


def _decide(
    weighting: Weighting, measured: Measured, state: Any
) -> tuple[Decision, Any]:
    """Runs the weighting on every scope."""

    def one_scope(players: Players, own: Any):
        decision, new = weighting.decide(players, own)
        weights = jnp.where(players.present, decision.weights, 0)
        return decision._replace(weights=weights), _tree.cast_like(new, own)

    return over_scopes(one_scope, measured.players, state)


def record(
    state: Recorded,
    measured: Measured,
    decisions: Decision,
    extras: Extras,
    step: jax.Array,
) -> Recorded:
    """What is recorded after a step, with a row for each scope."""
    dropped = jnp.sum(~measured.finite & extras.present)
    latest = over_scopes(
        lambda players, decision: _monitor.record_players(players, decision, dropped),
        measured.players,
        decisions,
    )
    size = jnp.asarray(measured.players.size)
    return _recording.advance(state, latest, size, step)


def _check_num_players(weighting: Weighting, num_players: Any, monitor: bool) -> None:
    if num_players is not None:
        _checks.check_count("num_players", num_players, minimum=1)
    elif monitor or weighting.needs_num_players:
        reason = weighting.name if weighting.needs_num_players else "monitor=True"
        raise ValueError(f"`num_players` must be given for {reason}, got None.")


def check_finite(finite: Bool[Array, " P"], present: Bool[Array, " P"]) -> None:
    """Raises, under `jit` through checkify, if a present player is not finite."""
    from jax.experimental import checkify  # slow to import

    broken = jnp.sum(~finite & present)
    message = (
        "`updates` must be finite for every player, got {count} that are not. Of "
        "losses in one array one makes all so; in a list or dictionary, itself alone."
    )
    checkify.check(broken == 0, message, count=broken)


def _check_losses(weighting: Weighting, extra_args: dict[str, Any]) -> None:
    if weighting.needs_losses and extra_args.get("losses") is None:
        raise ValueError(
            f"`losses` must be passed to update for {weighting.name}, got None: call "
            "tx.update(updates, state, params, losses=losses), or apply_gradients of a "
            "PlayerTrainState."
        )
