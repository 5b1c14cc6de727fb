"""The next generation: elites, and the offspring of selected parents."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _blocks, _checks, _tree
from neat_optax._leaves import Mask
from neat_optax._random import as_key
from neat_optax.evolution import _draws, _rows
from neat_optax.evolution._crossover import Crossover, uniform
from neat_optax.evolution._genes import taking_part
from neat_optax.evolution._mutation import Mutation, gaussian
from neat_optax.evolution._population import Population, PopulationTransformation, order
from neat_optax.evolution._selection import Selection, select, truncation

_TRUNCATION, _UNIFORM, _GAUSSIAN = truncation(8), uniform(), gaussian()


class BreederState(NamedTuple):
    """State of `breeder`."""

    generation: jax.Array  # [] int32, how many have been bred
    failed: jax.Array  # [] int32, individuals of the last one with the fitness NaN
    first_parents: jax.Array  # [n] int32, the number that the first parent of each had


def breeder(
    selection: Selection = _TRUNCATION,
    crossover: Crossover = _UNIFORM,
    mutation: Mutation = _GAUSSIAN,
    *,
    num_elites: int = 2,
    reevaluate: bool = False,
    mask: Mask | None = None,
) -> PopulationTransformation:
    """Breeds the next generation: elitism, selection, crossover and mutation.

    It is as large as the one before. The fittest individuals, the elites, come first
    and unchanged, bit for bit. The others are offspring: parents are selected, crossed,
    and the child is mutated. Their fitness is NaN until someone evaluates them. An
    individual without a fitness, or with -inf, is never an elite; where there are fewer
    others, so are the elites.

    Args:
      selection: who becomes a parent: `truncation(k)`, `tournament(size)`,
        `linear_rank(pressure)`.
      crossover: how genes of parents combine: `uniform(parents)`, `line()`, `blend()`,
        `clone`.
      mutation: how genes change: `gaussian(...)`, `reset(...)`, `multiplicative(...)`,
        `unchanged`.
      num_elites: how many, fewer than there are individuals.
      reevaluate: False lets elites keep their fitness. True asks for a new one, for
        fitness with noise: otherwise a lucky individual leads for ever.
      mask: which leaves vary: a tree of booleans like one individual, or a function
        from its weights to one, such as `by_path(rule)`. The others, and integers, are
        copied from the first parent.

    Returns:
      A transformation whose `update` needs a population with fitness.

    Raises:
      ValueError: at init, if there are not more individuals than elites, or an array
        has no leading axis of their number.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> population = Population(jnp.eye(4), jnp.array([1.0, 4.0, 2.0, 3.0]))
      >>> step = breeder(truncation(2), num_elites=1)
      >>> state = step.init(population)
      >>> bred, state = step.update(jax.random.key(0), population, state)
      >>> print(bred.params[0], bred.fitness)
      [0. 1. 0. 0.] [ 4. nan nan nan]
    """
    _checks.check_kind("selection", selection, Selection)
    _checks.check_count("num_elites", num_elites)
    _checks.check_bool("reevaluate", reevaluate)

    def init(population: Population) -> BreederState:
        count = _checks.check_population(population.params, population.fitness)
        _checks.check_fewer("num_elites", num_elites, "individuals", count)
        taking_part(population.params, mask)
        zero = jnp.zeros((), jnp.int32)
        return BreederState(zero, zero, jnp.arange(count, dtype=jnp.int32))

    def update(
        key: Any, population: Population, state: BreederState
    ) -> tuple[Population, BreederState]:
        params, fitness = population
        count = _checks.check_population(params, fitness)
        select_key, vary_key = jax.random.split(as_key(key))
        parents = select(select_key, selection, fitness, (count, crossover.parents))
        elite = _elites(fitness, num_elites)
        first_parents = jnp.where(elite, order(fitness), parents[:, 0])
        parents = parents.at[:, 0].set(first_parents)
        kept = lambda leaf: _rows.rearrange(leaf, first_parents)  # noqa: E731
        bred = _vary(
            vary_key,
            params,
            parents,
            crossover,
            mutation,
            state.generation,
            mask,
            lambda leaf, child: _where_row(elite, kept(leaf), child),
        )
        known = _rows.per_row(elite & (not reevaluate), fitness)
        scores = jnp.where(known, _rows.rearrange(fitness, first_parents), jnp.nan)
        failed = jnp.sum(jnp.isnan(fitness), dtype=jnp.int32)
        generation = _tree.increment(state.generation)
        scores = scores.astype(fitness.dtype)
        return Population(bred, scores), BreederState(generation, failed, first_parents)

    _check_variation(crossover, mutation)
    return PopulationTransformation(init, update)


def offspring(
    key: jax.Array | int,
    params: Any,
    parents: jax.Array,
    crossover: Crossover = _UNIFORM,
    mutation: Mutation = _GAUSSIAN,
    *,
    generation: Any = 0,
    mask: Mask | None = None,
) -> Any:
    """Crosses and mutates given parents.

    Args:
      key: a random key or a seed.
      params: a tree whose leaves have a leading axis of individuals.
      parents: an integer array [children, parents of each] of their numbers.
      crossover: as in `breeder`.
      mutation: as in `breeder`.
      generation: what schedules are asked for.
      mask: as in `breeder`.

    Returns:
      A tree like `params`, with a leading axis of children.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import evolution as evo
      >>> params = jnp.arange(6.0).reshape(3, 2)
      >>> offspring(0, params, jnp.array([[2], [0]]), evo.clone, evo.unchanged).tolist()
      [[4.0, 5.0], [0.0, 1.0]]
    """
    _check_variation(crossover, mutation)
    parents = jnp.asarray(parents)
    _checks.check_per_child(parents.shape, crossover.parents)
    return _vary(as_key(key), params, parents, crossover, mutation, generation, mask)


def _vary(
    key: jax.Array,
    params: Any,
    parents: jax.Array,
    crossover: Crossover,
    mutation: Mutation,
    generation: Any,
    mask: Mask | None,
    finish: Callable[[jax.Array, jax.Array], jax.Array] = lambda _, child: child,
) -> Any:
    """Each leaf with keys of its own, so that no two of them change in step.

    All keys come from one split: on a CPU each call costs as much as many numbers.
    """
    leaves, treedef = jax.tree.flatten(params)
    vary = set(taking_part(params, mask))
    shared, *own = jax.random.split(key, (1 + len(leaves), 3))
    turns = _blocks.turns(jnp.size(leaf) for leaf in leaves)
    children = []
    for number, leaf in enumerate(leaves):
        if turns[number]:
            own[number] = _draws.after(children[-1], own[number])
        first = _rows.take(leaf, parents[:, 0])
        if number in vary:
            others = [_rows.take(leaf, one) for one in parents.T[1:]]
            keys = shared[0], *own[number]
            first = _vary_leaf(keys, (first, *others), crossover, mutation, generation)
        children.append(finish(leaf, first))
    return treedef.unflatten(children)


def _vary_leaf(
    keys: tuple[jax.Array, ...],
    parents: tuple[jax.Array, ...],
    crossover: Crossover,
    mutation: Mutation,
    generation: Any,
) -> jax.Array:
    """Children of one leaf, from the arrays of their parents."""
    shared, word_key, cross_key, mutate_key = keys
    word = _draws.words(word_key, parents[0])
    draws = _draws.Draws(shared, cross_key, word)
    genes, left = crossover.cross(draws, parents)
    draws = _draws.Draws(shared, mutate_key, left)
    genes = mutation.mutate(draws, _tree.widen(genes), generation)
    return genes.astype(parents[0].dtype)


def _elites(fitness: jax.Array, num_elites: int) -> jax.Array:
    """Which places of the next generation are those of elites, the first ones."""
    fitness = _tree.unsharded(jnp.asarray(fitness))
    count = jnp.sum(fitness > -jnp.inf, dtype=jnp.int32)
    return jnp.arange(fitness.shape[0]) < jnp.minimum(num_elites, count)


def _where_row(condition: jax.Array, first: Any, second: Any) -> Any:
    """The rows of the first tree where the condition holds, else of the second."""

    def leaf(a: jax.Array, b: jax.Array) -> jax.Array:
        shape, a, b = jnp.shape(a), _rows.joined(a), _rows.joined(b)
        return _rows.parted(jnp.where(_rows.per_row(condition, a), a, b), shape)

    return jax.tree.map(leaf, first, second)


def _check_variation(crossover: Any, mutation: Any) -> None:
    _checks.check_kind("crossover", crossover, Crossover)
    _checks.check_kind("mutation", mutation, Mutation)
