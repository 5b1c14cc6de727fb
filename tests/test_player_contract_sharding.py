"""Reductions of players on a mesh of eight devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import player_runs as runs
import player_table as table
import properties
import running

PARAMS = {
    "w": np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32),
    "b": np.array(0.5, np.float32),
}
SPECS = {"w": P("data"), "b": P()}
WIDE = {key: P(None, *spec) for key, spec in SPECS.items()}
"""The parameters' axis is sharded; the players' is not."""


def _mesh(axis_type):
    return jax.make_mesh((8,), ("data",), axis_types=(axis_type,))


def _place(tree, mesh, specs):
    return jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), tree, specs
    )


def _abstract(tree, mesh, specs):
    return jax.tree.map(
        lambda x, spec: jax.ShapeDtypeStruct(
            x.shape, jnp.bfloat16, sharding=NamedSharding(mesh, spec)
        ),
        tree,
        specs,
    )


@table.each()
def test_one_trace_keeps_types_and_shardings(name):
    """With its numbers traced, on an explicit mesh, where a sharding is a type.

    All that the fast tier asks of most names; `table.ASKED` are asked the rest.
    """
    entry = table.TABLE[name]
    tx = runs.injected(entry) if name not in table.NO_NUMBER else entry.build()
    mesh = _mesh(AxisType.Explicit)
    with jax.set_mesh(mesh):
        params = _abstract(PARAMS, mesh, SPECS)
        gradients = _abstract(runs.players_like(PARAMS), mesh, WIDE)
        state = jax.eval_shape(tx.init, params)
        step = functools.partial(tx.update, **entry.extra)
        update, after = jax.eval_shape(step, gradients, state, params)
    properties.assert_same_types((update, after), (params, state))
    properties.assert_no_retrace(after, state)
    for key, spec in SPECS.items():
        axes = update[key].sharding.spec
        assert tuple(axes)[: len(spec)] == tuple(spec), (key, axes)
        assert not any(tuple(axes)[len(spec) :]), (key, axes)


@table.each(fast=("upgrad", "nash_mtl"))
def test_inside_shard_map(name):
    """Tracing alone finds a loop or a branch that starts from what does not vary."""
    tx, step = table.TABLE[name].stepper()
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def two_steps(params, gradients):
        params, gradients = jax.lax.pcast((params, gradients), "data", to="varying")
        state = step(gradients, tx.init(params), params)[1]
        return jax.lax.pmean(step(gradients, state, params)[0], "data")

    specs = dict(in_specs=(P(), P()), out_specs=P())
    mapped = jax.shard_map(two_steps, mesh=mesh, **specs)
    found = jax.eval_shape(mapped, PARAMS, runs.players_like(PARAMS))
    properties.assert_same_types(found, PARAMS)


@table.each(fast=("m_config",))
def test_sharded_equals_unsharded(name):
    check_sharded(name, AxisType.Explicit)


@table.each((*table.SHELLS, "aligned_mtl", "trimmed_mean"), fast=("player_neat",))
def test_sharded_on_a_mesh_whose_axes_are_automatic(name):
    check_sharded(name, AxisType.Auto)


GRADIENTS = runs.at(runs.gradients(1, like=PARAMS), 0)


@functools.cache
def unsharded(name):
    tx, step = table.TABLE[name].stepper()
    alone = running.quick_jit(lambda g, params: step(g, tx.init(params), params)[0])
    return jax.device_get(alone(GRADIENTS, PARAMS))


def check_sharded(name, axis_type):
    tx, step = table.TABLE[name].stepper()
    expected = unsharded(name)
    mesh = _mesh(axis_type)
    with jax.set_mesh(mesh):
        placed = _place(PARAMS, mesh, SPECS)
        state = tx.init(placed)
        sent = _place(GRADIENTS, mesh, WIDE)
        update, after = running.quick_jit(step)(sent, state, placed)
    properties.assert_trees_close(update, expected, rtol=2e-5, atol=1e-5)
    properties.assert_same_types(after, state)
    for key in PARAMS:
        assert update[key].sharding.is_equivalent_to(
            placed[key].sharding, update[key].ndim
        ), (key, update[key].sharding)
