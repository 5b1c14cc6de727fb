"""One small search that many tests run, and what it means for two to be the same."""

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import evolution as evo
from neat_optax.evolution import BreederState

PARAMS = {
    "w": np.ones((2, 3), np.float32),
    "b": np.zeros(3, np.float32),
    "count": np.int32(7),
}


def fitness(params):
    return -jnp.sum((params["w"] - 2) ** 2) - jnp.sum((params["b"] + 1) ** 2)


def nearby(num_elites):
    """A breeder that compiles in half the time: elites, and others around the best.

    For tests of the loop around a breeder. Its noise is a wave of the key's last bits.
    """

    def init(population):
        rows = jnp.arange(len(population.fitness), dtype=jnp.int32)
        return BreederState(jnp.int32(0), jnp.int32(0), rows)

    def update(key, population, state):
        rows = evo.order(population.fitness)
        elite = jnp.arange(len(rows)) < num_elites
        phase = (jax.random.key_data(key)[-1] % jnp.uint32(997)).astype(jnp.float32)

        def vary(leaf):
            if not jnp.issubdtype(leaf.dtype, jnp.inexact):
                return leaf
            place = jnp.arange(leaf.size, dtype=jnp.float32).reshape(leaf.shape)
            noise = 0.3 * jnp.sin(place * place + phase)
            kept = elite.reshape(-1, *[1] * (leaf.ndim - 1))
            best = jnp.broadcast_to(leaf[rows[0]][None], leaf.shape)
            return jnp.where(kept, leaf[rows], (best + noise).astype(leaf.dtype))

        known = elite & jnp.isfinite(population.fitness[rows])
        scores = jnp.where(known, population.fitness[rows], jnp.nan)
        failed = jnp.sum(jnp.isnan(population.fitness), dtype=jnp.int32)
        bred = evo.Population(jax.tree.map(vary, population.params), scores)
        parents = jnp.where(elite, rows, rows[0])
        return bred, BreederState(state.generation + 1, failed, parents)

    return evo.PopulationTransformation(init, update)


NEARBY = nearby(2)
CHAIN = evo.chain(evo.minimal_criterion(0.5), NEARBY)


def run(evaluate=fitness, breeder=NEARBY, params=PARAMS, key=0, **options):
    """With the same functions, shapes and `chunk`, a further search compiles nothing.

    Tests cut searches into chunks of 3, or not at all, so that they share two loops.
    """
    options = {"generations": 10, "population_size": 8, "return_best": 3, **options}
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
