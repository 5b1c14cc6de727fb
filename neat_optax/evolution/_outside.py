"""Fitness from plain Python: one by one, or by an executor."""

import concurrent.futures
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from neat_optax.evolution._evaluating import Evaluator, given_keys
from neat_optax.evolution._loading import Genome, into

_Row = tuple[int, tuple[Any, ...]]  # of an individual: its number, and what is passed


def scores_outside(
    evaluator: Evaluator,
    genome: Genome,
    state: Any,
    key: jax.Array,
    rest: Any,
    args: tuple[Any, ...],
    known: np.ndarray | None = None,
) -> tuple[np.ndarray, BaseException | None]:
    """The fitness of those who have none, from Python; NaN for the others.

    Args:
      evaluator: made by `outside_jax`.
      genome: how individuals are loaded.
      state: a `SearchState`.
      key: of the evaluation.
      rest: what of the model is not searched.
      args: what else the function gets.
      known: scores that this generation has from an evaluation that was cut off; NaN
        for those who are still to be scored.

    Returns:
      The scores [n], and what was raised, if anything was: scores are then incomplete.
    """
    params, fitness = jax.device_get(state.population)
    scores = np.full_like(fitness, np.nan) if known is None else known
    numbers = np.flatnonzero(np.isnan(fitness) & np.isnan(scores))
    given = given_keys(evaluator.evaluation_key, key, len(fitness))

    def row(number: int) -> _Row:
        one = jax.tree.map(lambda x: x[number], params)
        own = [k[number] if evaluator.evaluation_key == "own" else k for k in given]
        return number, (into(genome, one, rest), *own, *args)

    call = _in_turn if evaluator.executor is None else _side_by_side
    generation = int(state.generation)
    try:
        for number, score in call(evaluator, [row(int(n)) for n in numbers]):
            scores[number] = _number(score, number, generation)
    except _Failed as error:
        return scores, error.as_raised(generation)
    except BaseException as error:  # Ctrl-C too
        return scores, error
    return scores, None


class _Failed(Exception):
    """What the function raised for an individual."""

    def __init__(self, number: int, error: BaseException):
        super().__init__(number)
        self.number, self.error = number, error

    def as_raised(self, generation: int) -> BaseException:
        """What the caller of a search is told; nothing is added to Ctrl-C."""
        if not isinstance(self.error, Exception):
            return self.error
        said = str(self.error).rstrip(".")
        raised = RuntimeError(
            f"`evaluate` must score individual {self.number} of generation "
            f"{generation}, got {type(self.error).__name__}: {said}."
        )
        raised.__cause__ = self.error
        return raised


def _in_turn(evaluator: Evaluator, rows: list[_Row]) -> Iterator[tuple[int, Any]]:
    for number, passed in rows:
        try:
            score = evaluator.function(*passed)
        except Exception as error:
            raise _Failed(number, error) from error
        yield number, score


def _side_by_side(evaluator: Evaluator, rows: list[_Row]) -> Iterator[tuple[int, Any]]:
    """All that are scored, in their order; then the first error, if there is one.

    After an error those that have begun are waited for, and no others begin.
    """
    futures: dict[int, concurrent.futures.Future] = {}
    raised: BaseException | None = None
    try:
        _submit(evaluator, rows, futures)
        first = concurrent.futures.FIRST_EXCEPTION
        concurrent.futures.wait(futures.values(), return_when=first)
    except BaseException as error:  # Ctrl-C too
        raised = error
    begun = {n: future for n, future in futures.items() if not future.cancel()}
    if raised is None or isinstance(raised, Exception):
        concurrent.futures.wait(begun.values())
    done = {n: future for n, future in begun.items() if future.done()}
    for number, future in done.items():
        if (error := future.exception()) is None:
            yield number, future.result()
        else:
            raised = raised or _Failed(number, error)
    if raised is not None:
        raise raised


def _submit(
    evaluator: Evaluator,
    rows: list[_Row],
    futures: dict[int, concurrent.futures.Future],
) -> None:
    """Hands all rows to the executor; fills `futures`, by number."""
    assert evaluator.executor is not None
    for number, passed in rows:
        try:
            futures[number] = evaluator.executor.submit(evaluator.function, *passed)
        except Exception as error:  # of a pool whose processes are gone
            raise _Failed(number, error) from error


def _number(score: Any, number: int, generation: int) -> float:
    try:
        return float(score)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`evaluate` must return one real number, got {score!r} for individual "
            f"{number} of generation {generation}."
        ) from error
