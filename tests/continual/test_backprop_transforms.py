"""Continual backpropagation under JAX's and Optax's transformations."""

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import AxisType

import layer_chains as chains
import neat_optax as neo
import properties
from layer_chains import ACTIVITY, LAYERS, train

PARAMS = chains.dense_params()


def step_of(tx):
    def body(carry, _):
        params, state = carry
        activity = chains.forward(params, chains.inputs())[1]
        updates, state = tx.update(
            chains.sines(params), state, params, activity=activity
        )
        return (optax.apply_updates(params, updates), state), None

    return body


def steps_of(tx, count):
    return lambda carry: jax.lax.scan(step_of(tx), carry, None, length=count)[0]


FAST = neo.continual.continual_backprop(
    optax.adam(0.01), LAYERS, replacement_rate=0.1, maturity=1
)


def test_jit_and_scan_equal_single_steps():
    carry = PARAMS, FAST.init(PARAMS)
    scanned = jax.jit(steps_of(FAST, 5))(carry)
    properties.assert_same_types(scanned, carry)
    assert int(scanned[1].records[0].age.min()) < 5
    eager = carry
    for _ in range(5):
        eager, _ = step_of(FAST)(eager, None)
    properties.assert_trees_close(scanned, eager, rtol=1e-4, atol=1e-5)


def test_vmap_equals_a_loop():
    sets = [PARAMS, chains.dense_params(4)]
    run = lambda params: steps_of(FAST, 4)((params, FAST.init(params)))  # noqa: E731
    mapped = jax.vmap(run)(jax.tree.map(lambda *xs: jnp.stack(xs), *sets))
    for index, params in enumerate(sets):
        one = jax.tree.map(lambda x, i=index: x[i], mapped)
        properties.assert_trees_close(one, run(params), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_sharded_equals_unsharded(axis_type):
    """Units are divided among devices, as incoming and as outgoing weights."""
    expected = train(FAST, PARAMS, 3, ACTIVITY)[-1]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        placed = chains.place(PARAMS, mesh)
        found = train(FAST, placed, 3, ACTIVITY)[-1]
    properties.assert_trees_close(found, expected, rtol=2e-5, atol=1e-6)
    for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(placed), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64", "complex64"])
def test_dtypes_are_kept(dtype):
    with jax.enable_x64(dtype == "float64"):
        params = chains.dense_params(dtype=dtype)
        tx = neo.continual.continual_backprop(
            optax.sgd(0.1, momentum=0.9), LAYERS, replacement_rate=0.2, maturity=0
        )
        state = tx.init(params)
        updates, after = tx.update(params, state, params, activity=ACTIVITY)
        properties.assert_same_types(updates, params)
        properties.assert_same_types(after, state)
        assert int(after.records[0].age[2]) == 0


def test_under_optaxs_wrappers():
    kwargs = dict(replacement_rate=0.1, maturity=1)
    injected = optax.inject_hyperparams(neo.continual.continual_backprop)(
        optimizer=optax.adam(0.01), layers=LAYERS, **kwargs
    )
    expected, _ = train(FAST, PARAMS, 4)[-1]
    found, state = train(injected, PARAMS, 4)[-1]
    properties.assert_trees_close(found, expected, rtol=1e-4)
    assert float(state.hyperparams["replacement_rate"]) == pytest.approx(0.1)

    state = FAST.init(PARAMS)
    same = optax.tree.map_params(FAST, lambda x: x, state)
    properties.assert_trees_equal(same, state)
    properties.assert_same_types(jax.eval_shape(FAST.init, PARAMS), state)
