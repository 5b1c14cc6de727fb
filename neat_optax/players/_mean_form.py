"""Contests between players whose opponents are means of players.

Neither opponents nor corrected gradients are formed; `_means` has the sums.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _blocks, _factored, _stacked
from neat_optax._leaves import sum_by_owner
from neat_optax.aggregators._gramian import Extras, Group, measure_gramian
from neat_optax.aggregators._gramian import Measured as MeasuredGramian
from neat_optax.aggregators._weighting import Decision, as_decision
from neat_optax.conflict import _decide
from neat_optax.conflict._alignment import Alignment, Contest
from neat_optax.conflict._passes import Measured
from neat_optax.players import _means
from neat_optax.players._form import Form, Reduction, combined_weights, share_state


class MeasuredMeans(NamedTuple):
    """What is measured of the players before the rules decide."""

    finite: jax.Array  # [P] bool
    seats: _means.Seats
    scopes: list[Measured]  # of each scope, arrays [P]


def mean_form(
    rules: optax.GradientTransformation, include_self: bool, reduction: Reduction
) -> Form:
    """Every player against the mean of the others, or of all."""
    decide_block = functools.partial(_decide_players, rules)
    decide_block = jax.jit(jax.vmap(decide_block, (0, 0, None)))

    def measure(groups: list[Group], extras: Extras, step: jax.Array) -> MeasuredMeans:
        del step
        leaves = [leaf for group in groups for leaf in group.gradients]
        norms = [_stacked.squared_norms(leaf) for leaf in leaves]
        finite = jnp.all(jnp.isfinite(jnp.stack(norms)), axis=0)
        present = extras.present & finite
        shares = reduction.shares(present, extras.preference)
        seats = _means.seat(present, shares, include_self)
        return MeasuredMeans(finite, seats, _measure_scopes(groups, norms, seats))

    def decide(
        measured: MeasuredMeans, state: Any, step: jax.Array
    ) -> tuple[list[Contest], Any]:
        present = measured.seats.present
        scopes = [(scope, present) for scope in measured.scopes]
        return _decide.decide_each(decide_block, scopes, state, step)

    def combine(
        leaves: list[jax.Array],
        owners: tuple[int, ...],
        measured: MeasuredMeans,
        decided: list[Contest],
    ) -> list[jax.Array]:
        seats = taken = measured.seats
        factors = reduction.factors(seats.shares)
        combined: list[jax.Array] = []
        turns = _blocks.turns(leaf.size for leaf in leaves)
        for leaf, owner, begins in zip(leaves, owners, turns, strict=True):
            if begins:
                taken = _wait(seats, combined[-1])
            coefficients = decided[owner].on_gradient, decided[owner].on_opponent
            combined.append(_combine(leaf, taken, factors, *coefficients))
        return combined

    def report(
        groups: list[Group],
        extras: Extras,
        step: jax.Array,
        measured: MeasuredMeans,
        decided: list[Contest],
    ) -> tuple[MeasuredGramian, Decision]:
        _, shares, own, inverse = measured.seats
        seated = shares, own, inverse
        factors = reduction.factors(shares)
        weights = [
            combined_weights(factors, one.on_gradient, one.on_opponent, *seated)
            for one in decided
        ]
        taking_part = extras._replace(present=measured.seats.present)
        gramians = measure_gramian(groups, taking_part, step)
        decisions = jax.vmap(as_decision)(jnp.stack(weights))
        return gramians._replace(finite=measured.finite), decisions

    return Form(measure, decide, combine, report)


def _measure_scopes(
    groups: list[Group], norms: list[jax.Array], seats: _means.Seats
) -> list[Measured]:
    """The players' alignments with their opponents, summed over each scope."""
    leaves, metrics, owners = [], [], []
    for owner, group in enumerate(groups):
        leaves += group.gradients
        metrics += group.metric or [None] * len(group.gradients)
        owners += [owner] * len(group.gradients)
    norms = [jnp.where(seats.present, norm, 0) for norm in norms]
    factored = _align_factored(leaves, metrics, norms, seats)
    parts, taken = [], seats
    turns = _blocks.turns(leaf.size for leaf in leaves)
    for number, begins in enumerate(turns):
        leaf, metric = leaves[number], metrics[number]
        if begins:
            taken = _wait(seats, parts[-1].raw.oo)
        raw, in_metric = factored.get(number), None
        if raw is None:
            stack = _factored.explicit(leaf)
            raw, in_metric = _means.align(stack, taken, norms[number], metric)
        size = jnp.full(len(leaf), leaf.size // len(leaf), jnp.float32)
        parts.append(Measured(size, raw, in_metric, None))
    return sum_by_owner(parts, tuple(owners))


def _align_factored(
    leaves: list[Any], metrics: list[Any], norms: list[jax.Array], seats: _means.Seats
) -> dict[int, Alignment]:
    """Of factored leaves, by their numbers: from inner products between the players."""
    both, found = seats.present[:, None] & seats.present[None, :], {}
    for number, (leaf, metric) in enumerate(zip(leaves, metrics, strict=True)):
        if metric is None and _factored.is_factored(leaf):
            gramian = jnp.where(both, leaf.gramian(leaf), 0)
            found[number] = _means.sums(gramian, norms[number], seats)
    if not found:
        return {}
    of_found = jnp.stack([norms[number] for number in found])
    stacked = jax.vmap(_means.alignment, (0, 0, None))(
        of_found, jnp.stack(list(found.values())), seats
    )
    rows = ((number, row) for row, number in enumerate(found))
    return {number: jax.tree.map(lambda x, r=r: x[r], stacked) for number, r in rows}


def _combine(
    leaf: Any,
    seats: _means.Seats,
    factors: jax.Array,
    on_gradient: jax.Array,
    on_opponent: jax.Array,
) -> jax.Array:
    """Of one leaf; where it is factored, as a weighted sum of the players."""
    if not _factored.is_factored(leaf):
        return _means.combine(leaf, seats, factors, on_gradient, on_opponent)
    seated = seats.shares, seats.own, seats.inverse
    weights = combined_weights(factors, on_gradient, on_opponent, *seated)
    return _stacked.weighted_sum(weights, seats.present, leaf)


def _wait(seats: _means.Seats, result: jax.Array) -> _means.Seats:
    """The seats, known only when the result is."""
    return seats._replace(present=_blocks.after(result, seats.present))


def _decide_players(
    rules: optax.GradientTransformation,
    measured_and_present: tuple[Measured, jax.Array],
    state: Any,
    step: jax.Array,
) -> tuple[Contest, Any]:
    """Runs the rules on the players of one scope, and shares their state."""
    measured, present = measured_and_present
    decided, states = jax.vmap(
        lambda measures: _decide.decide(rules, measures, state, step)
    )(measured)
    return decided, share_state(states, present.astype(jnp.float32), state)
