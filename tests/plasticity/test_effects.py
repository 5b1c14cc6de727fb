"""What is the same of the records of all wrappers and stabilizers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import properties

waves, ones = (
    optax.stateless_with_tree_map(rule)
    for rule in (
        lambda g, _: 1 + 0.5 * jnp.sin(jnp.abs(g)),
        lambda g, _: jnp.ones_like(jnp.abs(g)),
    )
)
"""Coefficients without a memory: the wrappers are the subject here."""

FACTORIES = {
    "bound": functools.partial(neo.plasticity.bound_residual, optax.scale_by_sign()),
    "orthogonal": functools.partial(
        neo.plasticity.orthogonal_residual, optax.scale_by_sign()
    ),
    "modulate": functools.partial(
        neo.plasticity.modulate, optax.scale_by_adam(), waves, strength=2.0
    ),
    "rate": functools.partial(
        neo.plasticity.modulate_rate, optax.identity(), waves, ones, strength=3.0
    ),
    "clip": neo.plasticity.clip_leaf_norm,
    "stabilize": functools.partial(neo.plasticity.stabilize, rate=0.5),
}
EACH = pytest.mark.parametrize("name", FACTORIES)
BAD = (np.nan, np.inf, 1e30)


def history(dtype=np.float32):
    """Gradients of two arrays at five steps."""
    rng = np.random.default_rng(7)
    shapes = {"a": (3, 2), "b": (4,)}
    return {k: rng.normal(size=(5, *s)).astype(dtype) for k, s in shapes.items()}


def scenarios():
    """The history, and the history with a bad entry at its second step."""
    lanes = []
    for bad in (None, *BAD):
        gradients = history()
        if bad is not None:
            gradients["a"][1, 0, 0] = bad
        lanes.append(gradients)
    return jax.tree.map(lambda *x: np.stack(x), *lanes)


def play(tx, gradients):
    """The updates and states of all steps."""

    def step(state, gradient):
        update, state = tx.update(gradient, state)
        return state, (update, state)

    first = jax.tree.map(lambda x: x[0], gradients)
    return jax.lax.scan(step, tx.init(first), gradients)[1]


@functools.cache
def played(name):
    """All scenarios side by side, where a factory records and where it does not."""
    both = [FACTORIES[name](monitor=monitor) for monitor in (True, False)]
    run = jax.jit(jax.vmap(lambda gradients: [play(tx, gradients) for tx in both]))
    return jax.tree.map(np.asarray, run(scenarios()))


def lane(tree, number):
    return jax.tree.map(lambda x: x[number], tree)


@pytest.mark.fast("modulate", "stabilize")
@EACH
def test_records_change_nothing_and_cost_no_state_where_they_are_off(name):
    (updates, states), (plain, plain_states) = played(name)
    properties.assert_trees_close(lane(updates, 0), lane(plain, 0), rtol=1e-6)
    assert plain_states.recorded == ()
    rest = [lane(s._replace(recorded=()), 0) for s in (states, plain_states)]
    properties.assert_trees_close(*rest, rtol=1e-6)


@EACH
def test_the_mean_is_over_all_steps(name):
    found = lane(played(name)[0], 0)[1].recorded
    mean = jax.tree.map(lambda x: np.mean(x, axis=0), found.latest)
    last = jax.tree.map(lambda x: x[-1], found.mean)
    properties.assert_trees_close(last, mean, rtol=1e-5)
    assert any(np.ptp(x, axis=0).any() for x in jax.tree.leaves(found.latest))
    assert found.size[-1].tolist() == [6, 4]


@EACH
def test_what_is_not_finite_is_not_remembered(name):
    states = played(name)[0][1]
    for number in range(len(BAD) + 1):
        properties.assert_finite(lane(states, number).recorded)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["orthogonal", "modulate"])
def test_vmap_equals_a_single_run(name):
    """To within the rounding of a cosine that is 0 in exact arithmetic."""
    tx = FACTORIES[name](monitor=True)
    alone = jax.jit(functools.partial(play, tx))(history())
    found = lane(played(name)[0], 0)
    properties.assert_trees_close(found, alone, rtol=1e-5, atol=1e-6)


@EACH
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64"])
def test_records_are_float32(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        tx = FACTORIES[name](monitor=True)
        gradients = {"a": jax.ShapeDtypeStruct((3, 2), dtype)}
        state = jax.eval_shape(tx.init, gradients)
        _, after = jax.eval_shape(tx.update, gradients, state)
        properties.assert_same_types(after, state)
        recorded = after.recorded
        for x in jax.tree.leaves((recorded.size, recorded.latest, recorded.mean)):
            assert x.dtype == jnp.float32


@EACH
def test_nothing_recorded_of_nothing(name):
    tx = FACTORIES[name](monitor=True)
    after = jax.eval_shape(lambda: tx.update({}, tx.init({}))[1])
    assert after.recorded.size.shape == (0,)


def test_a_state_can_be_donated():
    """Its arrays are distinct from the start."""
    u = np.array([3.0, 4.0], np.float32)
    tx = neo.plasticity.clip_leaf_norm(monitor=True)
    state = tx.init(u)
    step = jax.jit(tx.update, donate_argnums=1)
    for _ in range(2):
        _, state = step(u, state)
    assert state.recorded.mean.unclipped_norm.tolist() == [5.0]


def test_no_name_is_used_twice():
    """Those of coefficients and corrections stand beside them."""
    g = lane(history(), 0)
    parts = [make(monitor=True) for make in FACTORIES.values()][1:]
    parts += [
        neo.plasticity.scale_by_plasticity(monitor=True),
        neo.neat_correction(monitor=True),
    ]
    names = lambda tx: set(  # noqa: E731
        jax.eval_shape(lambda: neo.diagnostics(tx.init(g)))
    )
    assert len(names(optax.chain(*parts))) == sum(len(names(tx)) for tx in parts)
