"""Feedback pruning: the sparsity follows a measured complexity."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._granularity import Granularity, entries
from neat_optax._leaves import Mask, Scope, per_leaf
from neat_optax._schedules import value_at, when
from neat_optax.sparsity._allocation import Allocation, uniform
from neat_optax.sparsity._decide import decide, values
from neat_optax.sparsity._division import Division, divide
from neat_optax.sparsity._scores import Score, Weight, as_score, magnitude
from neat_optax.sparsity._shell import Target, prune_by

ROUNDING = 1e-6
"""Excesses that differ by less are equal: float32 does not resolve them."""


class Control(NamedTuple):
    """A control law: `step(excess)` is added to the level."""

    name: str
    step: Callable[[jax.Array], jax.Array]

    def __repr__(self) -> str:
        return f"<control {self.name}>"


def bang_bang(rate: float = 0.02) -> Control:
    """Moves the level by a fixed step, up or down: the rule of NeatapticTS.

    Args:
      rate: the step, above 0.
    """
    _checks.check_number("rate", rate, "(0, inf)")
    return Control("bang_bang", lambda excess: rate * jnp.sign(excess))


def proportional(gain: float = 0.5, max_step: float = 1.0) -> Control:
    """Moves the level by `gain` times the excess, and by at most `max_step`.

    Args:
      gain: a number above 0; 1 goes to the target at once.
      max_step: a number above 0.
    """
    _checks.check_number("gain", gain, "(0, inf)")
    _checks.check_number("max_step", max_step, "(0, inf)")
    return Control(
        "proportional", lambda excess: jnp.clip(gain * excess, -max_step, max_step)
    )


_ORIGINAL = bang_bang()


class Level(NamedTuple):
    """State of the feedback controller; float32, of shape []."""

    level: jax.Array  # the sparsity in force
    baseline: jax.Array  # the first complexity observed; -1 before


def start_level(level: float = 0.0) -> Level:
    """The initial state of the feedback controller.

    Args:
      level: the sparsity to start from, in [0, 1).
    """
    _checks.check_number("level", level, "[0, 1)")
    return Level(jnp.full((), level, jnp.float32), jnp.full((), -1.0, jnp.float32))


def adapt_level(
    state: Level,
    complexity: float | jax.Array,
    *,
    sparsity: float | jax.Array = 0.5,
    tolerance: float | jax.Array = 0.05,
    control: Control = _ORIGINAL,
) -> tuple[Level, jax.Array]:
    r"""One step of the feedback controller for an observed complexity :math:`x`.

    .. math::

        e = \frac{x - B (1 - T)}{B}, \qquad
        L \leftarrow \operatorname{clip}(L + c(e), 0, T) \quad\text{if } |e| > \tau

    with the first complexity observed as baseline :math:`B` (a baseline of 0 divides
    as 1). Excesses that differ by rounding count as equal, so that :math:`|e| = \tau`
    moves nothing.

    Args:
      state: a `Level`, from `start_level()` at first.
      complexity: :math:`x` at least 0.
      sparsity: :math:`T`, the share of the baseline to remove.
      tolerance: :math:`\tau`, the dead band.
      control: :math:`c`.

    Returns:
      The next `Level`, and whether the excess was outside the dead band.
    """
    x = jnp.asarray(complexity, jnp.float32)
    baseline = jnp.where(state.baseline < 0, x, state.baseline)
    excess = (x - baseline * (1 - sparsity)) / jnp.where(baseline == 0, 1, baseline)
    moved = jnp.abs(excess) > tolerance + ROUNDING
    answered = jnp.clip(state.level + control.step(excess), 0, sparsity)
    level = jnp.where(moved, answered, state.level).astype(jnp.float32)
    return Level(level, baseline), moved


@cites("neataptic2025")
def adapt_pruning(
    sparsity: optax.ScalarOrSchedule = 0.5,
    *,
    tolerance: optax.ScalarOrSchedule = 0.05,
    control: Control = _ORIGINAL,
    begin: int = 0,
    end: int | None = None,
    every: int = 1,
    score: Score | Callable = magnitude,
    scope: Scope = per_leaf,
    allocation: Allocation | Callable = uniform,
    granularity: Granularity = entries,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Prunes by feedback, until a measured complexity has fallen by a given share.

    One level, shared by all arrays, follows the complexity by feedback: a dead band
    around the target, and outside of it `control`. Whenever the level moves, the
    weights are pruned to it as in `prune_to_sparsity`, which also explains the options
    of the same name.

    The complexity is the number of weights, among those that can be pruned, that are
    not zero, or what the caller passes as the extra argument `complexity=`: the number
    of active units, a latency, a mean over a population. It is read only at
    the steps that are due.

    Args:
      sparsity: the share of the first complexity to remove, and the highest level, in
        [0, 1).
      tolerance: relative distance from the target within which nothing moves, at least
        0.
      control: the control law: `bang_bang(rate)`, the rule of NeatapticTS and the
        default, or `proportional(gain)`.
      begin: the first step that is due.
      end: the last one, whatever `every` is, or None.
      every: steps between two of them.
      score: what is kept.
      scope: what shares one count and one threshold.
      allocation: how the level is divided among arrays.
      granularity: what is kept or pruned as one.
      mask: which arrays are pruned; by default `kernels`.

    Returns:
      A transformation that needs `params` and goes last in a chain. A level that falls
      restores nothing: what is pruned stays zero.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = adapt_pruning(0.5, control=proportional(1.0))
      >>> params = {"kernel": jnp.array([[3.0, -1.0], [0.5, 2.0]])}
      >>> updates, state = tx.update(params, tx.init(params), params)
      >>> print(state.target.level, state.mask["kernel"].tolist())
      0.5 [[True, False], [False, True]]

    References:
      NeatapticTS, adaptive pruning; differences in docs/math.md.
    """
    _checks.check_number("sparsity", sparsity, "[0, 1)")
    _checks.check_number("tolerance", tolerance, "[0, inf)")
    _checks.check_kind("control", control, Control)
    cadence = when(begin, every, end)
    division = divide(scope, allocation, granularity, mask)

    def amount(
        state: Level, step: jax.Array, params: optax.Params, extra_args: dict[str, Any]
    ) -> tuple[jax.Array, Any]:
        del state
        division.counts(params, 0.0)  # raises at once for arrays that do not fit
        rule = value_at(sparsity, step), value_at(tolerance, step)
        return cadence.due(step), (extra_args.get("complexity"), *rule)

    def start(mask: Any) -> Level:
        return _varying(start_level(), mask)

    target = Target(start, amount, functools.partial(_decide, division, control))
    return prune_by("adapt_pruning", as_score(score), target)


def _decide(
    division: Division,
    control: Control,
    score: Score,
    state: Level,
    mask: Any,
    measured: Sequence[Weight],
    amount: tuple[Any, Any, Any],
) -> tuple[Level, Any]:
    """One step of the controller, and the mask of its level."""
    observed, sparsity, tolerance = amount
    params = values(mask, measured)
    if observed is None:
        observed = _count_nonzero(division, params)
    rule = {"sparsity": sparsity, "tolerance": tolerance, "control": control}
    state, moved = adapt_level(state, observed, **rule)

    def pruned() -> Any:
        return decide(division, score, mask, measured, state.level)

    return _varying(state, mask), jax.lax.cond(moved, pruned, lambda: mask)


def _varying(level: Level, mask: Any) -> Level:
    """In `jax.shard_map`, what is counted varies as the weights do."""
    leaves = jax.tree.leaves(mask)
    return _tree.varying_like(level, leaves[0]) if leaves else level


def _count_nonzero(division: Division, params: optax.Params) -> jax.Array:
    """The number of nonzero weights among those that can be pruned."""
    leaves = jax.tree.leaves(params)
    counts = [jnp.count_nonzero(leaves[n]) for n in division.pruned(params)]
    return sum(counts, jnp.float32(0))
