"""What holds for every reduction of players, as one assertion."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from properties import assert_finite, assert_same_types, assert_trees_close

COUNT = 3
SHAPES = {"w": (3, 2), "b": (2,)}
PARAMS = {name: jnp.zeros(shape) for name, shape in SHAPES.items()}


def gradients(seed=0, dtype=jnp.float32):
    """Gradients of three players that conflict."""
    rng = np.random.default_rng(seed)
    return {
        name: jnp.asarray(rng.normal(size=(COUNT, *shape)), dtype)
        for name, shape in SHAPES.items()
    }


def plain(tree):
    """The tree with random keys as numbers, so that it can be compared."""

    def unwrap(x):
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    return jax.tree.map(unwrap, tree)


def replace(tree, index, value):
    """One player's rows set to a value."""

    def one(x):
        x = np.array(x)
        x[index] = value
        return jnp.asarray(x)

    return jax.tree.map(one, tree)


def compiled(tx):
    """The transformation with a compiled update."""
    return optax.GradientTransformationExtraArgs(tx.init, jax.jit(tx.update))


def run(tx, stacks, **extra):
    """The last update and state of a run, compiled once for each transformation."""
    step = jax.jit(tx.update)
    state = tx.init(PARAMS)
    update = None
    for g in stacks:
        update, state = step(g, state, PARAMS, **extra)
    return update, state


def check_contract(tx, losses=None):
    """Scans, keeps dtypes, and never lets an absent or bad player in."""
    extra = {"present": np.ones(COUNT, bool)}
    if losses is not None:
        extra["losses"] = np.asarray(losses)
    _check_types(tx, jnp.float32, extra)
    _check_types(tx, jnp.bfloat16, extra)
    jitted = compiled(tx)
    _check_zero(jitted, extra)
    _check_missing(jitted, extra)


def _check_types(tx, dtype, extra):
    """A scan can be traced, and updates have the dtype of their gradients."""
    params = jax.tree.map(lambda x: x.astype(dtype), PARAMS)
    g = gradients(0, dtype)

    def body(state, _):
        update, state = tx.update(g, state, params, **extra)
        return state, update

    start = tx.init(params)
    last, updates = jax.eval_shape(lambda: jax.lax.scan(body, start, length=2))
    assert_same_types(last, start)
    expected = {name: ((2, *shape), dtype) for name, shape in SHAPES.items()}
    assert jax.tree.map(lambda x: (x.shape, x.dtype), updates) == expected


def _check_zero(tx, extra):
    zeros = jax.tree.map(np.zeros_like, gradients())
    update, state = run(tx, [zeros] * 2, **extra)
    assert_trees_close(update, PARAMS)
    assert_finite(plain(state))


def _check_missing(tx, extra):
    """An absent player's rows are never read; a NaN makes a player absent."""
    g, (_, state) = gradients(1), run(tx, [gradients(0)], **extra)
    some = {**extra, "present": np.array([True, False, True])}
    absent = tx.update(g, state, PARAMS, **some)
    garbage = replace(g, 1, np.nan)
    unread = tx.update(garbage, state, PARAMS, **some)
    dropped = tx.update(garbage, state, PARAMS, **extra)
    assert_finite(plain(absent))
    assert_trees_close(plain(unread), plain(absent))
    assert_trees_close(dropped[0], absent[0])
    assert_finite(plain(dropped))
    nobody = {**extra, "present": np.zeros(COUNT, bool)}
    assert_finite(plain(tx.update(g, state, PARAMS, **nobody)))
