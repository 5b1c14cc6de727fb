"""Every public transformation on a mesh of eight devices, and through a checkpoint."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import contract
import neat_optax as neo
import properties

EVERY = contract.each()
PARAMS = {
    "w": np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32),
    "s": np.array(0.5, np.float32),
}
SPECS = {"w": P("data"), "s": P()}


def _mesh(axis_type):
    return jax.make_mesh((8,), ("data",), axis_types=(axis_type,))


def _place(tree, mesh):
    return jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), tree, SPECS
    )


def _assert_same_shardings(actual, expected):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim), (a.sharding, b.sharding)


@EVERY
def test_sharded_equals_unsharded(name):
    tx, step = contract.jitted(name)
    params = jax.tree.map(jnp.asarray, PARAMS)
    gradients = contract.gradients(2, like=PARAMS)
    expected = contract.play(step, tx.init(params), params, gradients, 2)[0]
    for axis_type in (AxisType.Auto, AxisType.Explicit):
        mesh = _mesh(axis_type)
        with jax.set_mesh(mesh):
            updates, before, after = _play_placed(tx, step, gradients, mesh)
        for index, update in enumerate(updates):
            wanted = contract.at(expected, index)
            properties.assert_trees_close(update, wanted, rtol=2e-5, atol=1e-6)
        _assert_same_shardings(after, before)


def _play_placed(tx, step, gradients, mesh):
    """Updates of two steps on a mesh, and the state before and after them."""
    params = _place(PARAMS, mesh)
    first = state = tx.init(params)
    updates = []
    for index in range(2):
        gradient = _place(contract.at(gradients, index), mesh)
        update, state = step(gradient, state, params)
        _assert_same_shardings(update, params)
        params = optax.apply_updates(params, update)
        updates.append(update)
    on_mesh = [len(x.sharding.device_set) == 8 for x in jax.tree.leaves(first)]
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(state), on_mesh, strict=True)
    kept = [(a, b) for a, b, keep in pairs if keep]
    return updates, [a for a, _ in kept], [b for _, b in kept]


@EVERY
def test_specs_from_map_params_place_the_state(name):
    tx = contract.TABLE[name].build()
    mesh = _mesh(AxisType.Auto)
    placed = _place(PARAMS, mesh)
    specs = optax.tree.map_params(
        tx,
        lambda _, spec: spec,
        jax.eval_shape(tx.init, placed),
        SPECS,
        transform_non_params=lambda _: P(),
    )
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    state = jax.jit(tx.init, out_shardings=shardings)(placed)
    big = [x for x in jax.tree.leaves(state) if x.shape == PARAMS["w"].shape]
    assert all(not x.sharding.is_fully_replicated for x in big)
    properties.assert_trees_equal(state, tx.init(placed))


@EVERY
def test_checkpoint_round_trip(name, tmp_path):
    tx, step = contract.jitted(name)
    params = contract.params_like(np.float32)
    stacked = contract.gradients(2)
    state = contract.play(step, tx.init(params), params, stacked, 2)[1]
    if not jax.tree.leaves(state):
        pytest.skip("a state without arrays: nothing to save")
    target = jax.eval_shape(tx.init, params)
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", target)
    properties.assert_trees_equal(restored, state)


def _collectives(tx, columns):
    """Names of the collectives in a compiled step on a sharded tree of 20 leaves."""
    sharding = NamedSharding(_mesh(AxisType.Auto), P("data"))
    params = [
        jax.device_put(jnp.ones((8, columns + i % 4)), sharding) for i in range(20)
    ]
    lowered = jax.jit(tx.update).lower(params, tx.init(params), params)
    text = lowered.compile().as_text()
    return re.findall(r"= .* (all-\w+|collective-\w+)(?:-start)?\(", text)


@pytest.mark.parametrize("columns", [3, 1024], ids=["small leaves", "large leaves"])
@pytest.mark.parametrize("scope", [neo.per_leaf, neo.whole_tree], ids=["leaf", "tree"])
def test_one_all_reduce_for_a_sharded_tree(scope, columns):
    tx = optax.chain(neo.scale_by_neat(scope=scope), optax.scale_by_learning_rate(0.1))
    assert _collectives(tx, columns) == ["all-reduce"]
