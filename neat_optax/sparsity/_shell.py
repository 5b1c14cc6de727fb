"""What all pruning transformations share: score, ask, choose, mask."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._masks import all_kept, masked_updates
from neat_optax.sparsity._scores import Score


class PruneState(NamedTuple):
    """State of a transformation that prunes."""

    step: jax.Array  # [] int32
    target: Any  # what decides how much is pruned; arrays of shape []
    mask: Any  # like the parameters, bool: True where a weight is kept
    memory: Any  # of the score, like the parameters; () if it has none


class Target(NamedTuple):
    """When and how much is pruned.

    `start()` gives a state. `ask(state, step, params, extra_args)` says whether the
    mask may change now, and gives what `choose` needs to know then.
    """

    start: Callable[[], Any]
    ask: Callable[..., tuple[jax.Array, Any]]


def prune_by(
    name: str, score: Score, target: Target, choose: Callable
) -> optax.GradientTransformationExtraArgs:
    """A transformation that prunes, to go last in a chain.

    Args:
      name: of the transformation, for errors.
      score: what is kept.
      target: when and how much.
      choose: `choose(score, target_state, mask, seen, asked)` gives the next state of
        the target and the next mask; hashable. It is called at the steps that are due.
    """

    def init_fn(params):
        _checks.check_inexact("params", params)
        step, start = jnp.zeros((), jnp.int32), target.start()
        jax.eval_shape(lambda p: target.ask(start, step, p, {}), params)
        memory = scoring.start_memory(score, params)
        return PruneState(step, start, all_kept(params), memory)

    def update_fn(updates, state, params=None, **extra_args):
        _checks.check_update(updates, params, name)
        seen, memory = scoring.look(score, params, state.memory, state.step, extra_args)
        due, asked = target.ask(state.target, state.step, params, extra_args)
        now = state.target, state.mask
        told, mask = _choose_if(choose, score, due, now, seen, asked)
        updates = masked_updates(updates, params, mask)
        step = _tree.increment(state.step)
        return updates, PruneState(step, told, mask, memory)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@functools.partial(jax.jit, static_argnames=("choose", "score"))
def _choose_if(choose, score, due, now, seen, asked):
    """Jitted, so that a step outside of `jit` does not compile its branches anew."""
    return jax.lax.cond(due, lambda: choose(score, *now, seen, asked), lambda: now)
