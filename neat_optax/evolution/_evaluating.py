"""Fitness evaluation: one by one, all at once, or outside JAX."""

import concurrent.futures
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks
from neat_optax.evolution import _rows
from neat_optax.evolution._loading import Genome, into

_KEYS = ("shared", "own")


class Evaluator(NamedTuple):
    """A function that scores, and what it takes.

    Made by `of_individual`, `of_population` and `outside_jax`.
    """

    function: Callable[..., Any]
    kind: str
    evaluation_key: str | None = None
    batch_size: int | None = None
    executor: concurrent.futures.Executor | None = None


_OF_TRACERS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
)
_COMPILED = (
    "`evaluate` is compiled by JAX: a function in plain Python or NumPy goes into "
    "`outside_jax(evaluate)`."
)


def of_individual(
    function: Callable[..., Any],
    *,
    evaluation_key: str | None = None,
    batch_size: int | None = None,
) -> Evaluator:
    """Marks a function in JAX that scores one individual, as a plain function does.

    Args:
      function: from what is searched, the key if there is one, and `args`, to a number.
      evaluation_key: None, or what key `function` gets as its second argument:
        `"shared"` is a new one in each generation, the same for all individuals, whose
        fitness can then be compared; `"own"` is one for each of them.
      batch_size: how many individuals are scored at the same time; by default all. On
        a CPU 8 to 16 are often faster, and take less memory. Leave it where the
        population is sharded.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from neat_optax import evolution as evo
      >>> def noisy(w, key):
      ...     return -jnp.sum((w - jax.random.normal(key, w.shape)) ** 2)
      >>> evaluate = evo.of_individual(noisy, evaluation_key="shared", batch_size=8)
      >>> step = evo.breeder(reevaluate=True)
      >>> evo.search(0, jnp.zeros(2), evaluate, step, generations=3).generations
      3
    """
    _checks.check_function("function", function)
    if batch_size is not None:
        _checks.check_integer("batch_size", batch_size, minimum=1)
    _check_key(evaluation_key)
    return Evaluator(function, "individual", evaluation_key, batch_size)


def of_population(
    function: Callable[..., Any], *, evaluation_key: str | None = None
) -> Evaluator:
    """Marks a function that scores a whole population at once.

    Args:
      function: from stacked weights, each leaf [n, ...], to an array [n].
      evaluation_key: as in `of_individual`; with `"own"` it gets n keys.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import evolution as evo
      >>> far_out = evo.of_population(lambda w: jnp.max(jnp.abs(w), axis=1))
      >>> found = evo.search(0, jnp.zeros(2), far_out, evo.breeder(), generations=3)
      >>> found.best_fitness > 0
      True
    """
    _checks.check_function("function", function)
    _check_key(evaluation_key)
    return Evaluator(function, "population", evaluation_key)


def outside_jax(
    function: Callable[..., Any],
    *,
    executor: concurrent.futures.Executor | None = None,
    evaluation_key: str | None = None,
) -> Evaluator:
    """Marks a function in plain Python that scores one individual, as simulators do.

    It is called for individuals without a fitness only, in their order. What it raises
    is raised again with the number of the individual. Those that are scored by then are
    in the checkpoint of the search, if it has one, and are not scored again.

    Args:
      function: from the weights of one individual, as NumPy arrays, to a number; NaN
        says that it failed. An NNX module is loaded with JAX arrays.
      executor: what calls it for several individuals at the same time: a pool of
        threads or processes, or that of Dask or MPI: any
        `concurrent.futures.Executor`. By default it is called for one after the other.
        The result does not depend on it.
      evaluation_key: as in `of_individual`.

    Raises:
      ValueError: if an argument is none of these.

    Example:
      >>> import concurrent.futures
      >>> import numpy as np
      >>> from neat_optax import evolution as evo
      >>> def slow(w):
      ...     return -float(np.sum(w**2))
      >>> with concurrent.futures.ThreadPoolExecutor(4) as pool:
      ...     evaluate = evo.outside_jax(slow, executor=pool)
      ...     found = evo.search(0, np.ones(2), evaluate, evo.breeder(), generations=3)
      >>> found.best_fitness > -2
      True
    """
    _checks.check_function("function", function)
    if executor is not None:
        _checks.check_kind("executor", executor, concurrent.futures.Executor)
    _check_key(evaluation_key)
    return Evaluator(function, "outside", evaluation_key, None, executor)


def as_evaluator(evaluate: Any) -> Evaluator:
    """A plain function scores one individual."""
    if isinstance(evaluate, Evaluator):
        return evaluate
    _checks.check_function("evaluate", evaluate)
    return of_individual(evaluate)


def _check_key(evaluation_key: Any) -> None:
    if evaluation_key is not None:
        _checks.check_choice("evaluation_key", evaluation_key, _KEYS)


def scores_of(
    evaluator: Evaluator,
    genome: Genome,
    params: Any,
    key: jax.Array,
    rest: Any,
    args: tuple[Any, ...],
) -> jax.Array:
    """The fitness of all individuals, in JAX: an array [n]."""
    count = jnp.shape(jax.tree.leaves(params)[0])[0]
    given = given_keys(evaluator.evaluation_key, key, count)

    def score(params: Any, *own: Any) -> Any:
        try:
            return evaluator.function(into(genome, params, rest), *own, *args)
        except _OF_TRACERS as error:
            error.add_note(_COMPILED)
            raise

    if evaluator.kind == "population":
        scores = score(params, *given)
    elif evaluator.evaluation_key == "own":
        scores = _rows.mapped(score, evaluator.batch_size, (params, *given))
    else:
        scores = _rows.mapped(
            lambda one: score(one, *given), evaluator.batch_size, (params,)
        )
    _checks.check_fitness(scores, count)
    return scores


def given_keys(evaluation_key: str | None, key: jax.Array, count: int) -> tuple:
    """One key for all, one for each, or none."""
    if evaluation_key is None:
        return ()
    return (jax.random.split(key, count) if evaluation_key == "own" else key,)
