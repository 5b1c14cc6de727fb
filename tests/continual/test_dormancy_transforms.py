"""ReDo under JAX's and Optax's transformations, and around any optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

import layer_chains as chains
import neat_optax as neo
import properties
from layer_chains import (
    DEAD,
    LAYERS,
    forward,
    inputs,
    place,
    silence,
    touched,
    train,
    with_dead_units,
)


def test_jit_and_scan_equal_single_steps():
    params = with_dead_units()
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=2)

    def body(carry, _):
        params, state = carry
        activity = forward(params, inputs())[1]
        updates, state = tx.update(
            chains.sines(params), state, params, activity=activity
        )
        return (optax.apply_updates(params, updates), state), None

    carry = params, tx.init(params)
    scanned = jax.jit(lambda c: jax.lax.scan(body, c, None, length=5)[0])(carry)
    properties.assert_same_types(scanned, carry)
    eager = carry
    for _ in range(5):
        eager, _ = body(eager, None)
    properties.assert_trees_close(scanned, eager, rtol=1e-4, atol=1e-5)


def test_vmap_equals_a_loop():
    sets = [with_dead_units(), silence(chains.dense_params(4), "second", 3)]
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=1)

    def two_steps(params):
        state = tx.init(params)
        for _ in range(2):
            activity = forward(params, inputs())[1]
            updates, state = tx.update(
                chains.sines(params), state, params, activity=activity
            )
            params = optax.apply_updates(params, updates)
        return params

    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *sets)
    mapped = jax.vmap(two_steps)(stacked)
    for index, params in enumerate(sets):
        one = jax.tree.map(lambda x, i=index: x[i], mapped)
        properties.assert_trees_close(one, two_steps(params), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_sharded_equals_unsharded(axis_type):
    """Units are divided among devices, as incoming and as outgoing weights."""
    params = with_dead_units()
    activity = forward(params, inputs())[1]
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=2)
    expected, state = train(tx, params, 2, activity)[-1]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        placed = place(params, mesh)
        divided = jax.device_put(activity["first"], placed["first"]["bias"].sharding)
        found, placed_state = train(tx, placed, 2, {**activity, "first": divided})[-1]
    properties.assert_trees_close(found, expected, rtol=2e-5, atol=1e-6)
    properties.assert_trees_close(placed_state, state, rtol=2e-5, atol=1e-6)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(placed), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "complex64"])
def test_dtypes_are_kept(dtype):
    with jax.enable_x64(dtype == "float64"):
        params = chains.dense_params(dtype=dtype)
        tx = neo.continual.reset_dormant(optax.sgd(0.01, momentum=0.9), LAYERS, every=2)
        state = tx.init(params)
        activity = {"first": jnp.ones(8).at[0].set(0), "second": jnp.ones(6)}
        updates, after = tx.update(params, state, params, activity=activity)
        updates, after = tx.update(params, after, params, activity=activity)
        properties.assert_same_types(updates, params)
        properties.assert_same_types(after, state)
        new = optax.apply_updates(params, updates)
        assert np.all(np.asarray(new["second"]["kernel"][0]) == 0)


@pytest.mark.parametrize("name", chains.OPTIMIZERS)
def test_moments_are_reset_whatever_the_optimizer(name):
    params = with_dead_units()
    optimizer = chains.OPTIMIZERS[name][0]
    tx = neo.continual.reset_dormant(optimizer, LAYERS, every=4)
    plain = train(optax.with_extra_args_support(optimizer), params, 4)
    _, state = train(tx, params, 4)[-1]
    marks = touched(DEAD, params)
    kept = chains.memories(name, plain[-1][1])
    found = chains.memories(name, state.inner)
    assert len(found) == len(kept) > 0
    for memory, before in zip(found, kept, strict=True):
        expected = jax.tree.map(lambda m, b: np.where(m, 0, b), marks, before)
        properties.assert_trees_close(memory, expected, rtol=1e-5)
    if name == "adam":
        assert int(state.inner[0].count) == 4


def test_slow_parameters_start_where_the_new_weights_are():
    params = with_dead_units()
    inner = optax.contrib.schedule_free_sgd(0.1)
    new, state = train(neo.continual.reset_dormant(inner, LAYERS, every=2), params, 2)[
        -1
    ]
    z = state.inner.z["first"]["kernel"][:, 2]
    np.testing.assert_allclose(z, new["first"]["kernel"][:, 2], rtol=1e-6)


def test_other_parameters_and_missing_biases():
    params = {**with_dead_units(), "scale": jnp.ones(()), "none": None}
    del params["second"]["bias"]
    activity = {"first": jnp.zeros(8), "second": jnp.ones(6), "unknown": jnp.ones(1)}
    tx = neo.continual.reset_dormant(optax.adam(0.1), LAYERS, every=1)
    new, state = train(tx, params, 1, activity)[0]
    properties.assert_same_types(new, params)
    properties.assert_same_types(state, tx.init(params))
    assert np.all(np.asarray(new["second"]["kernel"]) == 0)
    assert float(new["scale"]) != 1


def test_under_optaxs_wrappers():
    params = with_dead_units()
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=2)
    injected = optax.inject_hyperparams(neo.continual.reset_dormant)(
        optimizer=optax.adam(0.01), layers=LAYERS, every=2
    )
    expected, _ = train(tx, params, 3)[-1]
    found, _ = train(injected, params, 3)[-1]
    properties.assert_trees_close(found, expected, rtol=1e-5)

    state = tx.init(params)
    same = optax.tree.map_params(tx, lambda x: x, state)
    properties.assert_trees_equal(same, state)
    properties.assert_same_types(jax.eval_shape(tx.init, params), state)

    multi = optax.MultiSteps(tx, 2)
    new, _ = train(multi, params, 4)[-1]
    assert np.all(np.asarray(new["second"]["kernel"])[[2, 5]] == 0)


def test_a_step_without_a_reset_draws_no_weights():
    """Both conditions are real branches, not selections."""
    params, tx = (
        with_dead_units(),
        neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=9),
    )
    activity = forward(params, inputs())[1]
    text = str(
        jax.make_jaxpr(lambda p, s: tx.update(p, s, p, activity=activity))(
            params, tx.init(params)
        )
    )
    assert text.count(" cond[") == 2
