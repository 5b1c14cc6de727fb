"""Ask/tell strategies of other libraries, such as evosax, as breeders."""

import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._random import as_key
from neat_optax.evolution._population import (
    Population,
    PopulationTransformation,
    best,
    unevaluated,
)


class AskTellState(NamedTuple):
    """State of `from_ask_tell`."""

    generation: jax.Array  # [] int32, how many were told
    inner: Any  # the strategy's own


def from_ask_tell(strategy: Any, params: Any = None) -> PopulationTransformation:
    """Wraps an ask/tell strategy of evosax, such as CMA-ES, as a breeder.

    The strategy minimizes `-fitness`; those without a fitness, and rejected ones, count
    as the worst of the others. It starts from the population of generation 0: one that
    begins with a mean from the best of it, one that begins with a population from all.

    Args:
      strategy: an object with `ask(key, state, params)`, which gives a population and a
        state, `tell(key, population, fitness, state, params)`, which gives a state and
        metrics, and `init(key, mean, params)` or `init(key, population, fitness,
        params)`, all of them pure. Its populations have `population_size` individuals.
      params: of the strategy; by default its `default_params`.

    Example::

        from evosax.algorithms import CMA_ES
        breeder = evolution.from_ask_tell(CMA_ES(32, weights))
        found = evolution.search(0, weights, evaluate, breeder, generations=100,
                                 population_size=32)
    """
    settings = strategy.default_params if params is None else params
    from_all = "fitness" in inspect.signature(strategy.init).parameters

    def begin(key: jax.Array, population: Population, losses: jax.Array) -> Any:
        if from_all:
            return strategy.init(key, population.params, losses, settings)
        return strategy.init(key, best(population)[0], settings)

    def init(population: Population) -> AskTellState:
        key = jax.random.key(0)
        inner = jax.eval_shape(begin, key, population, population.fitness)
        asked, _ = jax.eval_shape(strategy.ask, key, inner, settings)
        _checks.check_same_structure(
            "a population of strategy", asked, "the population", population.params
        )
        zeros = jax.tree.map(_zeros, inner)
        return AskTellState(jnp.zeros((), jnp.int32), zeros)

    def update(
        key: Any, population: Population, state: AskTellState
    ) -> tuple[Population, AskTellState]:
        tell_key, ask_key = jax.random.split(as_key(key))
        losses = _losses(population.fitness)

        def tell(inner: Any) -> Any:
            told, _ = strategy.tell(
                tell_key, population.params, losses, inner, settings
            )
            return _tree.cast_like(told, inner)

        def start(inner: Any) -> Any:
            return _tree.cast_like(begin(tell_key, population, losses), inner)

        inner = jax.lax.cond(state.generation == 0, start, tell, state.inner)
        asked, after = strategy.ask(ask_key, inner, settings)
        asked = _tree.cast_like(asked, population.params)
        bred = unevaluated(asked)._replace(
            fitness=jnp.full_like(population.fitness, jnp.nan)
        )
        generation = _tree.increment(state.generation)
        return bred, AskTellState(generation, _tree.cast_like(after, state.inner))

    return PopulationTransformation(init, update)


def _losses(fitness: jax.Array) -> jax.Array:
    """What is minimized: finite wherever any fitness is."""
    finite = jnp.isfinite(fitness)
    worst = jnp.max(jnp.where(finite, -fitness, -jnp.inf))
    worst = jnp.where(jnp.isfinite(worst), worst, 0)
    return jnp.where(finite, -fitness, worst)


def _zeros(leaf: Any) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), leaf.shape)
    return jnp.zeros(leaf.shape, leaf.dtype)
