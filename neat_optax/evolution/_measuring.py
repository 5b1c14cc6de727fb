"""What the history of a search holds of each generation."""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax.evolution import _draws
from neat_optax.evolution._acceptance import MinimalCriterionState
from neat_optax.evolution._population import Population
from neat_optax.evolution._prune import PrunePopulationState

_OF_STATES = {
    MinimalCriterionState: ("acceptance", "threshold"),
    PrunePopulationState: ("sparsity",),
}


def of_generation(population: Population) -> dict[str, jax.Array]:
    """Numbers of a population that was scored."""
    fitness = population.fitness
    known = jnp.isfinite(fitness)
    count = jnp.sum(known, dtype=fitness.dtype)
    mean = jnp.sum(jnp.where(known, fitness, 0)) / count
    square = jnp.sum(jnp.where(known, jnp.square(fitness - mean), 0)) / count
    top = jnp.max(jnp.where(jnp.isnan(fitness), -jnp.inf, fitness))
    return {
        "best": jnp.where(top == -jnp.inf, jnp.nan, top),
        "mean": mean,
        "std": jnp.sqrt(square),
        "failed": jnp.sum(jnp.isnan(fitness), dtype=jnp.int32),
        "diversity": diversity(population),
    }


def of_state(state: Any) -> dict[str, jax.Array]:
    """What transformations of a population record, found by the type of their state."""
    found = {}
    for kind, names in _OF_STATES.items():
        nodes = jax.tree.leaves(state, is_leaf=lambda node, k=kind: isinstance(node, k))
        first = next((node for node in nodes if isinstance(node, kind)), None)
        if first is not None:
            found.update({name: getattr(first, name) for name in names})
    return found


def diversity(population: Population) -> jax.Array:
    r"""Population diversity: the spread of individuals relative to initial weights.

    .. math:: D = \frac{1}{L} \sum_l \frac{1}{s_l}
        \sqrt{\operatorname{mean}_j \operatorname{var}_i w_{lij}}

    over the :math:`L` arrays, with :math:`i` the individual, :math:`j` the entry, and
    :math:`s` the standard deviation of an initial array, as in `gaussian`. It is 0
    where all are equal, about :math:`\sigma` after `perturb` with the scale
    :math:`\sigma`, and about 1 for individuals that were initialized one by one.
    Integers do not count.

    Args:
      population: a `Population`.

    Example:
      >>> from neat_optax import evolution as evo
      >>> import jax.numpy as jnp
      >>> around = evo.perturb(0, {"w": jnp.ones((50, 20))}, 100, 0.3)
      >>> print(f"{evo.diversity(around):.2f}")
      0.30
    """
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(population.params)]
    spreads = [
        _spread(leaf) / _draws.fan_in_scale(leaf.shape[1:])
        for leaf in leaves
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return jnp.mean(jnp.stack(spreads)) if spreads else jnp.zeros(())


def _spread(leaf: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(jnp.var(_tree.widen(leaf), axis=0)))
