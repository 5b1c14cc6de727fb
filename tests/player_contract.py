"""What holds for every reduction of players, as one assertion."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from properties import assert_finite, assert_same_types, assert_trees_close

COUNT = 3
SHAPES = {"w": (3, 2), "b": (2,)}
EVERYONE = jnp.ones(COUNT, bool)
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
    return jax.tree.map(lambda x: x.at[index].set(value), tree)


def run(tx, stacks, **extra):
    """The last update and state of a run."""
    state = tx.init(PARAMS)
    update = None
    for g in stacks:
        update, state = tx.update(g, state, PARAMS, **extra)
    return update, state


def check_contract(tx, losses=None, rtol=1e-5):
    """Compiles, scans, keeps dtypes, and never lets an absent or bad player in."""
    extra = {} if losses is None else {"losses": jnp.asarray(losses)}
    stacks = [gradients(seed) for seed in range(2)]
    jitted = optax.GradientTransformationExtraArgs(tx.init, jax.jit(tx.update))
    _check_compiled(tx, jitted, stacks, extra, rtol)
    _check_low_precision(jitted, extra)
    _check_zero(jitted, extra)
    _check_missing(jitted, stacks, extra)


def _check_compiled(tx, jitted, stacks, extra, rtol):
    def body(state, g):
        update, state = tx.update(g, state, PARAMS, **extra)
        return state, update

    start = tx.init(PARAMS)
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *stacks)
    _, updates = jax.jit(lambda s, g: jax.lax.scan(body, s, g))(start, stacked)
    _, middle = run(jitted, stacks[:1], present=EVERYONE, **extra)
    assert_same_types(plain(middle), plain(start))
    eager, _ = tx.update(stacks[1], middle, PARAMS, present=EVERYONE, **extra)
    compiled, _ = run(jitted, stacks, present=EVERYONE, **extra)
    scanned = jax.tree.map(lambda x: x[-1], updates)
    assert_trees_close(compiled, eager, rtol=rtol, atol=1e-5)
    assert_trees_close(scanned, eager, rtol=rtol, atol=1e-5)
    assert jax.tree.map(jnp.shape, scanned) == SHAPES


def _check_low_precision(tx, extra):
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    state = tx.init(params)
    for seed in range(2):
        update, new = tx.update(gradients(seed, jnp.bfloat16), state, params, **extra)
        assert_same_types(plain(new), plain(state))
        assert_same_types(update, params)
        assert_finite(update)
        state = new


def _check_zero(tx, extra):
    zeros = jax.tree.map(jnp.zeros_like, gradients())
    update, state = run(tx, [zeros] * 2, present=EVERYONE, **extra)
    assert_trees_close(update, PARAMS)
    assert_finite(plain(state))


def _check_missing(tx, stacks, extra):
    """An absent player's rows are never read; a NaN makes a player absent."""
    _, state = run(tx, stacks[:1], present=EVERYONE, **extra)
    present = jnp.array([True, False, True])
    absent = tx.update(stacks[1], state, PARAMS, present=present, **extra)
    garbage = replace(stacks[1], 1, jnp.nan)
    unread = tx.update(garbage, state, PARAMS, present=present, **extra)
    dropped = tx.update(garbage, state, PARAMS, present=EVERYONE, **extra)
    assert_finite(plain(absent))
    assert_trees_close(plain(unread), plain(absent))
    assert_trees_close(dropped[0], absent[0])
    assert_finite(plain(dropped))
    nobody = jnp.zeros(COUNT, bool)
    update, state = tx.update(stacks[1], state, PARAMS, present=nobody, **extra)
    assert_finite(plain((update, state)))
