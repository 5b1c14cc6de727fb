"""The search loop: generations in compiled chunks, with stopping criteria."""

import contextlib
import functools
import numbers
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _checks
from neat_optax._random import as_key, check_key
from neat_optax.evolution import _asking, _checkpoint, _loop
from neat_optax.evolution._asking import Run, SearchState
from neat_optax.evolution._evaluating import as_evaluator
from neat_optax.evolution._loading import apart, into
from neat_optax.evolution._loop import Limits
from neat_optax.evolution._population import (
    Population,
    PopulationTransformation,
    perturb,
    unevaluated,
)
from neat_optax.evolution._result import History, SearchResult, first_reached

Callback = Callable[[SearchState, History], Any]
_SCALE = 0.3
_NO_LIMITS = Limits()


def search(
    key: jax.Array | int,
    params_or_model: Any,
    evaluate: Any,
    breeder: PopulationTransformation,
    *,
    generations: int,
    population_size: Any = 64,
    args: tuple[Any, ...] = (),
    return_best: int = 1,
    limits: Limits = _NO_LIMITS,
    chunk: int = 20,
    callbacks: Sequence[Callback] | Callback = (),
    checkpoint: str | os.PathLike[str] | None = None,
) -> SearchResult:
    """Searches for the weights with the highest fitness.

    Generation 0 is the initial population. In each generation those without a fitness
    are scored, the best so far is brought up to date, and the breeder makes the next.
    Chunks of generations run in one compiled loop, which also stops by itself: the
    result does not depend on `chunk`. With the same `evaluate` and `breeder`, another
    search compiles nothing.

    Args:
      key: a random key or a seed.
      params_or_model: where to start from: a tree of weights, an NNX module, of which
        the `nnx.Param` variables are searched, or linen variables, of which the entry
        `params` is. Everything else stays as it is, and the model is not changed.
      evaluate: the fitness of one individual, a number; the higher the better, NaN
        for a failure. It gets what `params_or_model` is: weights, a module, or
        variables. `of_individual(f, ...)` says that it gets a random key, and how many
        individuals are scored at the same time; `of_population(f)` scores all at once,
        `outside_jax(f)` in plain Python.
      breeder: what makes the next generation: a `PopulationTransformation`.
      generations: how many are scored, at most.
      population_size: how many individuals, of which the first is the given one and the
        others lie around it, as `perturb(key, weights, population_size, 0.3)` has them,
        which is for weights that are good already; or the initial population itself: a
        `Population`, or stacked weights, such as fresh ones, `jax.vmap(init)(keys)`.
      args: what else `evaluate` gets, after the weights and the key: data, as arrays in
        any trees. They are arguments of the compiled loop; data that `evaluate` closes
        over are constants of it, which XLA may compute with while it compiles.
      return_best: how many of the best the result lists.
      limits: a `Limits` of what stops it earlier: a `goal`, when this fitness is
        reached; `patience`, after so many generations in a row without a new best; a
        `budget`, before a generation with which more individuals would have been scored
        than this.
      chunk: how many generations run between two calls of the callbacks, and between
        two checkpoints.
      callbacks: functions of the `SearchState` and the history so far; one that returns
        something true, such as `state.generation >= 50`, stops the search. One that is
        a context manager is entered for the search.
      checkpoint: a folder, new or of this search, which is then continued exactly
        where it was. It holds the last two checkpoints: where one is damaged, a warning
        names it, and the one before serves. What is over when a function in plain
        Python raises is saved, and so are the scores of the generation that it was in.
        No two processes write to it. Needs the extra `train`.

    Returns:
      A `SearchResult`.

    Raises:
      ValueError: if an argument is out of range, or the checkpoint is another run's, or
        damaged without one before it, or written to by another process.
      RuntimeError: if a function in plain Python raises; it names the individual.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import evolution as evo
      >>> def fitness(w, target):
      ...     return -jnp.sum((w - target) ** 2)
      >>> breeder = evo.breeder(mutation=evo.gaussian(0.2, 1.0))
      >>> found = evo.search(0, jnp.zeros(3), fitness, breeder, generations=200,
      ...                    args=(jnp.array([1.0, -1.0, 0.5]),),
      ...                    limits=evo.Limits(goal=-0.01))
      >>> found.stopped
      'goal reached'
      >>> found.generations == found.reached + 1 == len(found.history["best"])
      True
    """
    check_key("key", key)
    _checks.check_kind("args", args, tuple)
    _checks.check_kind("breeder", breeder, PopulationTransformation)
    ends = _loop.make_ends(generations, limits)
    _checks.check_integer("chunk", chunk, minimum=1)
    weights, genome, rest = apart(params_or_model)
    evaluator = as_evaluator(evaluate)
    run = Run(breeder, evaluator, genome)
    first_key, run_key = jax.random.split(as_key(key))
    first = _initial(first_key, weights, population_size)
    state = _asking.start(breeder, return_best, run_key, first)
    _check_budget(limits.budget, state)
    advance = _loop.outside if evaluator.kind == "outside" else _loop.inside
    with contextlib.ExitStack() as stack:
        folder = None
        if checkpoint is not None:
            folder = _checkpoint.Folder(checkpoint, state)
            stack.callback(folder.close)
        called = _entered(stack, callbacks)
        state, history, stopped = _chunks(
            functools.partial(advance, run, chunk, rest=rest, args=args),
            state,
            ends,
            called,
            folder,
        )
    reached = first_reached(history, limits.goal)
    return SearchResult(
        state, history, stopped, reached, lambda one: into(genome, one, rest)
    )


