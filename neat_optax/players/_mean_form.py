"""Contests between players whose opponents are means of players.

Neither opponents nor corrected gradients are formed; `_means` has the sums.
"""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _stacked
from neat_optax._leaves import sum_by_owner
from neat_optax.aggregators._gramian import Extras, Group, measure_gramian
from neat_optax.aggregators._gramian import Measured as MeasuredGramian
from neat_optax.aggregators._weighting import Decision, as_decision
from neat_optax.conflict import _decide
from neat_optax.conflict._alignment import Contest
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
        norms = [[_stacked.squared_norms(x) for x in g.gradients] for g in groups]
        every = jnp.stack(list(itertools.chain(*norms)))
        finite = jnp.all(jnp.isfinite(every), axis=0)
        present = extras.present & finite
        shares = reduction.shares(present, extras.preference)
        seats = _means.seat(present, shares, include_self)
        pairs = zip(groups, norms, strict=True)
        return MeasuredMeans(finite, seats, [_measure_scope(*p, seats) for p in pairs])

    def decide(
        measured: MeasuredMeans, state: Any, step: jax.Array
    ) -> tuple[list[Contest], Any]:
        present = measured.seats.present
        scopes = [(scope, present) for scope in measured.scopes]
        return _decide.decide_each(decide_block, scopes, state, step)

    def combine(
        leaf: jax.Array, owner: int, measured: MeasuredMeans, decided: list[Contest]
    ) -> jax.Array:
        seats, contests = measured.seats, decided[owner]
        factors = reduction.factors(seats.shares)
        coefficients = contests.on_gradient, contests.on_opponent
        return _means.combine(leaf, seats, factors, *coefficients)

    def report(
        groups: list[Group],
        extras: Extras,
        step: jax.Array,
        measured: MeasuredMeans,
        decided: list[Contest],
    ) -> tuple[MeasuredGramian, Decision]:
        _, shares, own, inverse = measured.seats
        weights = [
            combined_weights(contests, shares, own, inverse, reduction)
            for contests in decided
        ]
        taking_part = extras._replace(present=measured.seats.present)
        gramians = measure_gramian(groups, taking_part, step)
        decisions = jax.vmap(as_decision)(jnp.stack(weights))
        return gramians._replace(finite=measured.finite), decisions

    return Form(measure, decide, combine, report)


def _measure_scope(
    group: Group, norms: list[jax.Array], seats: _means.Seats
) -> Measured:
    """The players' alignments with their opponents, summed over one scope."""
    metrics = group.metric or [None] * len(group.gradients)
    parts = []
    for leaf, norm, metric in zip(group.gradients, norms, metrics, strict=True):
        norm = jnp.where(seats.present, norm, 0)
        raw, in_metric = _means.align(leaf, seats, norm, metric)
        size = jnp.full(len(leaf), leaf[0].size, jnp.float32)
        parts.append(Measured(size, raw, in_metric, None))
    return sum_by_owner(parts, (0,) * len(parts))[0]


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
