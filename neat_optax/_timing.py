"""What compiled steps cost: time side by side, and memory as the compiler plans it."""

import functools
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

SLOT = 0.01
"""Seconds that a step has in a round."""
MOST_CALLS = 50


class Step(NamedTuple):
    """A step that can be jitted, or is compiled, and what it is called with."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]


class Cost(NamedTuple):
    """What one call of a compiled step takes."""

    seconds: tuple[float, ...]  # of each round
    bytes: int  # of temporaries and results

    @property
    def median(self) -> float:
        """Seconds of a call."""
        return statistics.median(self.seconds)

    def times(self, other: "Cost") -> float:
        """How many times as long as another of the same rounds: median of ratios."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(own / theirs for own, theirs in pairs)


def costs(
    steps: Mapping[str, Step], *, rounds: int = 15, seed: int = 0
) -> dict[str, Cost]:
    """Times steps in turn, in an order that is random in every round.

    What slows the machine for a while slows all steps of a round, and ratios within a
    round stay. A step's time in a round is the shortest of as many calls as fit into
    a hundredth of a second. On a CPU it is the processor's time in all threads, which
    other processes do not lengthen as they do the time on the wall.

    Args:
      steps: by name; each is compiled, and called before the rounds.
      rounds: number of them.
      seed: of the order.
    """
    compiled = {name: _compiled(step) for name, step in steps.items()}
    calls = {
        name: functools.partial(compiled[name], *steps[name].args) for name in steps
    }
    numbers = {name: _number(call) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    order, draw = list(steps), random.Random(seed)
    for _ in range(rounds):
        draw.shuffle(order)
        for name in order:
            times[name].append(min(_time(calls[name]) for _ in range(numbers[name])))
    return {name: Cost(tuple(times[name]), _bytes(compiled[name])) for name in steps}


def _number(call: Callable[[], Any]) -> int:
    """How many calls fit into a slot; the first is none of them."""
    _time(call)
    return max(1, min(MOST_CALLS, round(SLOT / _time(call))))


def _time(call: Callable[[], Any]) -> float:
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    start = clock()
    jax.block_until_ready(call())
    return clock() - start


def _compiled(step: Step) -> Any:
    if isinstance(step.fn, jax.stages.Compiled):
        return step.fn
    return jax.jit(step.fn).lower(*step.args).compile()


def _bytes(compiled: Any) -> int:
    memory = compiled.memory_analysis()
    return int(memory.temp_size_in_bytes + memory.output_size_in_bytes)
