"""Populations: individuals stacked along the first axis, and what changes them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._leaves import Mask
from neat_optax._random import as_key
from neat_optax.evolution import _draws, _rows
from neat_optax.evolution._genes import taking_part


class Population(NamedTuple):
    """Individuals, stacked, and how fit each of them is.

    The higher the fitness, the better. NaN says that an individual was not evaluated,
    or failed; -inf that it was rejected.
    """

    params: Any  # each leaf [n, ...]
    fitness: jax.Array  # [n] float32, or float64 in 64-bit mode


class PopulationTransformation(NamedTuple):
    """A step of a search, as `optax.GradientTransformation` is one of training.

    `init(population)` gives a state, `update(key, population, state)` the next
    population and the next state. Both are pure.
    """

    init: Callable[[Population], Any]
    update: Callable[..., tuple[Population, Any]]


def chain(*transformations: PopulationTransformation) -> PopulationTransformation:
    """Chains transformations, each with its own key and state.

    Args:
      *transformations: in their order. Acceptance comes before the breeder, which reads
        fitness, and what changes the weights of all individuals comes after it.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from neat_optax import evolution as evo
      >>> step = evo.chain(evo.minimal_criterion(0.5), evo.breeder(evo.truncation(2)))
      >>> population = evo.Population({"w": jnp.ones((8, 3))}, jnp.arange(8.0))
      >>> state = step.init(population)
      >>> population, state = step.update(jax.random.key(0), population, state)
      >>> population.params["w"].shape
      (8, 3)
    """
    for one in transformations:
        _checks.check_kind("transformations", one, PopulationTransformation)

    def init(population: Population) -> tuple[Any, ...]:
        return tuple(one.init(population) for one in transformations)

    def update(
        key: Any, population: Population, state: tuple[Any, ...]
    ) -> tuple[Population, tuple[Any, ...]]:
        keys = jax.random.split(as_key(key), len(transformations))
        states = []
        for one, own, old in zip(transformations, keys, state, strict=True):
            population, new = one.update(own, population, old)
            states.append(new)
        return population, tuple(states)

    return PopulationTransformation(init, update)


def unevaluated(params: Any) -> Population:
    """A population of stacked weights whose fitness is not known yet.

    Args:
      params: a tree whose leaves have a leading axis of individuals, as
        `jax.vmap(model.init)` gives it.
    """
    leaves = jax.tree.leaves(params)
    count = jnp.shape(leaves[0])[:1] if leaves else (0,)
    fitness = jnp.full(count, jnp.nan, float)
    _checks.check_population(params, fitness)
    return Population(params, fitness)


def as_fitness(values: Any) -> jax.Array:
    """Fitness as precise as Python's numbers, as far as JAX holds them, or more."""
    values = jnp.asarray(values)
    return values.astype(jnp.promote_types(jnp.result_type(float), values.dtype))


def stack(individuals: Sequence[Any]) -> Population:
    """A population of given individuals, not evaluated.

    Args:
      individuals: trees of one structure, with the same shapes and dtypes.

    Example:
      >>> import jax.numpy as jnp
      >>> stack([jnp.zeros(2), jnp.ones(2)]).params.tolist()
      [[0.0, 0.0], [1.0, 1.0]]
    """
    for one in individuals:
        _checks.check_same_structure(
            "individuals", one, "the first", individuals[0], dtypes=True
        )
    return unevaluated(jax.tree.map(lambda *leaves: jnp.stack(leaves), *individuals))


def perturb(
    key: jax.Array | int,
    params: Any,
    n: int,
    scale: float,
    *,
    mask: Mask | None = None,
) -> Population:
    r"""A population around given weights, for a search to start from.

    .. math:: w_0 = w, \qquad w_i = w + \sigma\, s\, z_i, \quad z_i \sim N(0, 1)

    with :math:`s` the standard deviation of an initial array, as in `gaussian`. The
    first individual is the given one, bit for bit.

    Args:
      key: a random key or a seed.
      params: the weights of one individual.
      n: how many individuals, at least 1.
      scale: :math:`\sigma` at least 0; 1 adds what an initial network would hold.
      mask: which leaves are perturbed, as in `breeder`; the others, and integers, are
        the same in all individuals.

    Example:
      >>> import jax.numpy as jnp
      >>> perturb(0, {"w": jnp.ones((2, 3))}, 5, 0.1).params["w"].shape
      (5, 2, 3)
    """
    _checks.check_fields({"scale": scale}, {"scale": "[0, inf)"})
    _checks.check_count("n", n, minimum=1)
    leaves, treedef = jax.tree.flatten(params)
    key = as_key(key)
    stacked = [jnp.broadcast_to(x, (n, *jnp.shape(x))) for x in leaves]
    for number in taking_part(treedef.unflatten(stacked), mask):
        leaf = stacked[number]
        _checks.check_real("params", leaf.dtype)
        word = _draws.words(jax.random.fold_in(key, number), leaf)
        noise = _draws.normal(_draws.uniform(word))
        moved = _tree.widen(leaf) + scale * _draws.fan_in_scale(leaf.shape[1:]) * noise
        first = _rows.per_row(jnp.arange(n) == 0, leaf)
        stacked[number] = jnp.where(first, leaf, moved.astype(leaf.dtype))
    return unevaluated(treedef.unflatten(stacked))


def individual(population: Population, i: Any) -> Any:
    """The weights of the individual number `i`.

    Args:
      population: a `Population`.
      i: its number, which may be traced.
    """
    return jax.tree.map(lambda leaf: _rows.take(leaf, i), population.params)


def best(population: Population) -> tuple[Any, jax.Array]:
    """The weights and the fitness of the fittest individual, the first among equals.

    Where none has been evaluated, the fitness is NaN.

    Args:
      population: a `Population`.

    Example:
      >>> import jax.numpy as jnp
      >>> scores = jnp.array([1.0, jnp.nan, 3.0])
      >>> params, fitness = best(Population(jnp.arange(3), scores))
      >>> print(params, fitness)
      2 3.0
    """
    first = order(population.fitness)[0]
    return individual(population, first), _rows.take(population.fitness, first)


def order(fitness: jax.Array) -> jax.Array:
    """Indices of the individuals, fittest first.

    Stable descending sort; `-inf` (rejected) after finite values, `NaN` (unevaluated)
    last.

    Args:
      fitness: an array [n].

    Returns:
      An int32 array [n].

    Example:
      >>> import jax.numpy as jnp
      >>> order(jnp.array([jnp.nan, -jnp.inf, 1.0, 3.0])).tolist()
      [3, 2, 1, 0]
    """
    fitness = _tree.unsharded(jnp.asarray(fitness))
    return jnp.argsort(-fitness, stable=True).astype(jnp.int32)


def rank(fitness: jax.Array) -> jax.Array:
    """The place of each individual in `order`: 0 for the best.

    Args:
      fitness: an array [n].

    Returns:
      An int32 array [n].

    Example:
      >>> import jax.numpy as jnp
      >>> rank(jnp.array([2.0, jnp.nan, 3.0])).tolist()
      [1, 2, 0]
    """
    return jnp.argsort(order(fitness)).astype(jnp.int32)
