"""A population over eight devices is searched as on one, and stays there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from neat_optax import evolution as evo

BREEDER = evo.chain(evo.minimal_criterion(0.5), evo.breeder(evo.truncation(4)))
PARAMS = {"kernel": jnp.ones((4, 6)), "bias": jnp.zeros(6)}


def fitness(params, target):
    return -jnp.sum((params["kernel"] - target) ** 2) - jnp.sum(params["bias"] ** 2)


def run(params, **options):
    return evo.search(
        0,
        PARAMS,
        fitness,
        BREEDER,
        generations=6,
        initial_population=params,
        args=(jnp.float32(2.0),),
        return_best=3,
        **options,
    )


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_sharded_equals_unsharded(kind):
    params = evo.perturb(0, PARAMS, 16, 0.5).params
    expected = run(params)
    mesh = jax.make_mesh((8,), ("n",), axis_types=(kind,))
    sharding = NamedSharding(mesh, P("n"))
    with jax.set_mesh(mesh):
        found = run(jax.device_put(params, sharding))
        for leaf in jax.tree.leaves(found.state.population.params):
            assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
        for name, values in expected.history.items():
            np.testing.assert_allclose(found.history[name], values, rtol=1e-6)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
            jax.device_get(found.top()),
            jax.device_get(expected.top()),
        )
