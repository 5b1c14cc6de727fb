"""Factored gradients of examples that lie on eight devices."""

import functools

import jax
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import collectives
import properties
import running
import sharded_families as families
from neat_optax import _factored

SIZE = sum(x.size for x in jax.tree.leaves(families.params()))


@functools.cache
def alone(name):
    """Parameters after training on one device, on gradients that are formed."""
    family = families.FACTORED[name]._replace(factored=False)
    tx = family.build()

    def run(params, x, y):
        return families.train(family, None, tx, params, tx.init(params), x, y)

    return jax.device_get(
        running.quick_jit(run)(families.params(), *families.batches())
    )


@pytest.mark.slow
@pytest.mark.parametrize("layout", families.LAYOUTS)
@pytest.mark.parametrize("name", families.FACTORED)
def test_sharded_equals_formed_on_one_device(name, layout):
    family, layout = families.FACTORED[name], families.LAYOUTS[layout]
    tx, mesh = family.build(), families.mesh_of(layout)
    with jax.set_mesh(mesh):
        params = families.place(families.params(), mesh, layout.params)
        x, y = families.place(families.batches(), mesh, P(None, families.AXIS))
        train = functools.partial(families.train, family, layout, tx)
        found = running.quick_jit(train)(params, tx.init(params), x, y)
    properties.assert_trees_close(found, alone(name), rtol=1e-4, atol=5e-6)


def exchanges(name, layout):
    """Those of one step, gradients included."""
    family = families.FACTORED[name]
    tx, mesh = family.build(), families.mesh_of(layout)

    def step(params, state, x, y):
        grads, _ = families.gradients(family, layout, params, x, y)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    with jax.set_mesh(mesh):
        params = families.place(families.params(), mesh, layout.params)
        x, y = families.place(
            [x[0] for x in families.batches()], mesh, P(families.AXIS)
        )
        compiled = running.quick_jit(step).lower(params, tx.init(params), x, y)
        return collectives.collectives(compiled.compile().as_text())


def factors():
    """The sizes of all factors of the gradients."""
    family = families.FACTORED["upgrad"]
    x, y = (x[0] for x in families.batches())
    grads, _ = jax.eval_shape(
        lambda p: families.gradients(family, None, p, x, y), families.params()
    )
    leaves, _ = _factored.flatten(grads)
    assert all(map(_factored.is_factored, leaves))
    return [factor.size for leaf in leaves for term in leaf.terms for factor in term]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["player_neat", "upgrad"])
def test_inner_products_gather_each_factor_once_and_sums_are_reduced_once(name):
    """No gradient of a player is formed, and none travels."""
    found = [x for x in exchanges(name, families.LAYOUTS["data parallel"]) if x.always]
    gathered = sorted(x.size for x in found if x.name == "all-gather" and x.size > 256)
    assert sum(gathered) <= sum(factors()) + 2 * families.EXAMPLES**2
    reduced = sum(x.size for x in found if x.name == "all-reduce" and x.size > 256)
    assert 0 < reduced <= SIZE + 64
    assert {x.name for x in found} <= {"all-gather", "all-reduce"}


@pytest.mark.slow
def test_norms_gather_no_factors():
    """Each device has the norms of its own examples; the sum is reduced once."""
    found = exchanges("clip_example_norms", families.LAYOUTS["data parallel"])
    gathered = [x.size for x in found if x.name == "all-gather"]
    assert max(gathered) <= 2 * families.EXAMPLES
    assert all(size > 2 * families.EXAMPLES for size in factors() if size > 64)
    widest = max(np.prod(x.shape) for x in jax.tree.leaves(families.params()))
    reduced = [x.size for x in found if x.name == "all-reduce" and x.size >= widest]
    assert reduced == [SIZE]
