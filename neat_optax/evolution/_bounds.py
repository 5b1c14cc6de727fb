"""Bounds on the weights of all individuals."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._leaves import Mask
from neat_optax.evolution import _genes, _rows
from neat_optax.evolution._population import Population, PopulationTransformation


def clip_population(
    low: float, high: float, *, mask: Mask | None = None
) -> PopulationTransformation:
    r"""Clips weights, :math:`w \leftarrow \min(\max(w, a), b)`; stands after a breeder.

    For other bounds in other arrays, use it several times with `mask`.

    Args:
      low: :math:`a`, which may be `-math.inf`.
      high: :math:`b`, at least :math:`a`.
      mask: which arrays are clipped, as in `breeder`; all by default.

    Returns:
      A transformation. An individual that it changes loses its fitness.

    Example:
      >>> import jax.numpy as jnp
      >>> bounds = clip_population(-1.0, 1.0)
      >>> given = Population(jnp.array([[3.0], [0.5]]), jnp.array([1.0, 2.0]))
      >>> clipped, _ = bounds.update(0, given, bounds.init(given))
      >>> print(clipped.params.ravel(), clipped.fitness)
      [1.  0.5] [nan  2.]
    """
    _checks.check_range("low, high", (low, high), "[-inf, inf]")

    def init(population: Population) -> optax.EmptyState:
        _checks.check_population(population.params, population.fitness)
        _genes.split(population.params, mask)
        return optax.EmptyState()

    def update(
        key: Any, population: Population, state: optax.EmptyState
    ) -> tuple[Population, optax.EmptyState]:
        del key
        free, join = _genes.split(population.params, mask)
        clipped = jax.tree.map(lambda w: jnp.clip(w, low, high).astype(w.dtype), free)
        fitness = _rows.forget_changed(population.fitness, free, clipped)
        return Population(join(clipped), fitness), state

    return PopulationTransformation(init, update)
