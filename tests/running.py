"""Many steps of a transformation as one compiled function.

A test that steps eagerly compiles every operation by itself, for every shape. Here a
run is one `lax.scan` under one `jit`, kept for as long as its transformation lives, and
what goes in and comes out are NumPy arrays.
"""

import contextlib
import functools
import weakref
from unittest import mock

import jax
import numpy as np
import optax
from jax._src import compiler

_KEPT = weakref.WeakKeyDictionary()
_QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


@functools.cache
def quick():
    """Options with which XLA compiles in a quarter of the time.

    The program stays the same: only the machine code is not optimized. Options that
    this version of XLA does not know are left out.
    """
    known = {}
    for key, value in _QUICK.items():
        try:
            jax.jit(lambda x: -x, compiler_options={key: value}).lower(1.0).compile()
        except Exception as error:
            if "No such compile option" not in str(error):
                raise
        else:
            known[key] = value
    return known


def quick_jit(function):
    """`jax.jit` for what runs once, where compilation is all the cost."""
    return jax.jit(function, compiler_options=quick())


@contextlib.contextmanager
def quickly():
    """Whatever is compiled inside is compiled with the options of `quick`.

    For functions that tests do not compile themselves. JAX takes such options for one
    function only, or for a whole process.
    """
    of_one, more = compiler.get_compile_options, quick()

    def options(*arguments, env_options_overrides=None, **given):
        overrides = more | (env_options_overrides or {})
        return of_one(*arguments, env_options_overrides=overrides, **given)

    with mock.patch.object(compiler, "get_compile_options", options):
        yield


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
    compiled = _compiled(tx, move)
    updates, after, state = compiled(params, state, gradients, extra)
    return *jax.tree.map(np.asarray, (updates, after)), state


def _compiled(tx, move):
    kept = _KEPT.setdefault(tx.update, {})
    init, update = weakref.ref(tx.init), weakref.ref(tx.update)
    if (init, move) not in kept:
        kept[init, move] = jax.jit(functools.partial(_scan, init, update, move))
    return kept[init, move]


def _scan(init, update, move, params, state, gradients, extra):
    state = init()(params) if state is None else state

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
