"""Populations of sparse networks with inherited masks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._leaves import Mask
from neat_optax.evolution import _genes, _rows
from neat_optax.evolution._breeding import BreederState
from neat_optax.evolution._population import Population, PopulationTransformation
from neat_optax.sparsity._prune import prune_to_sparsity
from neat_optax.sparsity._report import sparsity as share_of_zeros
from neat_optax.sparsity._shell import PruneState

_EVERYONES: Any = None
_AXES = PruneState(step=_EVERYONES, target=_EVERYONES, mask=0, memory=0)
"""Masks and memories are each individual's own; the schedule is everyone's."""


class PrunePopulationState(NamedTuple):
    """State of `prune_population`."""

    pruning: Any  # of `prune_to_sparsity`: masks and memories with individuals in front
    inner: Any
    sparsity: jax.Array  # [] float32, share of zeros in the population it was given


def prune_population(
    inner: PopulationTransformation,
    sparsity: optax.ScalarOrSchedule,
    **options: Any,
) -> PopulationTransformation:
    """Prunes every individual; children inherit the mask of their first parent.

    After each generation a child is pruned by the mask of its first parent, and further
    if the schedule asks for more. Without this, mutations would fill zeros up.

    Args:
      inner: a `breeder`, or a chain with one.
      sparsity: the share to prune, in [0, 1), or a schedule of the generation.
      **options: of `sparsity.prune_to_sparsity`: `begin`, `end`, `every`, `score` (one
        that needs no gradient), `scope`, `allocation`, `granularity`, `mask`; integers
        never are.

    Returns:
      A transformation. An individual that it changes loses its fitness. Its state holds
      `sparsity`, the share of zeros, in the arrays that are pruned, of the population
      that it was given. A population that is sharded along the individuals is pruned
      where it is; arrays that are sharded along others of their axes are gathered.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from neat_optax import evolution as evo
      >>> step = prune_population(evo.breeder(evo.truncation(2), num_elites=1), 0.5)
      >>> given = evo.Population(jnp.ones((4, 2, 2)), jnp.arange(4.0))
      >>> bred, _ = step.update(jax.random.key(0), given, step.init(given))
      >>> jnp.sum(bred.params == 0, axis=(1, 2)).tolist()
      [2, 2, 2, 2]
    """
    _checks.check_kind("inner", inner, PopulationTransformation)
    tx = prune_to_sparsity(sparsity, **options)

    def init(population: Population) -> PrunePopulationState:
        _checks.check_population(population.params, population.fitness)
        free, _ = _genes.split(population.params, None)
        started = jax.vmap(tx.init, out_axes=_AXES)(free)
        state = inner.init(population)
        _checks.check_holds("inner", "breeder", _breeders(state))
        return PrunePopulationState(started, state, jnp.zeros((), jnp.float32))

    def update(
        key: Any, population: Population, state: PrunePopulationState
    ) -> tuple[Population, PrunePopulationState]:
        given, _ = _genes.split(population.params, None)
        zeros = _sparsity(given, options.get("mask"))
        bred, after = inner.update(key, population, state.inner)
        pruning = _inherited(state.pruning, _breeders(after))
        free, join = _genes.split(bred.params, None)
        pruned, pruning = _pruned(tx, free, pruning)
        fitness = _rows.forget_changed(bred.fitness, free, pruned)
        state = PrunePopulationState(pruning, after, zeros)
        return Population(join(pruned), fitness), state

    return PopulationTransformation(init, update)


def _breeders(state: Any) -> list[BreederState]:
    """The states of all breeders in a state, in their order."""
    found = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, BreederState))
    return [one for one in found if isinstance(one, BreederState)]


def _inherited(pruning: PruneState, breeders: list[BreederState]) -> PruneState:
    """Masks and memories of the first parents."""
    own = pruning.mask, pruning.memory
    for one in breeders:
        own = jax.tree.map(lambda x, m=one.first_parents: _rows.rearrange(x, m), own)
    return pruning._replace(mask=own[0], memory=own[1])


def _sparsity(params: Any, mask: Mask | None) -> jax.Array:
    """The share of zeros in the arrays that are pruned, over all individuals."""
    return jnp.mean(jax.vmap(lambda one: share_of_zeros(one, mask=mask))(params))


def _pruned(tx: Any, params: Any, pruning: PruneState) -> tuple[Any, PruneState]:
    """Weights with exact zeros, and the next masks.

    The search for a threshold is a loop, which takes no explicit axes under `vmap`.
    There each device prunes the individuals that it holds.
    """

    def one(params: Any, state: PruneState) -> tuple[Any, PruneState]:
        still = jax.tree.map(jnp.zeros_like, params)
        updates, state = tx.update(still, state, params)
        return optax.apply_updates(params, updates), state

    mapped = jax.vmap(one, in_axes=(0, _AXES), out_axes=(0, _AXES))
    given = params, pruning
    specs = _rows.specs_of_rows(given)
    if specs is None:
        return mapped(*given)
    local = jax.shard_map(mapped, in_specs=specs, out_specs=specs, check_vma=False)
    pruned = local(*jax.tree.map(jax.reshard, given, specs))
    return jax.tree.map(_rows.placed, pruned, given)
