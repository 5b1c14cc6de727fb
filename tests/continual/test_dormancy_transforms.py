"""ReDo under JAX's and Optax's transformations, and around any optimizer."""

import jax
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

import layer_chains as chains
import neat_optax as neo
import properties
import running
from layer_chains import (
    ACTIVITY,
    DEAD,
    FORWARD,
    LAYERS,
    inputs,
    place,
    silence,
    touched,
    train,
    with_dead_units,
)


@pytest.mark.slow
def test_scan_equals_single_steps():
    params = with_dead_units()
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=2)

    def step(carry, _):
        return chains.one_step(tx, carry), None

    start = params, jax.jit(tx.init)(params)
    scanned = jax.jit(lambda c: jax.lax.scan(step, c, None, length=3)[0])(start)
    properties.assert_same_types(scanned, start)
    last = train(tx, params, 3)[-1]
    properties.assert_trees_close(scanned, last, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_vmap_equals_single_runs():
    sets = [with_dead_units(), silence(chains.dense_params(4), "second", 3)]
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=1)

    def two_steps(params):
        carry = params, tx.init(params)
        for _ in range(2):
            carry = chains.one_step(tx, carry)
        return carry[0]

    stacked = jax.tree.map(lambda *xs: np.stack(xs), *sets)
    mapped = running.quick_jit(jax.vmap(two_steps))(stacked)
    alone = running.quick_jit(two_steps)
    for params, one in zip(sets, chains.each(mapped, 2), strict=True):
        properties.assert_trees_close(one, alone(params), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "axis_type",
    [pytest.param(AxisType.Auto, marks=pytest.mark.slow), AxisType.Explicit],
)
@pytest.mark.slow
def test_sharded_equals_unsharded(axis_type):
    """Units are divided among devices, as incoming and as outgoing weights."""
    params = with_dead_units()
    activity = FORWARD(params, inputs())[1]
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=2)
    expected, state = train(tx, params, 2, activity)[-1]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        placed = place(params, mesh)
        divided = jax.device_put(activity["first"], placed["first"]["bias"].sharding)
        activity = {**activity, "first": divided}
        carry = placed, jax.jit(tx.init)(placed)
        step = running.quick_jit(lambda carry, seen: chains.one_step(tx, carry, seen))
        for _ in range(2):
            carry = step(carry, activity)
    found, placed_state = carry
    properties.assert_trees_close(found, expected, rtol=2e-5, atol=1e-6)
    properties.assert_trees_close(placed_state, state, rtol=2e-5, atol=1e-6)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(placed), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "complex64"])
def test_dtypes_are_kept(dtype):
    with jax.enable_x64(dtype == "float64"):
        params = chains.dense_params(dtype=dtype)
        tx = neo.continual.reset_dormant(optax.sgd(0.01, momentum=0.9), LAYERS, every=2)
        state = jax.eval_shape(tx.init, params)
        step = lambda state: tx.update(params, state, params, unit_activity=ACTIVITY)  # noqa: E731
        updates, after = jax.eval_shape(step, state)
        properties.assert_same_types(updates, params)
        properties.assert_same_types(after, state)


@pytest.mark.parametrize(
    "dtype", ["bfloat16", pytest.param("complex64", marks=pytest.mark.slow)]
)
def test_outgoing_weights_are_zero_in_any_dtype(dtype):
    params = chains.dense_params(dtype=dtype)
    tx = neo.continual.reset_dormant(optax.sgd(0.01, momentum=0.9), LAYERS, every=2)
    activity = {"first": np.ones(8, "f4"), "second": np.ones(6, "f4")}
    activity["first"][0] = 0
    new = train(tx, params, 2, activity)[-1][0]
    assert np.all(new["second"]["kernel"][0] == 0)


@pytest.mark.parametrize(
    "name",
    [
        "adam",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in chains.OPTIMIZERS
            if name != "adam"
        ),
    ],
)
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


@pytest.mark.slow
def test_slow_parameters_start_where_the_new_weights_are():
    params = with_dead_units()
    inner = optax.contrib.schedule_free_sgd(0.1)
    tx = neo.continual.reset_dormant(inner, LAYERS, every=2)
    new, state = train(tx, params, 2)[-1]
    z = state.inner.z["first"]["kernel"][:, 2]
    np.testing.assert_allclose(z, new["first"]["kernel"][:, 2], rtol=1e-6)


def test_other_parameters_and_missing_biases():
    params = {**with_dead_units(), "scale": np.ones((), "f4"), "none": None}
    del params["second"]["bias"]
    activity = {
        "first": np.zeros(8, "f4"),
        "second": np.ones(6, "f4"),
        "unknown": np.ones(1, "f4"),
    }
    tx = neo.continual.reset_dormant(optax.adam(0.1), LAYERS, every=1)
    new, state = train(tx, params, 1, activity)[0]
    properties.assert_same_types(new, params)
    properties.assert_same_types(state, jax.eval_shape(tx.init, params))
    assert np.all(new["second"]["kernel"] == 0)
    assert float(new["scale"]) != 1


@pytest.mark.slow
def test_under_optaxs_wrappers():
    params = with_dead_units()
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=2)
    injected = optax.inject_hyperparams(neo.continual.reset_dormant)(
        optimizer=optax.adam(0.01), layers=LAYERS, every=2
    )
    assert jax.eval_shape(injected.init, params).hyperparams.keys() >= {"threshold"}
    state = jax.jit(tx.init)(params)
    same = optax.tree.map_params(tx, lambda x: x, state)
    properties.assert_trees_equal(same, state)
    new, _ = train(optax.MultiSteps(tx, 2), params, 4)[-1]
    assert np.all(new["second"]["kernel"][[2, 5]] == 0)


@pytest.mark.slow
def test_under_inject_hyperparams_the_run_is_the_same():
    params = with_dead_units()
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=2)
    injected = optax.inject_hyperparams(neo.continual.reset_dormant)(
        optimizer=optax.adam(0.01), layers=LAYERS, every=2
    )
    expected, _ = train(tx, params, 3)[-1]
    found, _ = train(injected, params, 3)[-1]
    properties.assert_trees_close(found, expected, rtol=1e-5)


def test_around_an_optimizer_with_an_extra_argument_of_its_own():
    """Activities of units and those of inputs have names of their own."""
    params = with_dead_units()
    inner = optax.GradientTransformationExtraArgs(
        lambda params: optax.EmptyState(),  # noqa: ARG005
        lambda updates, state, params=None, *, input_norms, **extra: (  # noqa: ARG005
            jax.tree.map(lambda u, n: -n * u, updates, input_norms),
            state,
        ),
    )
    tx = neo.continual.reset_dormant(inner, LAYERS, every=2)
    norms = jax.tree.map(lambda p: np.full_like(p, 2.0), params)
    ones = jax.tree.map(np.ones_like, params)

    @jax.jit
    def first(gradient, **extra):
        return tx.update(gradient, tx.init(params), params, **extra)[0]

    updates = first(ones, unit_activity=ACTIVITY, input_norms=norms)
    assert np.all(updates["head"]["kernel"] == -2)


def test_a_step_without_a_reset_draws_no_weights():
    """All three are real branches, not selections: units, weights and memories."""
    params = with_dead_units()
    tx = neo.continual.reset_dormant(optax.adam(0.01), LAYERS, every=9)
    step = lambda p: tx.update(p, tx.init(p), p, unit_activity=ACTIVITY)  # noqa: E731
    assert str(jax.make_jaxpr(step)(params)).count(" cond[") == 3
