"""Dynamic sparse training: RigL and SET."""

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
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._allocation import Allocation, erdos_renyi_kernel
from neat_optax.sparsity._decide import Groups, Part, after, decide_by, highest
from neat_optax.sparsity._division import Division, divide
from neat_optax.sparsity._masks import all_kept, apply_mask, combine
from neat_optax.sparsity._scores import (
    Score,
    Weight,
    as_score,
    gradient_magnitude,
    magnitude,
    random,
)
from neat_optax.transforms._reset import (
    check_entries,
    check_optimizer,
    reset_entries,
)

_AT_RANDOM = random(0)


class GrowAndPruneState(NamedTuple):
    """State of `grow_and_prune`."""

    step: jax.Array  # [] int32
    mask: Any  # like the parameters, bool
    memories: tuple[Any, ...]  # of the scores that start, drop and grow
    inner: optax.OptState


@cites("evci2020rigging", "mocanu2018scalable")
def grow_and_prune(
    optimizer: optax.GradientTransformation,
    sparsity: optax.ScalarOrSchedule,
    *,
    fraction: optax.ScalarOrSchedule = 0.3,
    end: int | None = None,
    every: int = 100,
    start: Score | Callable = _AT_RANDOM,
    drop: Score | Callable = magnitude,
    grow: Score | Callable = gradient_magnitude,
    scope: Scope = per_leaf,
    allocation: Allocation | Callable = erdos_renyi_kernel,
    granularity: Granularity = entries,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Dynamic sparse training: RigL, or SET with `grow=random(1)`.

    The first step keeps the weights that `start` scores highest. At the steps `every`,
    `2 every`, ... up to `end`, and at `end` itself, each scope that keeps :math:`k`
    weights drops the :math:`\lfloor f_t k \rfloor` that `drop` scores lowest, and grows
    as many of the others by `grow`, which may take back what it has just dropped. A
    weight that was zero before starts at zero, with reset moments. Such a step updates
    no weight, as in the paper; the moments advance. The optimizer gets the gradient of
    the weights that are kept, and zero for the others.

    Args:
      optimizer: an optimizer, learning rate included. The moments of grown weights are
        reset by `reset_moments`, which names those that have none to reset.
      sparsity: the share of zeros, in [0, 1), or a schedule, which may rise.
      fraction: the share of the kept weights that is exchanged, in [0, 1), or a
        schedule: the paper's is `optax.cosine_decay_schedule(0.3, end)`.
      end: the last step with an exchange, or None.
      every: steps between two exchanges.
      start: which weights the first step keeps, at random by default.
      drop: which kept weights stay.
      grow: which of the others are grown: `gradient_magnitude` for RigL, `random(1)`
        for SET.
      scope: what shares one count and one threshold.
      allocation: how the sparsity is divided among arrays.
      granularity: what is kept or pruned as one.
      mask: which arrays are pruned; by default `kernels`.

    Returns:
      An optimizer that needs `params`. It goes last in a chain.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax.sparsity import sparsity
      >>> tx = grow_and_prune(optax.adam(0.1), 0.5, every=2)
      >>> w, state = jnp.ones((2, 4)), None
      >>> state = tx.init(w)
      >>> for _ in range(4):
      ...     updates, state = tx.update(w, state, w)
      ...     w = optax.apply_updates(w, updates)
      >>> print(sparsity(w))
      0.5

    References:
      Evci et al., "Rigging the Lottery: Making All Tickets Winners", 2020, Algorithm 1;
      Mocanu et al., "Scalable Training of Artificial Neural Networks with Adaptive
      Sparse Connectivity", 2018, for SET.
    """
    _checks.check_kind("optimizer", optimizer, optax.GradientTransformation)
    check_optimizer(optimizer)
    _checks.check_number("sparsity", sparsity, "[0, 1)")
    _checks.check_number("fraction", fraction, "[0, 1)")
    cadence = when(0, every, end)
    scores = (as_score(start, "start"), as_score(drop, "drop"), as_score(grow, "grow"))
    division = divide(scope, allocation, granularity, mask)
    optimizer = optax.with_extra_args_support(optimizer)

    def init_fn(params: optax.Params) -> GrowAndPruneState:
        _checks.check_inexact("params", params)
        division.counts(params, 0.0)  # raises at once for arrays that do not fit
        memories = tuple(scoring.start_memory(score, params) for score in scores)
        step, inner = jnp.zeros((), jnp.int32), optimizer.init(params)
        check_entries(optimizer, inner, params)
        return GrowAndPruneState(step, all_kept(params), memories, inner)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, GrowAndPruneState]:
        _checks.check_update(updates, params, "grow_and_prune")
        _checks.check_state("grow_and_prune", state.mask, params)
        given: Any = params
        known = {**extra_args, "grad": updates}
        measured, memories = _measure(scores, given, state, known)
        starts = state.step == 0
        exchanges = cadence.due(state.step) & ~starts
        amount = division.amount(given, value_at(sparsity, state.step))
        share = value_at(fraction, state.step)
        mask = _decide(
            division, scores, starts, exchanges, state.mask, measured, amount, share
        )
        inner = _reset_if(optimizer, exchanges, state.inner, given, mask, state.mask)

        masked = apply_mask(updates, mask)
        moved, inner = optimizer.update(masked, inner, given, **extra_args)
        moved = jax.tree.map(lambda u: jnp.where(exchanges, 0, u), moved)
        moved = combine(moved, given, mask)
        step = _tree.increment(state.step)
        return moved, GrowAndPruneState(step, mask, memories, inner)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _measure(
    scores: tuple[Score, ...],
    params: optax.Params,
    state: GrowAndPruneState,
    extra_args: dict[str, Any],
) -> tuple[list[Sequence[Weight]], tuple[Any, ...]]:
    """The input of each score, and the scores' next memories."""
    pairs = [
        scoring.measure(score, params, memory, state.step, extra_args)
        for score, memory in zip(scores, state.memories, strict=True)
    ]
    return [measured for measured, _ in pairs], tuple(memory for _, memory in pairs)


@functools.partial(jax.jit, static_argnames="optimizer")
def _reset_if(
    optimizer: optax.GradientTransformation,
    exchanges: jax.Array,
    inner: optax.OptState,
    params: optax.Params,
    mask: Any,
    old_mask: Any,
) -> optax.OptState:
    """Resets the moments of grown weights, in a branch apart from that of the masks.

    In one branch with them, XLA copies the whole state at every step.
    """

    def reset() -> optax.OptState:
        grown = jax.tree.map(lambda new, old: new & ~old, mask, old_mask)
        return reset_entries(optimizer, inner, params, jax.tree.leaves(grown))

    return jax.lax.cond(exchanges, reset, lambda: inner)


def _share(count: Any, fraction: Any) -> jax.Array:
    """The number of weights in a share of them, rounded down but for float error."""
    share = jnp.asarray(fraction, jnp.float32) * count
    return jnp.floor(share * (1 + jnp.finfo(jnp.float32).eps)).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("division", "scores"))
def _decide(
    division: Division,
    scores: tuple[Score, Score, Score],
    starts: jax.Array,
    exchanges: jax.Array,
    mask: Any,
    measured: Sequence[Sequence[Weight]],
    amount: Any,
    fraction: Any,
) -> Any:
    """The next mask: by `start` at first, then after each exchange, else unchanged."""
    start, drop, grow = scores
    granularity = division.granularity

    def first(part: Part) -> list[Groups]:
        kept = highest(granularity, start, part.weights[0], part)
        return [kept, [jnp.zeros_like(groups) for groups in kept]]

    def exchanged(part: Part) -> list[Groups]:
        dropped = _share(part.count, fraction)
        staying = part._replace(count=part.count - dropped)
        stays = highest(granularity, drop, part.weights[1], staying)
        others = [~mask for mask in after(granularity, part.masks, [stays])]
        growing = part._replace(masks=others, count=dropped)
        return [stays, highest(granularity, grow, part.weights[2], growing)]

    def rule(part: Part) -> list[Groups]:
        return jax.lax.cond(starts, first, exchanged, part)

    def changed() -> Any:
        return decide_by(division, rule, mask, measured, amount)

    return jax.lax.cond(starts | exchanges, changed, lambda: mask)
