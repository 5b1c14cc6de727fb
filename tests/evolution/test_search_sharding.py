"""A population over eight devices is searched as on one, and stays there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import running
from neat_optax import evolution as evo

BREEDER = evo.chain(evo.minimal_criterion(0.5), evo.breeder(evo.truncation(4)))
PARAMS = {"kernel": np.ones((4, 6), np.float32), "bias": np.zeros(6, np.float32)}


def fitness(params, target):
    return -jnp.sum((params["kernel"] - target) ** 2) - jnp.sum(params["bias"] ** 2)


def _closer(key, population, state):
    del key
    params = jax.tree.map(lambda w: w + (1 - w) / 4, population.params)
    return evo.Population(params, jnp.full_like(population.fitness, jnp.nan)), state


CLOSER = evo.PopulationTransformation(lambda _: (), _closer)
"""Moves no rows: what is left are the loop and the list of the best."""


def run(params, breeder):
    return evo.search(
        0,
        PARAMS,
        fitness,
        breeder,
        generations=6,
        population_size=params,
        args=(np.float32(2.0),),
        return_best=3,
    )


@pytest.mark.parametrize(
    "kind",
    [pytest.param(AxisType.Auto, marks=pytest.mark.slow), AxisType.Explicit],
    ids=str,
)
@pytest.mark.parametrize(
    "breeder", [CLOSER, pytest.param(BREEDER, marks=pytest.mark.slow)]
)
@pytest.mark.slow
@running.quickly()
def test_sharded_equals_unsharded(kind, breeder):
    rng = np.random.default_rng(0)
    params = {
        name: (x + rng.normal(size=(16, *x.shape)) / 4).astype(np.float32)
        for name, x in PARAMS.items()
    }
    expected = run(params, breeder)
    mesh = jax.make_mesh((8,), ("n",), axis_types=(kind,))
    sharding = NamedSharding(mesh, P("n"))
    with jax.set_mesh(mesh):
        found = run(jax.device_put(params, sharding), breeder)
        for leaf in jax.tree.leaves(found.state.population.params):
            assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
        for name, values in expected.history.items():
            np.testing.assert_allclose(found.history[name], values, rtol=1e-6)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
            jax.device_get(found.top()),
            jax.device_get(expected.top()),
        )
