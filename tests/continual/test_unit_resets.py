"""Resets by gradients, by silence and in part, inside of what JAX and optax wrap."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

import layer_chains as chains
import neat_optax as neo
import properties
import running
from layer_chains import LAYERS

pytestmark = pytest.mark.slow

ACTIVITY = {
    "first": np.array([1, 0, 1, 1, 0, 1, 1, 1], np.float32),
    "second": np.array([1, 1, 0, 1, 1, 1], np.float32),
}
METHODS = {
    "regrama": (neo.continual.regrama, dict(threshold=0.5, every=2)),
    "self_normalized_resets": (
        neo.continual.self_normalized_resets,
        dict(longest=2, every=3),
    ),
    "calibrated_partial_resets": (
        neo.continual.calibrated_partial_resets,
        dict(rate=0.5, sharpness=2.0, every=2),
    ),
}
each = pytest.mark.parametrize("name", METHODS)


def build(name, **more):
    factory, options = METHODS[name]
    return factory(optax.adam(0.01), LAYERS, **options, **more)


def uneven(params):
    """Gradients of which some units have hardly any."""
    grads = chains.sines(params)
    share = jnp.array([1, 0.01, 1, 0.2, 1, 0.01, 1, 1], jnp.float32)
    kernel = grads["first"]["kernel"]
    shares = jnp.broadcast_to(share.astype(kernel.dtype), kernel.shape)
    return {**grads, "first": {**grads["first"], "kernel": shares * kernel}}


def play(tx, params, steps=4, activity=ACTIVITY):
    def step(carry, _):
        return chains.one_step(tx, carry, activity, uneven), None

    return jax.lax.scan(step, (params, tx.init(params)), None, length=steps)[0]


@each
def test_each_method_moves_units(name):
    params = chains.dense_params()
    found = running.quick_jit(lambda p: play(build(name), p))(params)[0]
    plain = optax.with_extra_args_support(optax.adam(0.01))
    expected = running.quick_jit(lambda p: play(plain, p))(params)[0]
    moved = found["first"]["kernel"] != expected["first"]["kernel"]
    assert 1 < np.sum(np.any(moved, axis=0)) <= len(ACTIVITY["first"])


@each
def test_vmap_equals_single_runs(name):
    tx, sets = build(name), [chains.dense_params(seed) for seed in (0, 4)]
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *sets)
    mapped = running.quick_jit(jax.vmap(lambda p: play(tx, p)))(stacked)
    alone = running.quick_jit(lambda p: play(tx, p))
    for params, one in zip(sets, chains.each(mapped, 2), strict=True):
        properties.assert_trees_close(one, alone(params), rtol=1e-4, atol=1e-5)


@each
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_sharded_equals_unsharded(name, axis_type):
    tx, params = build(name), chains.dense_params()
    expected = running.quick_jit(lambda p: chains_of(tx, p))(params)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        placed = chains.place(params, mesh)
        found = running.quick_jit(lambda p: chains_of(tx, p))(placed)
    for (params, state), (wanted, kept) in zip(found, expected, strict=True):
        properties.assert_trees_close(params, wanted, rtol=1e-4, atol=1e-5)
        properties.assert_trees_close(state, kept, rtol=1e-4, atol=1e-5)


def chains_of(tx, params):
    """Two steps that are no loop, as a loop's types must not change on a mesh."""
    carry, found = (params, tx.init(params)), []
    for _ in range(2):
        grads = chains.sines(carry[0])
        updates, state = tx.update(grads, carry[1], carry[0], unit_activity=ACTIVITY)
        carry = optax.apply_updates(carry[0], updates), state
        found.append(carry)
    return found


@each
def test_in_low_precision(name):
    params = chains.dense_params(dtype=jnp.bfloat16)
    tx = build(name)
    found = running.quick_jit(lambda p: play(tx, p))(params)
    properties.assert_same_types(found, (params, jax.eval_shape(tx.init, params)))
    properties.assert_finite(found[0])


@each
def test_under_inject_hyperparams_the_run_is_the_same(name):
    factory, options = METHODS[name]
    static = "longest" if "longest" in options else ()
    injected = optax.inject_hyperparams(factory, static_args=static)(
        optimizer=optax.adam(0.01), layers=LAYERS, **options
    )
    params = chains.dense_params()
    found = running.quick_jit(lambda p: play(injected, p))(params)[0]
    expected = running.quick_jit(lambda p: play(build(name), p))(params)[0]
    properties.assert_trees_close(found, expected, rtol=1e-5, atol=1e-6)


@each
def test_a_step_without_a_reset_draws_no_weights(name):
    tx, params = build(name), chains.dense_params()
    step = lambda p: tx.update(p, tx.init(p), p, unit_activity=ACTIVITY)  # noqa: E731
    branches = {"regrama": 3, "self_normalized_resets": 2}.get(name, 1)
    assert str(jax.make_jaxpr(step)(params)).count(" cond[") == branches


def test_thresholds_are_constants_of_derivatives():
    """A loop of as many turns as it takes has no reverse mode of its own."""
    params = chains.dense_params()

    def total(expansion, params):
        tx = neo.continual.self_normalized_resets(
            optax.sgd(0.1), LAYERS, longest=2, every=1, expansion=expansion
        )
        after = params
        state = tx.init(params)
        for _ in range(2):
            updates, state = tx.update(after, state, after, unit_activity=ACTIVITY)
            after = optax.apply_updates(after, updates)
        return sum(map(jnp.sum, jax.tree.leaves(after)))

    slopes = running.quick_jit(jax.grad(total, argnums=(0, 1)))(2.0, params)
    assert float(slopes[0]) == 0
    kernel = np.asarray(slopes[1]["first"]["kernel"])
    np.testing.assert_allclose(kernel[:, 0], 0.81, rtol=1e-6)
    assert np.all(kernel[:, 1] == 0)
