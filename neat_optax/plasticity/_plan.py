"""How coefficients follow from gradients and averages.

Signals are measured, their means decide the coefficients, and `_scale` combines these
with the gradients.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _leaves, _tree
from neat_optax._granularity import Granularity
from neat_optax._leaves import Scope
from neat_optax._recording import Recorded
from neat_optax._schedules import value_at
from neat_optax.plasticity import _effects, _signals
from neat_optax.plasticity._coefficient import clipped, mixed
from neat_optax.plasticity._formulas import averaged, over_mean, usable
from neat_optax.plasticity._monitor import PlasticityRecord, record
from neat_optax.plasticity._signals import Average, Signal


class PlasticityState(NamedTuple):
    """State of a transformation that computes coefficients."""

    step: jax.Array  # [] int32
    averages: dict[str, Any]  # like the parameters, by name; none for a weight of 0
    recorded: Recorded | tuple[()]  # () unless monitored


class Plan(NamedTuple):
    """The arguments of `coefficients`, checked."""

    signals: tuple[Signal, ...]  # that of the gradient first, no other of weight 0
    bounds: tuple[Any, Any]
    strength: optax.ScalarOrSchedule
    granularity: Granularity
    scope: Scope
    mask: _leaves.Mask
    monitor: bool

    @property
    def averages(self) -> list[Average]:
        """All averages that are kept."""
        return [average for signal in self.signals for average in signal.averages]


class Leaf(NamedTuple):
    """One leaf at a step."""

    gradient: jax.Array
    averages: dict[str, jax.Array]  # this step included

    def of(self, signal: Signal) -> list[jax.Array]:
        """The averages that a signal reads."""
        return [self.averages[average.name] for average in signal.averages]


def make_plan(
    signals: Any,
    bounds: tuple[Any, Any],
    strength: optax.ScalarOrSchedule,
    granularity: Granularity,
    scope: Scope,
    mask: _leaves.Mask | None,
    monitor: bool,
) -> Plan:
    """A `Plan`, its arguments checked."""
    signals = _signals.check_signals(signals)
    _checks.check_range("minimum, maximum", bounds, "[0, inf)")
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_kind("granularity", granularity, Granularity)
    _checks.check_kind("scope", scope, Scope)
    _checks.check_bool("monitor", monitor)
    mask = _leaves.as_mask(mask)
    return Plan(signals, bounds, strength, granularity, scope, mask, monitor)


def init(plan: Plan, params: optax.Params) -> PlasticityState:
    """The state before the first step: zeros."""
    _checks.check_inexact("params", params)
    count = len(_leaves.chosen(params, plan.mask))
    return PlasticityState(
        step=jnp.zeros((), jnp.int32),
        averages={
            average.name: _leaves.zeros(params, plan.mask, real=average.real)
            for average in plan.averages
        },
        recorded=_effects.start(PlasticityRecord, count, plan.monitor),
    )


def advance(
    plan: Plan, gradients: optax.Updates, state: PlasticityState
) -> tuple[dict[int, jax.Array], PlasticityState]:
    """The coefficients of the leaves that take part, by number, and the next state."""
    numbers = _leaves.chosen(gradients, plan.mask)
    leaves, treedef = jax.tree.flatten(gradients)
    now = _at(plan, state.step)
    kept = {name: treedef.flatten_up_to(x) for name, x in state.averages.items()}
    seen = [_look(now, leaves[n], {k: x[n] for k, x in kept.items()}) for n in numbers]
    owners = _leaves.groups(gradients, plan.scope, numbers)

    means = _means(now, owners, seen)
    pairs = zip(seen, means, strict=True)
    alphas = {
        n: _coefficient(now, *pair) for n, pair in zip(numbers, pairs, strict=True)
    }

    for leaf, n in zip(seen, numbers, strict=True):
        for name, average in leaf.averages.items():
            kept[name][n] = average
    averages = {name: treedef.unflatten(column) for name, column in kept.items()}
    recorded = state.recorded
    if plan.monitor:
        scaled = [(alphas[n], leaves[n]) for n in numbers]
        recorded = record(state, scaled, now.bounds)
    return alphas, PlasticityState(_tree.increment(state.step), averages, recorded)


def _look(plan: Plan, gradient: jax.Array, old: Mapping[str, jax.Array]) -> Leaf:
    """Averages take in the gradient first; what is not finite counts as 0."""
    g = usable(gradient)
    new = {}
    for name, value, decay, _ in plan.averages:
        average = averaged(old[name], value(g), decay)
        new[name] = average.astype(old[name].dtype)
    return Leaf(gradient, new)


def _means(plan: Plan, owners: Sequence[int], seen: Sequence[Leaf]) -> list[jax.Array]:
    """For each leaf, the mean of each signal over its scope."""
    sizes = [float(leaf.gradient.size) for leaf in seen]
    counts = [max(count, 1.0) for count in _leaves.totals(owners, sizes)]
    gradients = [leaf.gradient for leaf in seen]
    columns = [
        _signals.totals(signal, gradients, [leaf.of(signal) for leaf in seen])
        for signal in plan.signals
    ]
    rows = [jnp.stack(row) for row in zip(*columns, strict=True)]
    sums = _leaves.totals(owners, rows)
    return [summed / count for summed, count in zip(sums, counts, strict=True)]


def _coefficient(plan: Plan, leaf: Leaf, means: jax.Array) -> jax.Array:
    """The coefficient of each entry, from the means of the signals."""
    factors, offsets = over_mean(means)
    weights = [signal.weight for signal in plan.signals]
    signals = [_signals.read(x, leaf.gradient, leaf.of(x)) for x in plan.signals]

    def mixture(weights: Sequence[Any]) -> jax.Array:
        columns = zip(weights, signals, factors, offsets, strict=True)
        parts = [
            ((weight * factor) * signal, weight * offset)
            for weight, signal, factor, offset in columns
            if not _signals.never(weight)
        ]
        terms, constants = zip(*parts, strict=True)
        weighed: Any = sum(terms) + sum(constants)
        return clipped(plan.granularity.pool(weighed), *plan.bounds)

    alpha = mixture(weights)
    if not (_signals.is_number(plan.strength) and plan.strength == 1):
        alone = mixture([1] + [0] * len(weights[1:]))
        alpha = mixed(alone, alpha, plan.strength, *plan.bounds)
    return plan.granularity.spread(alpha, leaf.gradient)


def _at(plan: Plan, step: jax.Array) -> Plan:
    """The plan with the values that its schedules have at a step."""
    low, high = plan.bounds
    return plan._replace(
        signals=tuple(_signals.at(signal, step) for signal in plan.signals),
        bounds=(value_at(low, step), value_at(high, step)),
        strength=value_at(plan.strength, step),
    )
