"""One small search that many tests run, and what it means for two to be the same."""

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import evolution as evo

BREEDER = evo.breeder(evo.truncation(4))
CHAIN = evo.chain(evo.minimal_criterion(0.5), BREEDER)
PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.zeros(3), "count": jnp.int32(7)}


def fitness(params):
    return -jnp.sum((params["w"] - 2) ** 2) - jnp.sum((params["b"] + 1) ** 2)


def run(evaluate=fitness, breeder=BREEDER, params=PARAMS, key=0, **options):
    options = {"generations": 10, "population_size": 8, **options}
    return evo.search(key, params, evaluate, breeder, **options)


def assert_same(one, other):
    """Bit for bit, keys too."""

    def plain(x):
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(plain(a), plain(b)), one, other
    )


def assert_same_history(one, other):
    assert list(one) == list(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def scripted(generations, kept):
    """Breeds the parents that are kept, with their fitness, and given weights."""

    def init(population):
        del population
        return jnp.zeros((), jnp.int32)

    def update(key, population, state):
        del key
        elites = evo.order(population.fitness)[:kept]
        fresh = jnp.asarray(generations, jnp.float32)[state]
        params = jnp.concatenate([population.params[elites], fresh])
        new = jnp.full(len(fresh), jnp.nan)
        scores = jnp.concatenate([population.fitness[elites], new])
        return evo.Population(params, scores), state + 1

    return evo.PopulationTransformation(init, update)
