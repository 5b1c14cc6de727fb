"""Sparse from the first step on: weights are dropped and others grown."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._granularity import Granularity, entries
from neat_optax._leaves import Mask, Scope, per_leaf
from neat_optax._schedules import value_at, when
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._allocation import Allocation, erdos_renyi_kernel
from neat_optax.sparsity._masks import (
    all_kept,
    apply_mask,
    divide,
    masked_updates,
    narrow,
    values,
)
from neat_optax.sparsity._scores import (
    Score,
    as_score,
    gradient_magnitude,
    magnitude,
    random,
)
from neat_optax.transforms._reset import reset_moments

_AT_RANDOM = random(0)


class GrowAndPruneState(NamedTuple):
    """State of `grow_and_prune`."""

    step: jax.Array  # [] int32
    mask: Any  # like the parameters, bool
    memories: tuple[Any, ...]  # of the scores that start, drop and grow
    inner: Any


def grow_and_prune(
    optimizer: optax.GradientTransformation,
    sparsity: optax.ScalarOrSchedule,
    *,
    fraction: optax.ScalarOrSchedule = 0.3,
    begin: int = 0,
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
    r"""Trains a sparse network whose zeros move: RigL, and with `grow=random(1)` SET.

    The first step keeps the weights that `start` scores highest. At the steps
    `begin + every`, `begin + 2 every`, ... up to `end`, each scope that keeps
    :math:`k` weights drops the :math:`\lfloor f_t k \rfloor` that `drop` scores lowest,
    and grows as many of the others by `grow`, which may take back what it has just
    dropped. A weight that was zero before starts at zero, with fresh moments. Such a
    step moves no weight, as in the paper; the moments go on. The optimizer sees the
    gradient of the weights that are kept, and zero for the others.

    Args:
      optimizer: any optimizer, learning rate included. Its memories are reset by
        `reset_moments`, whatever it is.
      sparsity: the share of zeros, in [0, 1), or a schedule, which may rise.
      fraction: the share of the kept weights that is exchanged, in [0, 1), or a
        schedule: the paper's is `optax.cosine_decay_schedule(0.3, end)`.
      begin: where the exchanges are counted from.
      end: the last step with one, or None.
      every: steps between two exchanges.
      start: which weights the first step keeps, at random by default.
      drop: which kept weights stay.
      grow: which of the others come: `gradient_magnitude` for RigL, `random(1)` for
        SET.
      scope: what shares one count and one threshold.
      allocation: how the sparsity is divided among arrays.
      granularity: what is kept or pruned as one.
      mask: which arrays are pruned; by default those with two axes or more.

    Returns:
      An optimizer that needs `params`. Nothing may stand behind it in a chain.

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
    _checks.check_number("sparsity", sparsity, "[0, 1)")
    _checks.check_number("fraction", fraction, "[0, 1)")
    cadence = when(begin, every, end)
    rules = (as_score(start, "start"), as_score(drop, "drop"), as_score(grow, "grow"))
    division = divide(scope, allocation, granularity, mask)
    optimizer = optax.with_extra_args_support(optimizer)
    choose = functools.partial(_exchange, division, rules)

    def init_fn(params):
        _checks.check_inexact("params", params)
        division.counts(params, 0.0)  # says now what does not fit
        memories = tuple(scoring.start_memory(rule, params) for rule in rules)
        step, inner = jnp.zeros((), jnp.int32), optimizer.init(params)
        return GrowAndPruneState(step, all_kept(params), memories, inner)

    def update_fn(updates, state, params=None, **extra_args):
        _checks.check_update(updates, params, "grow_and_prune")
        known = {**extra_args, "grad": updates}
        looks = [
            scoring.look(rule, params, memory, state.step, known)
            for rule, memory in zip(rules, state.memories, strict=True)
        ]
        seen, memories = [s for s, _ in looks], tuple(m for _, m in looks)
        starts = state.step == 0
        exchanges = cadence.due(state.step) & (state.step > begin) & ~starts
        asked = division.ask(params, value_at(sparsity, state.step))
        share = value_at(fraction, state.step)
        mask = choose(starts, exchanges, state.mask, seen, asked, share)
        inner = _reset_if(optimizer, exchanges, state.inner, params, mask, state.mask)

        masked = apply_mask(updates, mask)
        moved, inner = optimizer.update(masked, inner, params, **extra_args)
        moved = jax.tree.map(lambda u: jnp.where(exchanges, 0, u), moved)
        moved = masked_updates(moved, params, mask)
        step = _tree.increment(state.step)
        return moved, GrowAndPruneState(step, mask, memories, inner)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@functools.partial(jax.jit, static_argnames="optimizer")
def _reset_if(optimizer, exchanges, inner, params, mask, old_mask):
    """Sets back the memories of what is grown; apart from the masks, which costs less.

    In one branch with them, XLA copies the whole state at every step.
    """

    def reset():
        grown = jax.tree.map(lambda new, old: new & ~old, mask, old_mask)
        return reset_moments(optimizer, inner, params, grown)

    return jax.lax.cond(exchanges, reset, lambda: inner)


def _share(count: Any, fraction: Any) -> jax.Array:
    """The whole number of weights in a share of them; rounding does not lose one."""
    share = jnp.asarray(fraction, jnp.float32) * count
    return jnp.floor(share * (1 + jnp.finfo(jnp.float32).eps)).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("division", "rules"))
def _exchange(division, rules, starts, exchanges, mask, seen, asked, fraction):
    """The next mask: chosen at the start, exchanged at times, else as it is."""
    start, drop, grow = rules

    def first():
        return narrow(division, start, mask, seen[0], asked)

    def exchanged():
        kept = division.counts(values(mask, seen[1]), asked)
        dropped = [_share(count, fraction) for count in kept]
        stay = [k - d for k, d in zip(kept, dropped, strict=True)]
        stays = narrow(division, drop, mask, seen[1], stay)
        others = jax.tree.map(jnp.logical_not, stays)
        grown = narrow(division, grow, others, seen[2], dropped)
        return jax.tree.map(jnp.logical_or, stays, grown)

    branches = [lambda: mask, first, exchanged]
    return jax.lax.switch(starts + 2 * exchanges, branches)
