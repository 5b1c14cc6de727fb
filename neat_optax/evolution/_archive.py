"""Hall of fame: the best distinct individuals of a search so far."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax.evolution import _rows
from neat_optax.evolution._population import Population


@functools.partial(jax.jit, static_argnums=1)
def start(population: Population, size: int) -> Population:
    """The best of those who have a fitness; places without an individual hold NaN."""

    def first(leaf: jax.Array) -> jax.Array:
        row = _rows.take(leaf, jnp.int32(0))
        return jnp.broadcast_to(row[None], (size, *row.shape))

    blank = Population(
        jax.tree.map(first, population.params),
        jnp.full((size,), jnp.nan, population.fitness.dtype),
    )
    return admit(blank, population, ~jnp.isnan(population.fitness))


def admit(best: Population, population: Population, candidates: Any) -> Population:
    """The fittest of the best and of the candidates, as many as before.

    Candidates with the fitness NaN or -inf do not count. Among equals the older one
    comes first, and weights that are listed are not listed again.
    """
    size = best.fitness.shape[0]
    old = jnp.where(jnp.isnan(best.fitness), -jnp.inf, best.fitness)
    known = candidates & (population.fitness > -jnp.inf)
    new = jnp.where(known, population.fitness, -jnp.inf).astype(old.dtype)

    def place(left: Any, _: None) -> Any:
        old, new = left
        i, j = jnp.argmax(old), jnp.argmax(new)
        older = old[i] >= new[j]

        def choose(a: jax.Array, b: jax.Array) -> jax.Array:
            return jnp.where(older, a[i], _rows.take(b, j))

        row = jax.tree.map(choose, best.params, population.params)
        score = jnp.maximum(old[i], new[j])
        if size > 1:
            old = jnp.where(_same(best.params, row), -jnp.inf, old)
            new = jnp.where(_same(population.params, row), -jnp.inf, new)
        return (old, new), Population(row, score)

    def merged() -> Population:
        _, listed = jax.lax.scan(place, (old, new), length=size)
        empty = listed.fitness == -jnp.inf
        return listed._replace(fitness=jnp.where(empty, jnp.nan, listed.fitness))

    return jax.lax.cond(jnp.any(new > old[-1]), merged, lambda: best)


def _same(params: Any, row: Any) -> jax.Array:
    """Which individuals have just these weights; NaN equals NaN."""
    rows, one = jax.tree.leaves(params), jax.tree.leaves(row)
    same = [_equal(a, b[None]) for a, b in zip(rows, one, strict=True)]
    return jnp.all(jnp.stack(same), axis=0)


def _equal(a: jax.Array, b: jax.Array) -> jax.Array:
    equal = a == b
    if jnp.issubdtype(a.dtype, jnp.inexact):
        equal |= jnp.isnan(a) & jnp.isnan(b)
    return _tree.unsharded(jnp.all(equal.reshape(a.shape[0], -1), axis=1))
