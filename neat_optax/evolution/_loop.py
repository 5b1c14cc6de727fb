"""A chunk of generations, in a compiled loop or scored in Python; and when to stop."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _blocks, _checks
from neat_optax.evolution import _asking
from neat_optax.evolution._asking import Run, SearchState
from neat_optax.evolution._outside import scores_outside
from neat_optax.evolution._population import Population
from neat_optax.evolution._result import History

LARGE = 1 << 21
"""Weights of a population from which on generations are started one by one."""
_NEVER = np.iinfo(np.int32).max


class Limits(NamedTuple):
    """What ends a search before its last generation; None for no such limit.

    Example:
      >>> from neat_optax import evolution as evo
      >>> evo.Limits(goal=-0.01, patience=50)
      Limits(goal=-0.01, patience=50, budget=None)
    """

    goal: float | None = None  # fitness that is enough
    patience: int | None = None  # generations in a row without a new best
    budget: int | None = None  # individuals that are scored, at most


class Ends(NamedTuple):
    """When a search is over; numbers that a compiled loop takes as arguments."""

    generations: Any
    goal: Any  # NaN for none
    patience: Any
    budget: Any


class Advanced(NamedTuple):
    """What a chunk of generations has come to."""

    state: SearchState
    rows: History
    raised: BaseException | None = None  # by what scores, in the generation after these
    scores: np.ndarray | None = None  # of that generation, so far; NaN for the others


def make_ends(generations: int, limits: Limits) -> Ends:
    """Checked; what is not given is never met."""
    _checks.check_integer("generations", generations, minimum=0)
    _checks.check_kind("limits", limits, Limits)
    goal, patience, budget = limits
    if goal is not None:
        _checks.check_fields({"goal": goal}, {"goal": "(-inf, inf)"})
    return Ends(
        generations=np.int32(min(generations, _NEVER)),
        goal=np.float64(math.nan if goal is None else goal),
        patience=_count("patience", patience),
        budget=_count("budget", budget),
    )


def _count(name: str, value: Any) -> np.int32:
    if value is None:
        return np.int32(_NEVER)
    _checks.check_integer(name, value, minimum=1)
    if value >= _NEVER:
        raise ValueError(f"`{name}` must be below {_NEVER:,}, got {value:,}.")
    return np.int32(value)


def inside(
    run: Run,
    chunk: int,
    state: SearchState,
    ends: Ends,
    known: None,
    rest: Any,
    args: tuple,
) -> Advanced:
    """Generations in one compiled loop."""
    del known
    if _is_large(state.population):
        return _one_by_one(run, chunk, state, ends, rest, args)
    start = int(state.generation)
    state, rows = _loop(run, chunk, state, ends, rest, args)
    count = int(state.generation) - start
    history = {name: np.asarray(x)[:count] for name, x in rows.items()}
    return Advanced(state, history)


def _is_large(population: Population) -> bool:
    """Whether a CPU takes so long for a generation that a loop in Python costs nothing.

    What a compiled loop adds to a generation's memory is three times the population:
    XLA takes the counters of random words out of it.
    """
    size = sum(leaf.size for leaf in jax.tree.leaves(population.params))
    return _blocks.in_blocks() and size > LARGE


def _one_by_one(
    run: Run, chunk: int, state: SearchState, ends: Ends, rest: Any, args: tuple
) -> Advanced:
    """Generations one by one, scored in JAX."""
    rows: list[dict[str, jax.Array]] = []
    while len(rows) < chunk and not reason(state, ends):
        state, row = _asking.compiled_step(run, state, rest, args)
        rows.append(row)
    return Advanced(state, _stack(rows))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _loop(
    run: Run, chunk: int, state: SearchState, ends: Ends, rest: Any, args: tuple
) -> tuple[SearchState, dict[str, jax.Array]]:
    """At most `chunk` generations, and a history of which the first rows are filled."""

    def step(state: SearchState) -> Any:
        return _asking.step(run, state, rest, args)

    def body(carry: Any) -> Any:
        state, rows, row = carry
        state, new = step(state)
        rows = {name: values.at[row].set(new[name]) for name, values in rows.items()}
        return state, rows, row + 1

    def go_on(carry: Any) -> jax.Array:
        state, _, row = carry
        return (row < chunk) & ~jnp.any(_reasons(state, ends))

    shapes = jax.eval_shape(step, state)[1]
    rows = {name: jnp.zeros((chunk, *x.shape), x.dtype) for name, x in shapes.items()}
    state, rows, _ = jax.lax.while_loop(go_on, body, (state, rows, jnp.int32(0)))
    return state, rows


def outside(
    run: Run,
    chunk: int,
    state: SearchState,
    ends: Ends,
    known: np.ndarray | None,
    rest: Any,
    args: tuple,
) -> Advanced:
    """Generations one by one, scored in Python; `known` are scores of the first.

    What scores them may raise: what is over by then is not lost.
    """
    assert run.evaluator is not None
    rows: list[dict[str, Any]] = []
    while len(rows) < chunk and not reason(state, ends):
        key = _asking.keys(state)[2]
        scores, raised = scores_outside(
            run.evaluator, run.genome, state, key, rest, args, known
        )
        if raised is not None:
            return Advanced(state, _stack(rows), raised, scores)
        state, row = _asking.compiled_tell(run.breeder, state, scores)
        rows.append(jax.device_get(row))
        known = None
    return Advanced(state, _stack(rows))


def _stack(rows: list[dict[str, Any]]) -> History:
    names = rows[0] if rows else ()
    return {name: np.stack([row[name] for row in rows]) for name in names}


def _reasons(state: SearchState, ends: Ends) -> jax.Array:
    """Which reasons to stop hold, in the order of `_WORDS`."""
    asked = jnp.sum(_asking.waiting(state), dtype=jnp.int32)
    return jnp.stack(
        [
            state.best_fitness >= ends.goal,
            state.generation >= ends.generations,
            state.generation - state.improved >= ends.patience,
            (ends.budget < _NEVER) & (asked > ends.budget - state.evaluations),
        ]
    )


_WORDS = (
    "goal reached",
    "all generations done",
    "patience exhausted",
    "budget spent",
)
_compiled_reasons = jax.jit(_reasons)


def reason(state: SearchState, ends: Ends) -> str:
    """The first reason to stop, or nothing."""
    holds = np.asarray(_compiled_reasons(state, ends))
    return _WORDS[int(np.argmax(holds))] if holds.any() else ""
