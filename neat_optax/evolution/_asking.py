"""One generation of a search: ask for individuals to evaluate, tell their fitness."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._random import as_key
from neat_optax.evolution import _archive, _measuring
from neat_optax.evolution._evaluating import Evaluator, as_evaluator, scores_of
from neat_optax.evolution._loading import TREE, Genome
from neat_optax.evolution._population import (
    Population,
    PopulationTransformation,
    as_fitness,
    individual,
    unevaluated,
)


class SearchState(NamedTuple):
    """A whole search in one tree: what is saved, and what a search goes on from."""

    population: Population  # the next generation to be scored
    transformation_state: Any
    best: Population  # the best so far, best first, each [return_best, ...]
    key: jax.Array
    generation: jax.Array  # [] int32, how many generations have been scored
    improved: jax.Array  # [] int32, `generation` when the best was last found
    evaluations: jax.Array  # [] int32, how many have been scored; stays at the largest

    @property
    def best_params(self) -> Any:
        """The weights of the best individual so far."""
        return individual(self.best, 0)

    @property
    def best_fitness(self) -> jax.Array:
        """The fitness of the best individual so far; NaN while there is none."""
        return self.best.fitness[0]


class SearchSteps(NamedTuple):
    """The functions of `search_steps`."""

    init: Callable[[Any, Any], SearchState]
    ask: Callable[[SearchState], Any]
    tell: Callable[[SearchState, Any], SearchState]
    step: Callable[..., tuple[SearchState, dict[str, jax.Array]]]


class Run(NamedTuple):
    """What one generation is compiled for."""

    breeder: PopulationTransformation
    evaluator: Evaluator | None
    genome: Genome = TREE


def search_steps(
    breeder: PopulationTransformation,
    evaluate: Any = None,
    *,
    return_best: int = 1,
) -> SearchSteps:
    """The pieces of a search, for a loop of one's own.

    - `init(key, population)` gives a `SearchState`. The population is a `Population` or
      stacked weights; individuals with a fitness are not scored again.
    - `ask(state)` gives the stacked weights of the generation to be scored. Only those
      whose `state.population.fitness` is NaN need it.
    - `tell(state, fitness)` takes an array [n], of which the entries of those who have
      a fitness are ignored. It brings the best up to date and breeds the next
      generation. NaN says that an evaluation failed.
    - `step(state, *args)` is all of this for an `evaluate` in JAX: it gives the next
      state and the row of the history, and can be scanned.

    All but `init` are compiled, once for all searches with the same functions.

    Args:
      breeder: a `PopulationTransformation`.
      evaluate: as in `search`, of weights; only `step` needs it.
      return_best: how many of the best so far are kept.

    Example:
      >>> import numpy as np
      >>> from neat_optax import evolution as evo
      >>> steps = evo.search_steps(evo.breeder(mutation=evo.gaussian(0.2, 1.0)))
      >>> state = steps.init(0, evo.perturb(0, np.zeros(3), 16, 1.0))
      >>> for _ in range(60):
      ...     fitness = [-((w - 1) ** 2).sum() for w in np.asarray(steps.ask(state))]
      ...     state = steps.tell(state, fitness)
      >>> float(state.best_fitness) > -0.1
      True
    """
    _checks.check_kind("breeder", breeder, PopulationTransformation)
    evaluator = None if evaluate is None else as_evaluator(evaluate)
    run = Run(breeder, evaluator)

    def step(state: SearchState, *args: Any) -> Any:
        if evaluator is None or evaluator.kind == "outside":
            raise ValueError(
                "`evaluate` must be a function in JAX for step, got "
                f"{evaluate!r}; use ask and tell."
            )
        return compiled_step(run, state, (), args)

    return SearchSteps(
        init=functools.partial(start, breeder, return_best),
        ask=lambda state: state.population.params,
        tell=lambda state, fitness: compiled_tell(breeder, state, fitness)[0],
        step=step,
    )


def start(
    breeder: PopulationTransformation, return_best: int, key: Any, population: Any
) -> SearchState:
    """The state before the first generation."""
    _checks.check_integer("return_best", return_best, minimum=1)
    if not isinstance(population, Population):
        population = unevaluated(population)
    params = jax.tree.map(jnp.asarray, population.params)
    fitness = _tree.unsharded(as_fitness(population.fitness))
    _checks.check_population(params, fitness)
    population = Population(params, fitness)
    zero = jnp.zeros((), jnp.int32)
    return SearchState(
        population=population,
        transformation_state=breeder.init(population),
        best=_archive.start(population, return_best),
        key=as_key(key),
        generation=zero,
        improved=zero,
        evaluations=zero,
    )


def waiting(state: SearchState) -> jax.Array:
    """Which individuals have no fitness yet: a boolean array [n]."""
    return jnp.isnan(state.population.fitness)


def keys(state: SearchState) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The keys of the next generation, of breeding and of evaluation."""
    following, breed, evaluate = jax.random.split(state.key, 3)
    return following, breed, evaluate


def tell(
    breeder: PopulationTransformation, state: SearchState, scores: Any
) -> tuple[SearchState, dict[str, jax.Array]]:
    """The state after a generation was scored, and what is recorded of it."""
    params, old = state.population
    scores = _tree.unsharded(jnp.asarray(scores)).astype(old.dtype)
    _checks.check_population(params, scores)
    asked = waiting(state)
    scored = Population(params, jnp.where(asked, scores, old))
    best = _archive.admit(state.best, scored, asked)
    # Not "greater": the first fitness follows NaN.
    better = best.fitness[0] != state.best_fitness
    better &= ~jnp.isnan(best.fitness[0])
    following, breed_key, _ = keys(state)
    bred, inner = breeder.update(breed_key, scored, state.transformation_state)
    generation = _tree.increment(state.generation)
    told = SearchState(
        population=bred,
        transformation_state=inner,
        best=best,
        key=following,
        generation=generation,
        improved=jnp.where(better, generation, state.improved),
        evaluations=_tree.add_counts(state.evaluations, jnp.sum(asked)),
    )
    return told, {
        "generation": state.generation,
        **_measuring.of_generation(scored),
        "best_so_far": best.fitness[0],
        "evaluations": told.evaluations,
        **_measuring.of_state(inner),
    }


def step(
    run: Run, state: SearchState, rest: Any, args: tuple[Any, ...]
) -> tuple[SearchState, dict[str, jax.Array]]:
    """Ask, evaluate, tell."""
    assert run.evaluator is not None
    _, _, key = keys(state)
    scores = scores_of(
        run.evaluator, run.genome, state.population.params, key, rest, args
    )
    return tell(run.breeder, state, scores)


compiled_tell = jax.jit(tell, static_argnums=0)
compiled_step = jax.jit(step, static_argnums=0)
