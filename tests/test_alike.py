"""One loop for arrays that look alike: the same results, and less to compile."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo
from neat_optax._alike import map_alike, numbers

SHAPES = [(2, 3), (4,), (2, 3), (), (4,), (2, 3), (3, 2)]
PARTS = [
    {"x": np.random.default_rng(n).normal(size=shape).astype("f4"), "n": np.int32(n)}
    for n, shape in enumerate(SHAPES)
]


def double(part):
    return {"twice": 2 * part["x"] + part["n"], "sum": jnp.sum(part["x"])}


def test_each_part_gets_its_own_result():
    found = jax.jit(lambda parts: map_alike(double, parts, numbers(len(parts))))(PARTS)
    for one, part in zip(found, PARTS, strict=True):
        np.testing.assert_allclose(one["twice"], 2 * part["x"] + part["n"], rtol=1e-6)
        np.testing.assert_allclose(one["sum"], part["x"].sum(), rtol=1e-5, atol=1e-6)


def test_parts_of_other_dtypes_and_structures_do_not_mix():
    parts = [np.ones(2, "f4"), np.ones(2, "i4"), [np.ones(2, "f4")], np.zeros(2, "f4")]
    same = lambda parts: map_alike(lambda x: x, parts, numbers(4))  # noqa: E731
    found = jax.eval_shape(same, parts)
    for one, part in zip(jax.tree.leaves(found), jax.tree.leaves(parts), strict=True):
        assert (one.shape, one.dtype) == (part.shape, part.dtype)
    assert jax.tree.structure(found) == jax.tree.structure(parts)


def test_without_parts():
    assert map_alike(double, [], numbers(0)) == []


def test_arrays_over_explicit_axes_are_not_stacked():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        place = NamedSharding(mesh, P("data"))
        parts = [jax.device_put(np.ones(8, "f4"), place) for _ in range(2)]
        found = jax.eval_shape(lambda x: map_alike(lambda y: -y, x, numbers(2)), parts)
        assert [one.sharding.spec for one in found] == [P("data")] * 2


TRANSFORMATIONS = {
    "prune_to_sparsity": neo.sparsity.prune_to_sparsity(0.5),
    "adapt_pruning": neo.sparsity.adapt_pruning(0.5),
    "grow_and_prune": neo.sparsity.grow_and_prune(optax.adam(0.1), 0.5),
    "shrink_and_perturb": neo.continual.shrink_and_perturb(0.9, 0.1, every=2),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_more_arrays_of_one_shape_are_no_more_loops(name):
    tx = TRANSFORMATIONS[name]

    def loops(count):
        params = {f"layer {n}": np.ones((4, 6), "f4") for n in range(count)}
        state = jax.eval_shape(tx.init, params)
        text = jax.jit(tx.update).lower(params, state, params).as_text()
        return text.count("stablehlo.while")

    assert loops(3) == loops(9) > 0


def test_more_layers_of_one_width_are_no_more_draws():
    def loops(count):
        layers = [f"layer {n}" for n in range(count)]
        params = {name: {"kernel": np.ones((4, 4), "f4")} for name in layers}
        activity = {name: np.ones(4, "f4") for name in layers}
        tx = neo.continual.continual_backprop(optax.adam(0.1), layers)
        state = jax.eval_shape(tx.init, params)
        step = lambda s: tx.update(params, s, params, unit_activity=activity)  # noqa: E731
        return jax.jit(step).lower(state).as_text().count("stablehlo.while")

    # The first kernel has no outgoing side, and the last one no incoming one.
    assert loops(4) == loops(7) > 0
