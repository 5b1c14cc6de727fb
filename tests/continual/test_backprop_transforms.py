"""Continual backpropagation under JAX's and Optax's transformations."""

import jax
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

import layer_chains as chains
import neat_optax as neo
import properties
import running
from layer_chains import ACTIVITY, LAYERS, train

PARAMS = chains.dense_params()


FAST = neo.continual.continual_backprop(
    optax.adam(0.01), LAYERS, replacement_rate=0.1, maturity=1
)


@pytest.mark.slow
@running.quickly()
def test_scan_equals_single_steps():
    def step(carry, _):
        return chains.one_step(FAST, carry), None

    start = PARAMS, jax.jit(FAST.init)(PARAMS)
    scanned = jax.jit(lambda c: jax.lax.scan(step, c, None, length=5)[0])(start)
    properties.assert_same_types(scanned, start)
    assert int(scanned[1].records[0].age.min()) < 5
    last = train(FAST, PARAMS, 5)[-1]
    properties.assert_trees_close(scanned, last, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@running.quickly()
def test_vmap_equals_single_runs():
    sets = [PARAMS, chains.dense_params(4)]

    def steps(params):
        step = lambda carry, _: (chains.one_step(FAST, carry), None)  # noqa: E731
        return jax.lax.scan(step, (params, FAST.init(params)), None, length=4)[0]

    stacked = jax.tree.map(lambda *xs: np.stack(xs), *sets)
    mapped, alone = jax.jit(jax.vmap(steps))(stacked), jax.jit(steps)
    for params, one in zip(sets, chains.each(mapped, 2), strict=True):
        properties.assert_trees_close(one, alone(params), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
@running.quickly()
def test_sharded_equals_unsharded(axis_type):
    """Units are divided among devices, as incoming and as outgoing weights.

    The reset itself is asked of `reset_dormant` in the fast tier.
    """
    expected = train(FAST, PARAMS, 3, ACTIVITY)[-1]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        placed = chains.place(PARAMS, mesh)
        found = placed, jax.jit(FAST.init)(placed)
        step = jax.jit(lambda carry: chains.one_step(FAST, carry, ACTIVITY))
        for _ in range(3):
            found = step(found)
    properties.assert_trees_close(found, expected, rtol=2e-5, atol=1e-6)
    for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(placed), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


@pytest.mark.slow
def test_utilities_of_sharded_weights():
    """Both passes over sharded arrays can be traced with explicit shardings."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        placed = chains.place(PARAMS, mesh)
        state = FAST.init(placed)
        step = lambda carry: chains.one_step(FAST, carry, ACTIVITY)  # noqa: E731
        after, _ = jax.eval_shape(step, (placed, state))
        for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(placed), strict=True):
            assert a.sharding.spec == jax.typeof(b).sharding.spec


@pytest.mark.parametrize("dtype", ["bfloat16", "float64", "complex64"])
def test_dtypes_are_kept(dtype):
    with jax.enable_x64(dtype == "float64"):
        params = chains.dense_params(dtype=dtype)
        tx = neo.continual.continual_backprop(
            optax.sgd(0.1, momentum=0.9), LAYERS, replacement_rate=0.2, maturity=0
        )
        state = jax.eval_shape(tx.init, params)
        step = lambda state: tx.update(params, state, params, unit_activity=ACTIVITY)  # noqa: E731
        updates, after = jax.eval_shape(step, state)
        properties.assert_same_types(updates, params)
        properties.assert_same_types(after, state)


def test_a_unit_is_replaced_in_low_precision():
    tx = neo.continual.continual_backprop(
        optax.sgd(0.1, momentum=0.9), LAYERS, replacement_rate=0.2, maturity=0
    )
    params = chains.dense_params(dtype="bfloat16")
    new, state = train(tx, params, 1, ACTIVITY)[0]
    assert int(state.records[0].age[2]) == 0
    assert np.all(new["second"]["kernel"][2] == 0)


@pytest.mark.slow
def test_under_optaxs_wrappers():
    injected = optax.inject_hyperparams(neo.continual.continual_backprop)(
        optimizer=optax.adam(0.01), layers=LAYERS, replacement_rate=0.1, maturity=1
    )
    expected, _ = train(FAST, PARAMS, 4)[-1]
    found, state = train(injected, PARAMS, 4)[-1]
    properties.assert_trees_close(found, expected, rtol=1e-4)
    assert float(state.hyperparams["replacement_rate"]) == pytest.approx(0.1)

    state = jax.jit(FAST.init)(PARAMS)
    same = optax.tree.map_params(FAST, lambda x: x, state)
    properties.assert_trees_equal(same, state)
