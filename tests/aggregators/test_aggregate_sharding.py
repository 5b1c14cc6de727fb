"""What `aggregate` compiles to on a mesh of eight devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo
import properties
from neat_optax import aggregators


def compiled_on_a_mesh(scope):
    """A step on a sharded 2-d leaf and a vector, and its compiled program."""
    rng = np.random.default_rng(0)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    g = {
        "w": jnp.asarray(rng.normal(size=(3, 16, 64)), jnp.float32),
        "v": jnp.asarray(rng.normal(size=(3, 24)), jnp.float32),
    }
    specs = {"w": P(None, "data", None), "v": P(None, "data")}
    placed = jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), g, specs
    )
    tx = aggregators.imtl_g(scope=scope)
    state = tx.init(jax.tree.map(lambda x: x[0], g))
    lowered = jax.jit(tx.update).lower(placed, state)
    return tx, g, placed, state, lowered.compile()


@pytest.mark.parametrize("scope", [neo.per_leaf, neo.whole_tree], ids=["leaf", "tree"])
@pytest.mark.slow
def test_one_all_reduce_of_the_gramian_and_no_gather(scope):
    tx, g, placed, state, program = compiled_on_a_mesh(scope)
    update, _ = program(placed, state)
    expected, _ = tx.update(g, state)
    properties.assert_trees_close(update, expected, 1e-4, 1e-5)
    assert not update["w"].sharding.is_fully_replicated
    text = program.as_text()
    found = re.findall(r"= .* (all-\w+|collective-\w+)(?:-start)?\(", text)
    assert not [name for name in found if name != "all-reduce"]
    # One in the step, and a second in the branch that rescales squares out of range.
    entry = text[text.index("ENTRY") :]
    in_entry = re.findall(r"= .* (all-\w+)(?:-start)?\(", entry)
    assert in_entry == ["all-reduce"]
