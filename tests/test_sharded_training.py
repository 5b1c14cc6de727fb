"""Training over eight devices comes to what one device comes to."""

import functools

import jax
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import properties
import running
import sharded_families as families


@functools.cache
def alone(name):
    """Parameters and state after training on one device."""
    family = families.FAMILIES[name]
    tx = family.build()

    def run(params, x, y):
        return families.train(family, None, tx, params, tx.init(params), x, y)

    return jax.device_get(
        running.quick_jit(run)(families.params(), *families.batches())
    )


def over_devices(name, layout):
    family = families.FAMILIES[name]
    tx = family.build()
    mesh = families.mesh_of(layout)
    with jax.set_mesh(mesh):
        params = families.place(families.params(), mesh, layout.params)
        x, y = families.place(families.batches(), mesh, P(None, families.AXIS))
        run = running.quick_jit(functools.partial(families.train, family, layout, tx))
        return params, run(params, tx.init(params), x, y)


@pytest.mark.slow
@pytest.mark.parametrize("layout", families.LAYOUTS)
@pytest.mark.parametrize("name", families.FAMILIES)
def test_sharded_equals_unsharded(name, layout):
    layout = families.LAYOUTS[layout]
    placed, found = over_devices(name, layout)
    properties.assert_trees_close(found, alone(name), rtol=2e-5, atol=2e-6)
    for leaf, like in zip(
        jax.tree.leaves(found[0]), jax.tree.leaves(placed), strict=True
    ):
        assert leaf.sharding.is_equivalent_to(like.sharding, leaf.ndim)
    wanted = NamedSharding(families.mesh_of(layout), layout.params)
    state = optax.tree.map_params(
        families.FAMILIES[name].build(),
        lambda x: x.sharding.is_equivalent_to(wanted, x.ndim),
        found[1],
        transform_non_params=lambda _: True,
    )
    assert all(jax.tree.leaves(state)), state
