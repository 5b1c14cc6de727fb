"""Acceptance: a fitness threshold that holds the accepted share at a target."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._schedules import value_at
from neat_optax.evolution._population import Population, PopulationTransformation

_HALF = 0.501  # a half that lost something by rounding counts as one


class AcceptanceRule(NamedTuple):
    """How the threshold follows fitness.

    `move(threshold, fitness, target, rate)` gives the next threshold, before anyone is
    rejected. A rule that `balances` is asked for less than the target after more were
    accepted, and the other way round.
    """

    name: str
    start: float
    rate: float
    move: Callable[..., jax.Array]
    balances: bool = False

    def __repr__(self) -> str:
        return f"<acceptance rule {self.name}>"


class MinimalCriterionState(NamedTuple):
    """State of `minimal_criterion`."""

    generation: jax.Array  # [] int32
    threshold: jax.Array  # [] float32, or as wide as fitness
    acceptance: jax.Array  # [] float32, the share accepted in the last generation
    deficit: jax.Array  # [] float32, by how much acceptance fell short of its target


def accepted_share(fitness: jax.Array, threshold: jax.typing.ArrayLike) -> jax.Array:
    """The share of those with a fitness that reach a threshold, 0 where there are none.

    Args:
      fitness: an array [n]; NaN is not counted.
      threshold: a number.
    """
    known = jnp.sum(~jnp.isnan(fitness), dtype=jnp.float32)
    reached = jnp.sum(fitness >= threshold, dtype=jnp.float32)
    return reached / jnp.maximum(known, 1)


def _follow(
    threshold: jax.Array, fitness: jax.Array, target: Any, rate: Any
) -> jax.Array:
    """Part of the way to the number that the target share of all reaches.

    It lies half-way between two neighbors in the order, so that rounding, and another
    scale of fitness, changes nothing.
    """
    finite = jnp.isfinite(fitness)
    count = jnp.sum(finite, dtype=jnp.int32)
    known = jnp.sum(~jnp.isnan(fitness), dtype=jnp.float32)
    last = jnp.floor(target * known + _HALF).astype(jnp.int32)
    last = jnp.clip(last, 1, jnp.maximum(count, 1)) - 1
    ranked = -jnp.sort(jnp.where(finite, -fitness, jnp.inf))
    following = jnp.minimum(last + 1, jnp.maximum(count - 1, 0))
    quantile = ranked[last] + (ranked[following] - ranked[last]) / 2
    started = jnp.isfinite(threshold)
    old = jnp.where(started, threshold, quantile)
    moved = (1 - rate) * old + rate * quantile
    return jnp.where(count > 0, moved, threshold)


quantile = AcceptanceRule("quantile", -jnp.inf, 1.0, _follow, balances=True)
"""The threshold moves a share `rate`, by default all of the way, to the quantile of
fitness that the target asks for. It depends on the order of fitness alone: on no scale,
no offset and no sign."""


def multiplicative_threshold(
    start: float = 0.0, tolerance: float = 0.05
) -> AcceptanceRule:
    r"""The rule of NeatapticTS: the threshold grows or shrinks by a share of itself.

    .. math:: \theta \leftarrow \begin{cases}
        (1 + \rho)\, \theta & p > (1 + \tau) A \\
        (1 - \rho)\, \theta & p < (1 - \tau) A \\
        \theta & \text{otherwise} \end{cases}

    with the share :math:`p` that reaches the old threshold. It suits fitness above
    zero only: a threshold of 0 never moves, and a negative one moves the wrong way.

    Args:
      start: the first threshold.
      tolerance: :math:`\tau` at least 0.
    """
    intervals = {"start": "(-inf, inf)", "tolerance": "[0, inf)"}
    _checks.check_fields({"start": start, "tolerance": tolerance}, intervals)

    def move(
        threshold: jax.Array, fitness: jax.Array, target: Any, rate: Any
    ) -> jax.Array:
        share = accepted_share(fitness, threshold)
        # A share that differs from the edge by rounding is inside.
        edge = 4 * jnp.finfo(jnp.float32).eps
        above = share > (1 + tolerance) * target + edge
        below = share < (1 - tolerance) * target - edge
        return threshold * (1 + rate * (above.astype(jnp.float32) - below))

    return AcceptanceRule("multiplicative_threshold", start, 0.1, move)


@cites("neataptic2025")
def minimal_criterion(
    target_acceptance: optax.ScalarOrSchedule = 0.5,
    rate: optax.ScalarOrSchedule | None = None,
    *,
    rule: AcceptanceRule = quantile,
) -> PopulationTransformation:
    r"""Rejects the individuals below a threshold that holds acceptance at a target.

    Rejected individuals get the fitness -inf, so that no selection draws them while
    there are others. Those without a fitness keep NaN, and count neither as accepted
    nor as rejected.

    Under the rule `quantile` the share :math:`a_t = \operatorname{clip}(A + d_t)` is
    asked for, at least one individual, and what was accepted is balanced,

    .. math:: d_{t+1} = \operatorname{clip}(d_t + A - p_t, -\tfrac12, \tfrac12)

    so that at rate 1 the mean acceptance is the target, also of a small population. A
    slow threshold lags less behind fitness that rises. Equals are accepted together.

    On one objective this sets the pressure of selection, and no more: `truncation` of
    the same share does what it does, in one parameter less.

    Args:
      target_acceptance: :math:`A` in [0, 1], or a schedule of the generation.
      rate: how fast the threshold moves, in [0, 1], or a schedule; by default the
        rule's own, 1 for `quantile` and 0.1 for `multiplicative_threshold`.
      rule: `quantile`, or `multiplicative_threshold(start)`.

    Returns:
      A transformation, to stand before the breeder. Its state holds `threshold` and
      `acceptance`, the share that it accepted.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> population = Population(jnp.eye(4), jnp.array([-3.0, -1.0, jnp.nan, -2.0]))
      >>> bar = minimal_criterion(0.6)
      >>> out, state = bar.update(jax.random.key(0), population, bar.init(population))
      >>> print(out.fitness, state.threshold)
      [-inf  -1.  nan  -2.] -2.5

    References:
      NeatapticTS, adaptive acceptance; differences in docs/math.md.
    """
    _checks.check_number("target_acceptance", target_acceptance, "[0, 1]")
    _checks.check_kind("rule", rule, AcceptanceRule)
    speed = rule.rate if rate is None else rate
    _checks.check_number("rate", speed, "[0, 1]")

    def init(population: Population) -> MinimalCriterionState:
        _checks.check_population(population.params, population.fitness)
        zero = jnp.zeros((), jnp.float32)
        start = jnp.full((), rule.start, _tree.widen(population.fitness).dtype)
        return MinimalCriterionState(jnp.zeros((), jnp.int32), start, zero, zero)

    def update(
        key: Any, population: Population, state: MinimalCriterionState
    ) -> tuple[Population, MinimalCriterionState]:
        del key
        params, given = population
        fitness = _tree.unsharded(jnp.asarray(given))
        target = value_at(target_acceptance, state.generation)
        step = value_at(speed, state.generation)
        wanted = jnp.clip(target + state.deficit, 0, 1) if rule.balances else target
        threshold = rule.move(state.threshold, fitness, wanted, step)
        share = accepted_share(fitness, threshold)
        rejected = given < threshold
        kept = jnp.where(rejected, -jnp.inf, given).astype(given.dtype)
        generation = _tree.increment(state.generation)
        deficit = _next_deficit(state.deficit, target - share, fitness, rule.balances)
        after = MinimalCriterionState(generation, threshold, share, deficit)
        return Population(params, kept), _tree.cast_like(after, state)

    return PopulationTransformation(init, update)


def _next_deficit(
    deficit: jax.Array, missing: Any, fitness: jax.Array, balances: bool
) -> jax.Array:
    """The deficit after a generation; one without any fitness does not change it."""
    if not balances:
        return deficit
    known = jnp.any(~jnp.isnan(fitness))
    return jnp.where(known, jnp.clip(deficit + missing, -0.5, 0.5), deficit)
