"""Public transformations on a mesh of eight devices."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import contract
import contract_runs as runs
import neat_optax as neo
import properties
import running

PARAMS = {
    "w": np.random.default_rng(1).normal(size=(16, 3)).astype(np.float32),
    "s": np.array(0.5, np.float32),
}
SPECS = {"w": P("data"), "s": P()}
STEPS = 2


def _mesh(axis_type):
    return jax.make_mesh((8,), ("data",), axis_types=(axis_type,))


def _place(tree, mesh):
    return jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), tree, SPECS
    )


def _assert_same_shardings(actual, expected):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim), (a.sharding, b.sharding)


@contract.each()
def test_one_trace_keeps_types_and_shardings(name):
    """With its numbers traced, on an explicit mesh, where a sharding is a type.

    All that the fast tier asks of most names; `contract.SHELLS` are asked the rest.
    """
    entry = contract.TABLE[name]
    tx = runs.injected(entry)
    mesh = _mesh(AxisType.Explicit)
    with jax.set_mesh(mesh):
        params = jax.tree.map(
            lambda x, spec: jax.ShapeDtypeStruct(
                x.shape, jnp.bfloat16, sharding=NamedSharding(mesh, spec)
            ),
            PARAMS,
            SPECS,
        )
        state = jax.eval_shape(tx.init, params)
        step = runs.stepper(tx, entry)
        update, after = jax.eval_shape(step, params, state, params)
    properties.assert_same_types((update, after), (params, state))
    properties.assert_no_retrace(after, state)
    for a, b in zip(
        jax.tree.leaves((update, after)), jax.tree.leaves((params, state)), strict=True
    ):
        assert _padded(a) == _padded(b), (a, b)


@contract.each(fast=("prune_to_sparsity", "adapt_pruning"))
def test_inside_shard_map(name):
    """Tracing alone finds a loop or a branch that starts from what does not vary."""
    tx, step = contract.TABLE[name].stepper()
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def two_steps(params, gradient):
        params, gradient = jax.lax.pcast((params, gradient), "data", to="varying")
        state = step(gradient, tx.init(params), params)[1]
        return jax.lax.pmean(step(gradient, state, params)[0], "data")

    specs = dict(in_specs=(P(), P()), out_specs=P())
    found = jax.eval_shape(jax.shard_map(two_steps, mesh=mesh, **specs), PARAMS, PARAMS)
    properties.assert_same_types(found, PARAMS)


def _padded(x):
    """The axes of the mesh that divide each axis of the array."""
    spec = () if x.sharding is None else x.sharding.spec
    return (*spec, *[None] * (x.ndim - len(spec)))


@contract.each(fast=("contest",))
def test_sharded_equals_unsharded(name):
    _check_sharded(name, AxisType.Explicit)


@contract.each(contract.SHELLS, ("prune_to_sparsity",))
def test_sharded_on_a_mesh_whose_axes_are_automatic(name):
    _check_sharded(name, AxisType.Auto)


@functools.cache
def _unsharded(name):
    tx, step = contract.TABLE[name].stepper()

    def run(params, stacked):
        return runs.scan(step, tx.init(params), params, stacked)[0]

    return jax.device_get(running.quick_jit(run)(PARAMS, _gradients()))


def _gradients():
    return runs.gradients(STEPS, like=PARAMS)


def _check_sharded(name, axis_type):
    tx, step = contract.TABLE[name].stepper()
    expected = _unsharded(name)
    mesh = _mesh(axis_type)

    def run(state, params, stacked):
        updates, states = runs.scan(step, state, params, stacked)
        return updates, runs.at(states, -1)

    with jax.set_mesh(mesh):
        params = _place(PARAMS, mesh)
        stacked = jax.tree.map(
            lambda x, spec: jax.device_put(x, NamedSharding(mesh, P(None, *spec))),
            _gradients(),
            SPECS,
        )
        first = tx.init(params)
        updates, state = running.quick_jit(run)(first, params, stacked)
    properties.assert_trees_close(updates, expected, rtol=2e-5, atol=1e-6)
    _assert_same_shardings(updates, stacked)
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(state), strict=True)
    kept = [(a, b) for a, b in pairs if len(a.sharding.device_set) == 8]
    _assert_same_shardings([b for _, b in kept], [a for a, _ in kept])


def _specs(tx, placed):
    """Where `map_params` puts the arrays of the state."""
    return optax.tree.map_params(
        tx,
        lambda _, spec: spec,
        jax.eval_shape(tx.init, placed),
        SPECS,
        transform_non_params=lambda _: P(),
    )


@contract.each()
def test_map_params_gives_arrays_like_parameters_their_specs(name):
    tx = contract.TABLE[name].build()
    specs = _specs(tx, PARAMS)
    state = jax.eval_shape(tx.init, PARAMS)
    is_spec = lambda x: isinstance(x, P)  # noqa: E731
    pairs = zip(
        jax.tree.leaves(state), jax.tree.leaves(specs, is_leaf=is_spec), strict=True
    )
    assert all(spec == P("data") for x, spec in pairs if x.shape == PARAMS["w"].shape)


@contract.each(fast=("scale_by_neat", "grow_and_prune"))
def test_specs_from_map_params_place_the_state(name):
    tx = contract.TABLE[name].build()
    mesh = _mesh(AxisType.Auto)
    placed = _place(PARAMS, mesh)
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), _specs(tx, placed))
    state = jax.jit(tx.init, out_shardings=shardings)(placed)
    big = [x for x in jax.tree.leaves(state) if x.shape == PARAMS["w"].shape]
    assert all(not x.sharding.is_fully_replicated for x in big)
    properties.assert_trees_equal(state, tx.init(placed))


def _collectives(tx, columns):
    """Names of the collectives in a compiled step on a sharded tree of 20 leaves."""
    sharding = NamedSharding(_mesh(AxisType.Auto), P("data"))
    params = [
        jax.ShapeDtypeStruct((8, columns + i % 4), jnp.float32, sharding=sharding)
        for i in range(20)
    ]
    lowered = jax.jit(lambda g: tx.update(g, tx.init(g), g)).lower(params)
    text = lowered.compile(compiler_options=running.quick()).as_text()
    return re.findall(r"= .* (all-\w+|collective-\w+)(?:-start)?\(", text)


@pytest.mark.parametrize(
    ("scope", "columns"),
    [
        pytest.param(neo.per_leaf, 1024, id="large leaves"),
        pytest.param(neo.whole_tree, 3, id="a tree of small leaves"),
        pytest.param(neo.per_leaf, 3, id="small leaves", marks=pytest.mark.slow),
        pytest.param(neo.whole_tree, 1024, id="a large tree", marks=pytest.mark.slow),
    ],
)
def test_one_all_reduce_for_a_sharded_tree(scope, columns):
    tx = optax.chain(neo.scale_by_neat(scope=scope), optax.scale_by_learning_rate(0.1))
    assert _collectives(tx, columns) == ["all-reduce"]
