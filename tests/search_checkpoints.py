"""A search that is saved, and what it comes to when nothing cuts it off."""

import functools

import jax
import jax.numpy as jnp

from neat_optax import evolution as evo
from search_runs import CHAIN, run


def noisy(params, key):
    return -jnp.sum((params["w"] - 2) ** 2) + 0.1 * jax.random.normal(key)


OPTIONS = {
    "evaluate": evo.of_individual(noisy, evaluation_key="own"),
    "breeder": CHAIN,
    "chunk": 2,
    "generations": 6,
}


@functools.cache
def whole():
    return run(**OPTIONS)


def names(folder):
    return sorted(path.name for path in folder.iterdir())
