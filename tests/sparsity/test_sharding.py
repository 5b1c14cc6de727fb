"""Masks on a mesh of eight devices, where the pruned axis itself is divided."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo
import running
from neat_optax.sparsity import blocks, erdos_renyi_kernel, units

RNG = np.random.default_rng(0)
PARAMS = {
    "kernel": RNG.normal(size=(4, 16)).astype(np.float32),
    "bias": RNG.normal(size=16).astype(np.float32),
}
SPECS = {"kernel": P(None, "data"), "bias": P("data")}
TRANSFORMATIONS = {
    "units": neo.sparsity.prune_to_sparsity(0.5, granularity=units(-1)),
    "blocks": neo.sparsity.prune_to_sparsity(0.5, granularity=blocks(2, 4)),
    "n_of_m": neo.sparsity.n_of_m(2, 4, axis=-1),
    "grown units": neo.sparsity.grow_and_prune(
        optax.adam(0.1), 0.5, every=1, granularity=units(-1)
    ),
    "whole tree": neo.sparsity.prune_to_sparsity(
        0.5, scope=neo.whole_tree, allocation=erdos_renyi_kernel
    ),
    "group_lasso": neo.sparsity.group_lasso(0.3),
}


def run(tx, params):
    state, update = tx.init(params), jax.jit(tx.update)
    for _ in range(3):
        updates, state = update(jax.tree.map(jnp.sin, params), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def place(mesh):
    return {
        key: jax.device_put(PARAMS[key], NamedSharding(mesh, SPECS[key]))
        for key in PARAMS
    }


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize(
    "axis_type",
    [AxisType.Explicit, pytest.param(AxisType.Auto, marks=pytest.mark.slow)],
    ids=str,
)
@pytest.mark.slow
@running.quickly()
def test_sharded_equals_unsharded(name, axis_type):
    tx = TRANSFORMATIONS[name]
    expected, _ = run(tx, jax.tree.map(jnp.asarray, PARAMS))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        placed = place(mesh)
        params, state = run(tx, placed)
    for key in PARAMS:
        np.testing.assert_allclose(params[key], expected[key], rtol=2e-5, atol=1e-6)
        assert params[key].sharding.is_equivalent_to(
            placed[key].sharding, params[key].ndim
        )
    if hasattr(state, "mask"):
        mask = state.mask["kernel"]
        assert mask.sharding.is_equivalent_to(placed["kernel"].sharding, 2)


def test_a_search_moves_counts_and_no_weights():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    tx = TRANSFORMATIONS["whole tree"]
    params = place(mesh)
    text = jax.jit(tx.update).lower(params, tx.init(params), params).compile().as_text()
    found = set(re.findall(r"= \S+ (all-\w+|collective-\w+)(?:-start)?\(", text))
    assert found == {"all-reduce"}
