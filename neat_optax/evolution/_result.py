"""What a search found."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _checks
from neat_optax.evolution._asking import SearchState
from neat_optax.evolution._population import Population, individual

History = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SearchResult:
    """What `search` found."""

    state: SearchState
    history: History  # each array has one entry for each generation
    stopped: str  # why, in words
    reached: int | None  # the first generation whose best reached the goal
    load: Callable[[Any], Any]  # what was given, with the weights of one individual

    def __repr__(self) -> str:
        best, count = self.best_fitness, self.generations
        return f"<search: best fitness {best:.4g}, {count} generations, {self.stopped}>"

    @property
    def best_params(self) -> Any:
        """The best weights of all generations: the tree of one individual."""
        return self.state.best_params

    @property
    def best_fitness(self) -> float:
        """Their fitness; NaN if no evaluation succeeded."""
        return float(self.state.best_fitness)

    @property
    def generations(self) -> int:
        """How many generations were scored."""
        return int(self.state.generation)

    def top(self, k: int | None = None) -> Population:
        """The best `k` of all generations, best first, all different.

        There are at most `return_best` of them, and fewer where fewer succeeded.
        """
        best = self.state.best
        listed = best.fitness.shape[0]
        if k is not None:
            _checks.check_integer("k", k)
            _checks.check_fewer("k", k, "individuals kept, plus one", listed + 1)
        count = min(listed if k is None else k, int(jnp.sum(~jnp.isnan(best.fitness))))
        return jax.tree.map(lambda leaf: leaf[:count], best)

    def model(self, i: int = 0) -> Any:
        """What `search` was given, with the weights of the best individual number `i`.

        An NNX module, linen variables, or a tree of weights.
        """
        return self.load(individual(self.state.best, i))


def first_reached(history: History, goal: float | None) -> int | None:
    """The number of the first generation whose best so far reached the goal."""
    if goal is None or not history:
        return None
    best = history["best_so_far"]
    there = np.flatnonzero(best >= best.dtype.type(goal))
    return int(history["generation"][there[0]]) if there.size else None
