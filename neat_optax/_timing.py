"""What compiled steps cost: time side by side, and memory as the compiler plans it."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax


class Step(NamedTuple):
    """A step that can be jitted, and what it is called with."""

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

    Each round calls every step once, so that what slows the machine for a while slows
    all of them, and ratios within a round stay.

    Args:
      steps: by name; each is compiled, and called once before the rounds.
      rounds: number of timed calls of each.
      seed: of the order.
    """
    compiled = {
        name: jax.jit(x.fn).lower(*x.args).compile() for name, x in steps.items()
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    order, draw = list(steps), random.Random(seed)
    for number in range(rounds + 1):
        draw.shuffle(order)
        for name in order:
            start = time.perf_counter()
            jax.block_until_ready(compiled[name](*steps[name].args))
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: Cost(tuple(times[name]), _bytes(compiled[name])) for name in steps}


def _bytes(compiled: Any) -> int:
    memory = compiled.memory_analysis()
    return int(memory.temp_size_in_bytes + memory.output_size_in_bytes)
