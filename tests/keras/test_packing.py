"""Trees by path, states as lists of arrays, and one step through Keras's own hook.

The only tests of Keras in the fast tier, so that it is imported once.
"""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo


@pytest.fixture(scope="module")
def packing():
    return importlib.import_module("neat_optax.keras._packing")


def test_paths_become_a_tree_and_doubles_get_numbers(packing):
    paths = ["a/kernel", "b", "a/kernel", "b/scale", "a"]
    tree = packing.places(paths)
    assert tree == {
        "a": {"kernel": 0, "kernel_1": 2},
        "b_1": 1,
        "b": {"scale": 3},
        "a_1": 4,
    }
    values = [f"of {path}" for path in paths]
    assert packing.in_order(tree, packing.by_place(tree, values)) == values


def test_a_state_of_every_kind_of_leaf_comes_back(packing):
    state = {
        "count": np.int32(3),
        "mask": np.array([True, False]),
        "low": jnp.zeros(2, jnp.bfloat16),
        "key": jax.random.key(1),
        "other": jax.random.key(2, impl="rbg"),
        "none": None,
        "empty": optax.EmptyState(),
        "no entries": np.zeros((0, 2)),
    }
    packed = packing.Packing.of(state)
    arrays = packed.pack(state)
    assert not any(jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in arrays)
    again = packed.unpack(arrays)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    for one, other in zip(*map(jax.tree.leaves, (again, state)), strict=True):
        assert jnp.result_type(one) == jnp.result_type(other)
    assert (jax.random.key_data(again["other"]) == arrays[5]).all()


def test_a_state_of_another_shape_is_refused(packing):
    packed = packing.Packing.of({"m": np.zeros(2)})
    with pytest.raises(ValueError, match="`state` must have the shapes of `init"):
        packed.pack({"m": np.zeros(3)})


def test_one_stateless_step_is_that_of_the_chain():
    """Through `stateless_apply`, as Keras's JAX trainer calls it."""
    keras = importlib.import_module("keras")
    kinds = importlib.import_module("neat_optax.keras")
    start = np.array([1.0, -2.0], np.float32)
    gradient = np.array([0.5, -0.25], np.float32)
    variable = keras.Variable(start, name="w")
    optimizer = kinds.OptaxOptimizer(neo.scale_by_neat(alpha=0.5), learning_rate=0.1)
    optimizer.build([variable])
    values = [v.value for v in optimizer.variables]
    step = jax.jit(optimizer.stateless_apply)
    found = [start]
    for sign in (1, -1):
        found, values = step(values, [sign * gradient], found)
    tx = optax.chain(neo.scale_by_neat(alpha=0.5), optax.sgd(0.1))
    grads = {"w": np.stack([gradient, -gradient])}

    def play(params, state, gradient):
        updates, state = tx.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    params, state = {"w": start}, jax.eval_shape(tx.init, {"w": start})
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)
    play = jax.jit(play)
    for row in range(2):
        params, state = play(params, state, {"w": grads["w"][row]})
    np.testing.assert_allclose(found[0], params["w"], rtol=1e-6)
