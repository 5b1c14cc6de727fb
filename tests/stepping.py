"""Steps of an aggregator, compiled once for each shape, with NumPy in and out.

Eager steps compile each operation by itself. A step under `jit` is one program, which
all tests of a file share where they use one transformation and the same arguments.
"""

import functools

import jax
import numpy as np

from properties import assert_finite, assert_trees_close

COUNT = 3
EVERYONE = np.ones(COUNT, bool)
LOSSES = np.array([0.5, 2.0, 1.0], np.float32)
SHAPES = {"w": (3, 2), "b": (2,)}


def gradients(seed=0):
    """Gradients of three players that conflict."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=(COUNT, *shape)).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def replace(tree, index, value):
    """One player's rows set to a value."""

    def put(x):
        x = np.array(x)
        x[index] = value
        return x

    return jax.tree.map(put, tree)


def like(g):
    """Parameters, all zero, for gradients with a player axis."""
    return jax.tree.map(lambda x: np.zeros(np.shape(x)[1:], np.asarray(x).dtype), g)


def step(tx, g, state=None, **extra):
    """The update as NumPy arrays, and the next state."""
    g = jax.tree.map(_narrow, g)
    extra = jax.tree.map(_narrow, extra)
    if state is None:
        update, state = _first(tx)(g, like(g), extra)
    else:
        update, state = jax.jit(tx.update)(g, state, like(g), **extra)
    return jax.tree.map(np.asarray, update), state


@functools.lru_cache(maxsize=64)
def _first(tx):
    """The first step, from `tx.init` on: one program."""
    return jax.jit(
        lambda g, params, extra: tx.update(g, tx.init(params), params, **extra)
    )


def start(tx, g):
    """The state for gradients with a player axis, before the first of many steps."""
    return jax.jit(tx.init)(like(jax.tree.map(_narrow, g)))


def play(tx, stacks, state=None, **extra):
    """One step after another: all updates, and the last state.

    Args:
      tx: a transformation.
      stacks: gradients of each step.
      state: where to start, that of `tx.init` by default.
      **extra: extra arguments of `update`, one for each step.
    """
    updates = []
    state = start(tx, stacks[0]) if state is None else state
    for index, g in enumerate(stacks):
        now = {name: values[index] for name, values in extra.items()}
        update, state = step(tx, g, state, **now)
        updates.append(update)
    return updates, state


def call(rule, *args, **kwargs):
    """What a pure rule returns, compiled, as NumPy arrays."""
    args, kwargs = jax.tree.map(_narrow, (args, kwargs))
    return jax.tree.map(np.asarray, jax.jit(rule)(*args, **kwargs))


def plain(tree):
    """The tree with random keys as numbers, so that it can be compared."""

    def unwrap(x):
        is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    return jax.tree.map(unwrap, tree)


def check_absent_players(tx, **extra):
    """An absent player's rows are never read; a NaN makes a player absent."""
    zeros = jax.tree.map(np.zeros_like, gradients())
    extra = {"present": EVERYONE, **extra}
    updates, state = play(tx, [zeros] * 2, **{k: [v] * 2 for k, v in extra.items()})
    assert_trees_close(updates[-1], like(zeros))
    assert_finite(plain(state))
    _, state = step(tx, gradients(0), start(tx, zeros), **extra)
    g, some = gradients(1), {**extra, "present": EVERYONE & [True, False, True]}
    garbage = replace(g, 1, np.nan)
    absent = step(tx, g, state, **some)
    assert_finite(plain(absent))
    assert_trees_close(plain(step(tx, garbage, state, **some)), plain(absent))
    dropped = step(tx, garbage, state, **extra)
    assert_trees_close(dropped[0], absent[0])
    assert_finite(plain(dropped))
    nobody = {**extra, "present": ~EVERYONE}
    assert_finite(plain(step(tx, g, state, **nobody)))


def _narrow(x):
    """A NumPy array, of single precision if it is floating; a JAX array as it is."""
    if isinstance(x, jax.Array):
        return x
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype == np.float64 else x
