"""How coefficients follow from gradients and memories."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _leaves, _tree
from neat_optax._granularity import Granularity
from neat_optax._leaves import Scope
from neat_optax._schedules import value_at
from neat_optax.plasticity._coefficient import clipped, mixed
from neat_optax.plasticity._effects import Recorded, start
from neat_optax.plasticity._monitor import PlasticityRecord, record
from neat_optax.plasticity._signals import (
    averaged,
    magnitude,
    memory_signal,
    over_mean,
    square,
    total,
    total_magnitude,
    total_memory_signal,
    usable,
)

_DECAYS = ("activity_decay", "momentum_decay", "variance_decay")
_WEIGHTS = ("gradient_weight", "activity_weight", "memory_weight")


class PlasticityState(NamedTuple):
    """State of a transformation that computes coefficients."""

    step: jax.Array  # [] int32
    activity: Any  # like the parameters, real; () where its weight is 0
    momentum: Any  # like the parameters; () where the memory's weight is 0
    variance: Any  # like the parameters, real; () where the memory's weight is 0
    recorded: Recorded | tuple[()]  # () unless monitored


class Plan(NamedTuple):
    """The arguments of `plasticity`, checked."""

    weights: tuple[Any, ...]  # of gradient, activity and memory
    decays: tuple[Any, ...]  # of activity, momentum and variance
    bounds: tuple[Any, Any]
    strength: optax.ScalarOrSchedule
    granularity: Granularity
    scope: Scope
    mask: _leaves.Mask
    monitor: bool


class Leaf(NamedTuple):
    """One leaf at a step, its next memories among it, None if unused."""

    gradient: Any
    activity: Any
    momentum: Any
    variance: Any

    def signal(self, kind: int) -> Any:
        """That of the gradient, of the activity or of the memory."""
        if kind == 0:
            return magnitude(self.gradient)
        if kind == 1:
            return self.activity
        return memory_signal(self.momentum, self.variance)


def make_plan(
    *, minimum, maximum, strength, granularity, scope, mask, monitor, **numbers
) -> Plan:
    """A `Plan`, its arguments checked."""
    for name in _DECAYS:
        _checks.check_number(name, numbers[name], "[0, 1)")
    weights = tuple(numbers[name] for name in _WEIGHTS)
    for name, weight in zip(_WEIGHTS, weights, strict=True):
        _checks.check_number(name, weight, "[0, inf)")
    if all(map(_is_number, weights)):
        _checks.check_number(" + ".join(_WEIGHTS), sum(weights), "(0, inf)")
    bounds = minimum, maximum
    _checks.check_range("minimum, maximum", bounds, "[0, inf)")
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_kind("granularity", granularity, Granularity)
    _checks.check_kind("scope", scope, Scope)
    _checks.check_bool("monitor", monitor)
    decays = tuple(numbers[name] for name in _DECAYS)
    mask = _leaves.as_mask(mask)
    return Plan(weights, decays, bounds, strength, granularity, scope, mask, monitor)


def init(plan: Plan, params: Any) -> PlasticityState:
    """The state before the first step: zeros, where a weight makes use of them."""
    _checks.check_inexact("params", params)
    _, of_activity, of_memory = plan.weights

    def zeros(weight, real):
        return () if _never(weight) else _leaves.zeros(params, plan.mask, real=real)

    count = len(_leaves.chosen(params, plan.mask))
    return PlasticityState(
        step=jnp.zeros((), jnp.int32),
        activity=zeros(of_activity, True),
        momentum=zeros(of_memory, False),
        variance=zeros(of_memory, True),
        recorded=start(PlasticityRecord, count, plan.monitor),
    )


def advance(
    plan: Plan, gradients: Any, state: PlasticityState
) -> tuple[dict[int, jax.Array], PlasticityState]:
    """The coefficients of the leaves that take part, by number, and the next state."""
    numbers = _leaves.chosen(gradients, plan.mask)
    leaves, treedef = jax.tree.flatten(gradients)
    now = _at(plan, state.step)
    buffers = (state.activity, state.momentum, state.variance)
    columns = [
        [None] * len(leaves) if _unused(b) else treedef.flatten_up_to(b)
        for b in buffers
    ]
    seen = [_look(now, leaves[n], [column[n] for column in columns]) for n in numbers]
    owners = _leaves.groups(gradients, plan.scope, numbers)
    found = _coefficients(now, owners, seen)
    alphas = dict(zip(numbers, found, strict=True))
    for leaf, n in zip(seen, numbers, strict=True):
        for column, memory in zip(columns, leaf[1:], strict=True):
            column[n] = memory
    kept = [
        b if _unused(b) else treedef.unflatten(column)
        for b, column in zip(buffers, columns, strict=True)
    ]
    recorded = state.recorded
    if plan.monitor:
        pairs = [(alphas[n], leaves[n]) for n in numbers]
        recorded = record(state, pairs, now.bounds)
    step, (activity, momentum, variance) = _tree.increment(state.step), kept
    return alphas, PlasticityState(step, activity, momentum, variance, recorded)


def _look(plan: Plan, gradient: Any, old: Sequence[Any]) -> Leaf:
    """Memories take in the gradient first; what is not finite counts as 0."""
    g = usable(gradient)
    values = jnp.abs(g), g, square(g)
    memories: list[Any] = [
        None if memory is None else averaged(memory, value, decay).astype(memory.dtype)
        for memory, value, decay in zip(old, values, plan.decays, strict=True)
    ]
    return Leaf(gradient, *memories)


def _coefficients(
    plan: Plan, owners: Sequence[int], seen: Sequence[Leaf]
) -> list[jax.Array]:
    """The coefficient of each leaf."""
    kinds = [kind for kind, w in enumerate(plan.weights) if not (kind and _never(w))]
    sizes = [leaf.gradient.size for leaf in seen]
    counts = [max(count, 1) for count in _leaves.totals(owners, sizes)]
    sums = _leaves.totals(owners, _sums(kinds, seen))
    alphas = []
    for leaf, summed, count in zip(seen, sums, counts, strict=True):
        factors, offsets = over_mean(summed / count)
        scaled = {
            kind: (leaf.signal(kind), factors[i], offsets[i])
            for i, kind in enumerate(kinds)
        }
        alphas.append(_coefficient(plan, scaled, leaf.gradient))
    return alphas


def _sums(kinds: Sequence[int], seen: Sequence[Leaf]) -> list[jax.Array]:
    """For each leaf, the sums of its signals, as one array."""
    sums: dict[int, Any] = {0: total_magnitude([leaf.gradient for leaf in seen])}
    if 1 in kinds:
        sums[1] = [total(leaf.activity) for leaf in seen]
    if 2 in kinds:
        sums[2] = [total_memory_signal(leaf.momentum, leaf.variance) for leaf in seen]
    rows = zip(*[sums[kind] for kind in kinds], strict=True)
    return [jnp.stack(row) for row in rows]


def _coefficient(plan: Plan, scaled: dict[int, Any], gradient: Any) -> jax.Array:
    """The coefficient from each kind of signal, its factor and its offset."""
    granularity = plan.granularity

    def mixture(weights):
        parts = [
            ((weights[kind] * factor) * signal, weights[kind] * offset)
            for kind, (signal, factor, offset) in scaled.items()
            if not _never(weights[kind])
        ]
        signals, offsets = zip(*parts, strict=True)
        weighed: Any = sum(signals) + sum(offsets)
        return clipped(granularity.pool(weighed), *plan.bounds)

    alpha = mixture(plan.weights)
    if not (_is_number(plan.strength) and plan.strength == 1):
        alpha = mixed(mixture((1, 0, 0)), alpha, plan.strength, *plan.bounds)
    return granularity.spread(alpha, gradient)


def _at(plan: Plan, step: jax.Array) -> Plan:
    """The plan with the values that its schedules have at a step."""

    def each(values):
        return tuple(value_at(value, step) for value in values)

    return plan._replace(
        weights=each(plan.weights),
        decays=each(plan.decays),
        bounds=each(plan.bounds),
        strength=value_at(plan.strength, step),
    )


def _is_number(value: Any) -> bool:
    """Whether a value is one of Python's numbers, which are known before the step."""
    return isinstance(value, (int, float))


def _unused(memory: Any) -> bool:
    """Whether a memory was never allocated."""
    return isinstance(memory, tuple) and not memory


def _never(weight: Any) -> bool:
    return _is_number(weight) and weight == 0
