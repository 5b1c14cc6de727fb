"""The whole search: generations in compiled loops, stopped when there is reason to."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _checks
from neat_optax._random import as_key, check_key
from neat_optax.evolution import _asking, _checkpoint, _loop
from neat_optax.evolution._asking import Run, SearchState
from neat_optax.evolution._evaluating import Mode, as_evaluator
from neat_optax.evolution._loading import apart, into
from neat_optax.evolution._population import (
    Population,
    PopulationTransformation,
    perturb,
    unevaluated,
)
from neat_optax.evolution._result import History, SearchResult, first_reached

Callback = Callable[[SearchState, History], Any]
_SIZE = 64


def search(
    key: jax.Array | int,
    params_or_model: Any,
    evaluate: Any,
    breeder: PopulationTransformation,
    *,
    generations: int,
    population_size: int | None = None,
    initial_population: Any = None,
    initial_scale: float = 0.3,
    args: tuple[Any, ...] = (),
    evaluation_key: str | None = None,
    batch_size: int | None = None,
    return_best: int = 1,
    goal: float | None = None,
    patience: int | None = None,
    budget: int | None = None,
    chunk: int = 20,
    callbacks: Sequence[Callback] | Callback = (),
    checkpoint: Any = None,
) -> SearchResult:
    """Looks for weights with the highest fitness.

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
        variables. `of_population(f)` scores all at once, `outside_jax(f)` in Python.
      breeder: what makes the next generation: a `PopulationTransformation`.
      generations: how many are scored, at most.
      population_size: how many individuals; 64, or as many as initially.
      initial_population: a `Population` or stacked weights, instead of
        `perturb(key, weights, population_size, initial_scale)`.
      initial_scale: how far the first individuals lie from the given weights, relative
        to fresh weights; the first of them is the given one.
      args: what else `evaluate` gets, after the weights and the key: data, as arrays in
        any trees. They are arguments of the compiled loop; data that `evaluate` closes
        over are constants of it, which XLA may compute with while it compiles.
      evaluation_key: None, or what key `evaluate` gets as its second argument:
        `"shared"` is a new one in each generation, the same for all individuals, whose
        fitness can then be compared; `"own"` is one for each of them.
      batch_size: how many individuals are scored at the same time; by default all. On
        a CPU 8 to 16 are often faster, and take less memory. Leave it where the
        population is sharded.
      return_best: how many of the best the result lists.
      goal: the search stops when this fitness is reached.
      patience: it stops after so many generations in a row without a new best.
      budget: it stops before a generation with which more individuals would have been
        scored than this.
      chunk: how many generations run between two calls of the callbacks, and between
        two checkpoints.
      callbacks: functions of the `SearchState` and the history so far; one that returns
        something true, such as `state.generation >= 50`, stops the search. One that is
        a context manager is entered for the search.
      checkpoint: a folder, new or of this search, which is then continued exactly
        where it was. Needs the extra `train`.

    Returns:
      A `SearchResult`.

    Raises:
      ValueError: if an argument is out of range, or the checkpoint is another run's.
      RuntimeError: if a function in plain Python raises; it names the individual.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import evolution as evo
      >>> def fitness(w, target):
      ...     return -jnp.sum((w - target) ** 2)
      >>> breeder = evo.breeder(mutation=evo.gaussian(0.2, 1.0))
      >>> found = evo.search(0, jnp.zeros(3), fitness, breeder, generations=200,
      ...                    args=(jnp.array([1.0, -1.0, 0.5]),), goal=-0.01)
      >>> found.stopped
      'goal reached'
      >>> found.generations == found.reached + 1 == len(found.history["best"])
      True
    """
    check_key("key", key)
    _checks.check_kind("args", args, tuple)
    _checks.check_kind("breeder", breeder, PopulationTransformation)
    limits = _loop.make_limits(generations, goal, patience, budget)
    _checks.check_integer("chunk", chunk, minimum=1)
    weights, genome, rest = apart(params_or_model)
    evaluator = as_evaluator(evaluate)
    run = Run(breeder, evaluator, Mode.of(evaluation_key, batch_size), genome)
    first_key, run_key = jax.random.split(as_key(key))
    population = _initial(
        first_key, weights, population_size, initial_population, initial_scale
    )
    state = _asking.start(breeder, return_best, run_key, population)
    _check_budget(budget, state)
    folder = None if checkpoint is None else _checkpoint.Folder(checkpoint, state)
    advance = _loop.outside if evaluator.kind == "outside" else _loop.inside
    with contextlib.ExitStack() as stack:
        called = _entered(stack, callbacks)
        state, history, stopped = _chunks(
            functools.partial(advance, run, chunk, rest=rest, args=args),
            state,
            limits,
            called,
            folder,
        )
    reached = first_reached(history, goal)
    return SearchResult(
        state, history, stopped, reached, lambda one: into(genome, one, rest)
    )


def _chunks(
    advance: Callable,
    state: SearchState,
    limits: _loop.Limits,
    callbacks: list,
    folder: Any,
) -> tuple[SearchState, History, str]:
    """Chunks until there is a reason to stop."""
    history: History = {}
    if folder is not None:
        state, history = folder.restore(state)
    asked = False
    while not (asked or _loop.reason(state, limits)):
        state, rows = advance(state, limits)
        old = history or {name: values[:0] for name, values in rows.items()}
        history = {name: np.concatenate([old[name], rows[name]]) for name in rows}
        if folder is not None:
            folder.save(state, history)
        verdicts = [callback(state, history) for callback in callbacks]
        asked = any(map(bool, verdicts))
    return state, history, _loop.reason(state, limits) or "a callback asked for it"


def _check_budget(budget: int | None, state: SearchState) -> None:
    asked = int(jnp.sum(_asking.waiting(state)))
    if budget is not None and budget < asked:
        raise ValueError(
            "`budget` must be enough for the initial population, of which "
            f"{asked} individuals have no fitness, got {budget}."
        )


def _initial(key: Any, weights: Any, size: Any, given: Any, scale: Any) -> Population:
    """The population of generation 0."""
    if given is None:
        return perturb(key, weights, _SIZE if size is None else size, scale)
    population = given if isinstance(given, Population) else unevaluated(given)
    count = _checks.check_population(population.params, population.fitness)
    one = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(jnp.shape(x)[1:], jnp.result_type(x)),
        population.params,
    )
    _checks.check_same_structure(
        "one individual of initial_population", one, "params_or_model", weights
    )
    if size not in (None, count):
        raise ValueError(
            "`population_size` must be that of `initial_population`, "
            f"{count}, got {size}."
        )
    return population


def _entered(stack: contextlib.ExitStack, callbacks: Any) -> list[Callback]:
    """The callbacks as a list, and those that are context managers entered."""
    listed = [callbacks] if callable(callbacks) else list(callbacks)
    for callback in listed:
        _checks.check_function("callbacks", callback)
        if hasattr(callback, "__enter__"):
            stack.enter_context(callback)  # type: ignore[arg-type]
    return listed
