"""What all pruning transformations share: measure scores, decide a mask, combine."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._masks import all_kept, combine
from neat_optax.sparsity._scores import Score, Weight


class PruneState(NamedTuple):
    """State of a transformation that prunes."""

    step: jax.Array  # [] int32
    target: Any  # what decides how much is pruned; arrays of shape []
    mask: Any  # like the parameters, bool: True where a weight is kept
    memory: Any  # of the score, like the parameters; () if it has none


class Target(NamedTuple):
    """When the mask changes, and to what.

    `start(mask)` gives a state. `amount(state, step, params, extra_args)` says whether
    the mask may change now, and gives the amount that `decide` prunes then.
    `decide(score, state, mask, measured, amount)` gives the next state and the next
    mask; it is hashable, and runs at the steps that are due.
    """

    start: Callable[[Any], Any]
    amount: Callable[..., tuple[jax.Array, Any]]
    decide: Callable[..., tuple[Any, Any]]


def prune_by(
    name: str, score: Score, target: Target
) -> optax.GradientTransformationExtraArgs:
    """A transformation that prunes, to go last in a chain.

    Args:
      name: of the transformation, for errors.
      score: what is measured.
      target: when and how much is pruned, and the mask.
    """

    def init_fn(params: optax.Params) -> PruneState:
        _checks.check_inexact("params", params)
        step, mask = jnp.zeros((), jnp.int32), all_kept(params)
        start = target.start(mask)
        jax.eval_shape(lambda p: target.amount(start, step, p, {}), params)
        return PruneState(step, start, mask, scoring.start_memory(score, params))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, PruneState]:
        _checks.check_update(updates, params, name)
        _checks.check_state(name, state.mask, params)
        given: Any = params
        measured, memory = scoring.measure(
            score, given, state.memory, state.step, extra_args
        )
        due, amount = target.amount(state.target, state.step, given, extra_args)
        old = state.target, state.mask
        new_target, mask = _decide_if(target.decide, score, due, old, measured, amount)
        updates = combine(updates, given, mask)
        step = _tree.increment(state.step)
        return updates, PruneState(step, new_target, mask, memory)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@functools.partial(jax.jit, static_argnames=("decide", "score"))
def _decide_if(
    decide: Callable[..., tuple[Any, Any]],
    score: Score,
    due: jax.Array,
    old: tuple[Any, Any],
    measured: Sequence[Weight],
    amount: Any,
) -> tuple[Any, Any]:
    """Jitted, so that a step outside of `jit` does not recompile its branches."""
    return jax.lax.cond(due, lambda: decide(score, *old, measured, amount), lambda: old)
