"""Studies of aggregators on one task, as the lineup has them and in variants."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from neat_optax._timing import Step
from neat_optax.experiments.benchmarks.study import Probe
from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import (
    AtEnd,
    Setting,
    nothing,
    nothing_recorded,
)
from neat_optax.experiments.candidates.watching import next_to_mean
from neat_optax.experiments.data.parts import Data, Split
from neat_optax.experiments.data.tasks import Task
from neat_optax.experiments.runs.loop import Trainer, make_trainer

Build = Callable[[Any, Setting], optax.GradientTransformation]
Make = Callable[[Setting, int], optax.GradientTransformation]

MEASURES = {
    "conflicting pairs": "conflicting_pairs",
    "turn from the mean": "correction_ratio",
}
"""Of every method, by their heading."""


class Tried(NamedTuple):
    """Trials of a method that differ in more than their learning rate."""

    rates: tuple[float, ...]
    weights: Any  # [trials, P], of the players


class Sizes(NamedTuple):
    """How long, and over how much, every method of a study is trained."""

    rates: tuple[float, ...]
    seeds: int
    epochs: int
    batch_size: int
    alpha: float = 0.25


class Problem(NamedTuple):
    """What is trained, and for how long."""

    task: Task
    data: Data
    sizes: Sizes
    at_end: AtEnd = nothing

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.sizes.epochs * (len(self.data.train.y) // self.sizes.batch_size)

    def trainer(
        self, build: Build, tried: tuple[float, ...], *, watched: bool = True
    ) -> Trainer:
        """Trains with an optimizer at every value tried, over all seeds.

        Args:
          build: from one of these values and a setting to the optimizer.
          tried: learning rates, or the numbers of trials.
          watched: whether it records what it did.
        """
        sizes = self.sizes

        def optimizer(value: Any, key: jax.Array) -> optax.GradientTransformation:
            setting = Setting(sizes.alpha, self.task, self.steps, key, {}, watched)
            return build(value, setting)

        return make_trainer(
            optimizer,
            self.task,
            self.data,
            measures=AGGREGATORS.measures if watched else nothing_recorded,
            at_end=self.at_end if watched else nothing,
            in_turn=True,
            seeds=sizes.seeds,
            rates=tried,
            batch_size=sizes.batch_size,
        )

    def step(self, build: Build, tried: tuple[float, ...]) -> Step:
        """One plain step."""
        make = self.trainer(build, tried, watched=False).step
        assert make is not None
        return make()

    def settings(self) -> dict[str, Any]:
        """What decides the numbers, besides the data and the network."""
        return self.sizes._asdict()


NOT_FOR_TWO = ("krum", "multi-krum", "trimmed-mean")
"""Candidates that need more than two players."""


def of_lineup(names: Iterable[str] | None = None) -> dict[str, Build]:
    """Candidates of `neat-optax train --players` by name, the mean first."""
    candidates = AGGREGATORS.candidates
    chosen = tuple(candidates) if names is None else tuple(names)
    return {name: candidates[name].build for name in chosen}


def before_adam(make: Make) -> Build:
    """An aggregator in the lineup's place, by setting and number of players."""

    def build(rate: Any, setting: Setting) -> optax.GradientTransformation:
        return optax.chain(
            setting.task.aggregate(watched(make, setting)), optax.adam(rate)
        )

    return build


def watched(make: Make, setting: Setting) -> optax.GradientTransformation:
    """An aggregator that records what it did where that is asked for."""
    count = setting.task.num_players
    assert count is not None
    own = make(setting, count)
    return next_to_mean(own, count) if setting.watched else own


def fixed_weights(tried: Tried) -> Build:
    """Constant weights: by the number of a trial, its own and its rate."""

    def build(number: Any, setting: Setting) -> optax.GradientTransformation:
        index = jnp.asarray(number, jnp.int32)
        weights = jnp.asarray(np.asarray(tried.weights, np.float32))[index]
        rate = jnp.asarray(tried.rates)[index]
        return before_adam(lambda *_: _weighted(weights))(rate, setting)

    return build


def _weighted(weights: jax.Array) -> optax.GradientTransformation:
    def update(updates: Any, params: Any = None) -> Any:
        del params
        return jax.tree.map(lambda g: jnp.tensordot(weights, g, 1), updates)

    return optax.stateless(update)


def probe_of(problem: Problem, losses: Callable[..., Any], count: int = 24) -> Probe:
    """What the doctor sees: the start, and some batches.

    Args:
      problem: whose task begins there.
      losses: from parameters and a batch to those of the players.
      count: of batches, at most.
    """
    size, train = problem.sizes.batch_size, problem.data.train
    order = np.random.RandomState(0).permutation(len(train.y))
    starts = range(0, min(count * size, len(order) - size + 1), size)
    batches = tuple(
        jax.tree.map(lambda x, i=i: x[order[i : i + size]], train) for i in starts
    )
    return Probe(losses, problem.task.init(nnx.Rngs(0)), batches)


def all_rates(
    methods: Mapping[str, Any], rates: tuple[float, ...]
) -> dict[str, tuple[float, ...]]:
    """The rates of each method; those of fixed weights are their own."""
    return {
        name: x.rates if isinstance(x, Tried) else rates for name, x in methods.items()
    }


def halved(data: Data, side: int, most: int) -> Data:
    """Images of half the side, each pixel the mean of four; at most so many a part."""
    half = side // 2

    def smaller(part: Split) -> Split:
        x = part.x[:most].reshape(-1, half, 2, half, 2).mean(axis=(2, 4))
        return Split(x.reshape(-1, half * half), part.y[:most])

    return Data(*map(smaller, data))
