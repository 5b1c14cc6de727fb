"""The breeders of Keras Genetic, with its defaults."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from neat_optax import _checks
from neat_optax.evolution._breeding import breeder
from neat_optax.evolution._crossover import Crossover, clone, uniform
from neat_optax.evolution._mutation import Mutation, multiplicative, reset
from neat_optax.evolution._population import PopulationTransformation
from neat_optax.evolution._selection import truncation

_INIT = jax.nn.initializers.normal(10.0)


def mutation_breeder(
    num_parents: int,
    learning_rate: optax.ScalarOrSchedule = 0.1,
    *,
    init: Callable[..., Any] | None = None,
    num_elites: int | None = None,
    reevaluate: bool = False,
) -> PopulationTransformation:
    r"""Multiplies the weights of one of the best by random factors.

    .. math:: w \leftarrow w\, (1 + \eta z)

    Args:
      num_parents: how many of the best become parents.
      learning_rate: :math:`\eta` at least 0, or a schedule of the generation.
      init: what draws :math:`z`: a function (key, shape, dtype); by default normal
        numbers with a standard deviation of 10, as in the original.
      num_elites: how many parents are kept; by default all of them.
      reevaluate: whether these get a new fitness.
    """
    mutation = multiplicative(learning_rate, _INIT if init is None else init)
    return _original(num_parents, clone, mutation, num_elites, reevaluate)


def random_weight_breeder(
    num_parents: int,
    mutation_rate: optax.ScalarOrSchedule = 0.1,
    *,
    init: Callable[..., Any] | None = None,
    num_elites: int | None = None,
    reevaluate: bool = False,
) -> PopulationTransformation:
    """Reinitializes a share of the weights of one of the best.

    Args:
      num_parents: how many of the best become parents.
      mutation_rate: the share, in [0, 1], or a schedule of the generation.
      init: what draws a weight, as in `mutation_breeder`.
      num_elites: how many parents are kept; by default all of them.
      reevaluate: whether these get a new fitness.
    """
    return n_parent_breeder(
        num_parents,
        1,
        mutation_rate,
        init=init,
        num_elites=num_elites,
        reevaluate=reevaluate,
    )


def two_parent_breeder(
    num_parents: int,
    mutation_rate: optax.ScalarOrSchedule = 0.1,
    *,
    init: Callable[..., Any] | None = None,
    num_elites: int | None = None,
    reevaluate: bool = False,
) -> PopulationTransformation:
    """Uniform crossover of two parents, with a share of the weights reinitialized.

    Args:
      num_parents: how many of the best become parents.
      mutation_rate: the share that is reinitialized, as in `random_weight_breeder`.
      init: what draws a weight, as in `mutation_breeder`.
      num_elites: how many parents are kept; by default all of them.
      reevaluate: whether these get a new fitness.
    """
    return n_parent_breeder(
        num_parents,
        2,
        mutation_rate,
        init=init,
        num_elites=num_elites,
        reevaluate=reevaluate,
    )


def n_parent_breeder(
    num_parents: int,
    parents_per_child: int,
    mutation_rate: optax.ScalarOrSchedule = 0.1,
    *,
    init: Callable[..., Any] | None = None,
    num_elites: int | None = None,
    reevaluate: bool = False,
) -> PopulationTransformation:
    """Uniform crossover of several parents, with a share reinitialized.

    Args:
      num_parents: how many of the best become parents.
      parents_per_child: how many a child has, all different, at least 1.
      mutation_rate: the share that is reinitialized, as in `random_weight_breeder`.
      init: what draws a weight, as in `mutation_breeder`.
      num_elites: how many parents are kept; by default all of them.
      reevaluate: whether these get a new fitness.
    """
    _checks.check_integer("parents_per_child", parents_per_child)
    crossover = clone if parents_per_child == 1 else uniform(parents_per_child)
    mutation = reset(_INIT if init is None else init, mutation_rate)
    return _original(num_parents, crossover, mutation, num_elites, reevaluate)


def _original(
    num_parents: int,
    crossover: Crossover,
    mutation: Mutation,
    num_elites: int | None,
    reevaluate: bool,
) -> PopulationTransformation:
    selection = truncation(num_parents)
    elites = num_parents if num_elites is None else num_elites
    return breeder(
        selection, crossover, mutation, num_elites=elites, reevaluate=reevaluate
    )