def _chunks(
    advance: Callable,
    state: SearchState,
    ends: _loop.Ends,
    callbacks: list,
    folder: Any,
) -> tuple[SearchState, History, str]:
    """Chunks until there is a reason to stop."""
    history: History = {}
    known = None
    if folder is not None:
        state, history = folder.restore(state)
        known = folder.scores(state)
    asked = False
    while not (asked or _loop.reason(state, ends)):
        state, rows, raised, scores = advance(state, ends, known)
        known = None
        old = history or {name: values[:0] for name, values in rows.items()}
        history = {name: np.concatenate([old[name], rows[name]]) for name in rows}
        if folder is not None and rows:
            folder.save(state, history)
        if raised is not None:
            if folder is not None:
                folder.keep_scores(state, scores)
            raise raised
        verdicts = [callback(state, history) for callback in callbacks]
        asked = any(map(bool, verdicts))
    return state, history, _loop.reason(state, ends) or "a callback asked for it"


def _check_budget(budget: int | None, state: SearchState) -> None:
    asked = int(jnp.sum(_asking.waiting(state)))
    if budget is not None and budget < asked:
        raise ValueError(
            "`budget` must be enough for the initial population, of which "
            f"{asked} individuals have no fitness, got {budget}."
        )


def _initial(key: jax.Array, weights: Any, given: Any) -> Population:
    """The population of generation 0."""
    if isinstance(given, numbers.Number):
        _checks.check_integer("population_size", given, minimum=1)
        return perturb(key, weights, given, _SCALE)  # type: ignore[arg-type]
    population = given if isinstance(given, Population) else unevaluated(given)
    _checks.check_population(population.params, population.fitness)
    one = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(jnp.shape(x)[1:], jnp.result_type(x)),
        population.params,
    )
    name = "one individual of population_size"
    _checks.check_same_structure(name, one, "params_or_model", weights, dtypes=True)
    return population


def _entered(stack: contextlib.ExitStack, callbacks: Any) -> list[Callback]:
    """The callbacks as a list, and those that are context managers entered."""
    listed = [callbacks] if callable(callbacks) else list(callbacks)
    for callback in listed:
        _checks.check_function("callbacks", callback)
        if hasattr(callback, "__enter__"):
            stack.enter_context(callback)  # type: ignore[arg-type]
    return listed
