"""Many steps of a transformation as one compiled function.

A test that steps eagerly compiles every operation by itself, for every shape. Here a
run is one `lax.scan` under one `jit`, kept for as long as its transformation lives, and
what goes in and comes out are NumPy arrays.
"""

import functools
import weakref

import jax
import numpy as np
import optax

_KEPT = weakref.WeakKeyDictionary()


def run(tx, gradients, params, *, state=None, move=True, **extra):
    """Plays one step after another.

    Args:
      tx: a transformation. Its compiled run is kept: build it once for many calls.
      gradients: a tree of arrays [steps, ...].
      params: where the run starts.
      state: the state to start from, that of `tx.init(params)` by default.
      move: whether the parameters follow the updates.
      **extra: extra arguments of `update`, trees of arrays [steps, ...].

    Returns:
      The updates [steps, ...], the parameters after each step [steps, ...], and the
      last state.
    """
    compiled = _compiled(tx.update, move)
    state = jax.jit(tx.init)(params) if state is None else state
    updates, after, state = compiled(params, state, gradients, extra)
    return *jax.tree.map(np.asarray, (updates, after)), state


def _compiled(update, move):
    kept = _KEPT.setdefault(update, {})
    if move not in kept:
        kept[move] = jax.jit(functools.partial(_scan, weakref.ref(update), move))
    return kept[move]


def _scan(update, move, params, state, gradients, extra):
    def step(carry, seen):
        params, state = carry
        gradient, more = seen
        updates, state = update()(gradient, state, params, **more)
        params = optax.apply_updates(params, updates) if move else params
        return (params, state), (updates, params)

    (_, state), (updates, after) = jax.lax.scan(
        step, (params, state), (gradients, extra)
    )
    return updates, after, state
