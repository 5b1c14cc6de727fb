"""Descent on small problems from all starts at once, compiled once for each method."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax.experiments.benchmarks.toy_objectives import (
    Objective,
    measure,
    stationarity,
)
from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.runs.loop import Replicas, Trainer

ALPHA = 0.5
DRAWN = 1
"""Starts of a seed that are drawn in the box, beside the given ones."""
SHIFT = 0.25
"""Standard deviation by which a seed moves the given starts."""
PIECES = 16
"""Of a run; the first are the shortest, as most of the way is gone at first."""
NEAR = 0.02
"""What is no further from the front counts as on it, and differs from nothing there."""
FLAT = 0.1
"""A mean of gradients so much shorter than the longer one counts as none."""
_CELLS, _REACH, _ROW = 64, 16.0, 2048


class Bench:
    """Problems of equal shapes, and what is compiled for them.

    Args:
      problems: what is minimized.
      seeds: how many; each has starts of its own.
    """

    def __init__(self, problems: Sequence[Objective], seeds: int):
        self.problems = tuple(problems)
        self.seeds = seeds
        self._runs: dict[str, tuple[Callable, Callable]] = {}
        self._views: dict[int, tuple[Callable, Callable]] = {}

    def trainer(self, name: str, number: int) -> Trainer:
        """Of an aggregator on the problem of that number, over all rates and seeds."""
        problem, seeds = self.problems[number], self.seeds
        count = len(problem.rates)
        given = (
            np.tile(np.arange(seeds), count),
            np.repeat(np.asarray(problem.rates, np.float32), seeds),
            np.int32(number),
            np.bool_(problem.by_adam),
        )
        places = np.tile(starts_of(problem, seeds), (count, 1, 1))
        pieces = pieces_of(problem.steps)
        init, run = self._compiled(name)
        view, ends = self._views_of(number)

        def epoch(replicas: Replicas, piece: int):
            replicas, opposed = run(replicas, pieces[piece], *given)
            return replicas, view(replicas.params, opposed)

        return Trainer(
            init=lambda: init(places, *given),
            like=lambda: init(places, *given),
            epoch=epoch,
            scores=lambda params, _: ends(params),
        )

    def _compiled(self, name: str) -> tuple[Callable, Callable]:
        if name not in self._runs:
            losses = tuple(problem.losses for problem in self.problems)
            init, run = _of_all(name, losses)
            self._runs[name] = _kept(init), _kept(run)
        return self._runs[name]

    def _views_of(self, number: int) -> tuple[Callable, Callable]:
        if number not in self._views:
            problem = self.problems[number]
            row = functools.partial(_row, problem, self.seeds)
            ends = functools.partial(_scores, problem)
            self._views[number] = _kept(row), _kept(ends)
        return self._views[number]


def starts_of(problem: Objective, seeds: int) -> np.ndarray:
    """Those that select, then those that are reported: [seeds, starts, 2].

    The first seed reports the given ones as they are.
    """
    given = np.broadcast_to(problem.starts, (seeds, *problem.starts.shape))
    draw = np.random.default_rng(0)
    low, high = np.transpose(problem.box)
    drawn = draw.uniform(low, high, (seeds, DRAWN, 2))
    shift = SHIFT * draw.normal(size=given.shape)
    shift[0] = 0
    return np.concatenate([drawn, given + shift], axis=1).astype(np.float32)


def pieces_of(steps: int) -> np.ndarray:
    """How many steps each piece of a run has: growing, all of them in sum."""
    ends = np.round(steps * (np.arange(PIECES + 1) / PIECES) ** 2)
    return np.diff(np.maximum(ends, np.arange(PIECES + 1))).astype(np.int32)


def pack(point: jax.Array) -> jax.Array:
    """Two numbers in [-16, 16) as one whole number, to 1/64: a path in little room."""
    inside = jnp.clip(point, -_REACH, _REACH - 1 / _CELLS)
    cells = jnp.round((inside + _REACH) * _CELLS)
    return cells[..., 0] * _ROW + cells[..., 1]


def unpack(packed: Any) -> np.ndarray:
    """What `pack` was given: [..., 2]."""
    cells = np.stack(np.divmod(np.asarray(packed), _ROW), axis=-1)
    return cells / _CELLS - _REACH


def _of_all(name: str, losses: tuple[Callable, ...]) -> tuple[Callable, Callable]:
    """Functions that begin and that go on, for replicas of several starts each.

    What differs between problems is an argument, so that one program serves all.
    """
    build = AGGREGATORS.candidates[name].build

    def optimizer(start: Any, seed: Any, rate: Any, by_adam: Any):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(2), seed), start)
        setting = Setting(ALPHA, cast(Any, _TwoPlayers()), 1, key, {}, watched=False)
        last = functools.partial(_adam_or_descent, by_adam)
        built = build(rate, setting._replace(optimizer=last))
        return optax.with_extra_args_support(built)

    def init_one(x: Any, start: Any, seed: Any, rate: Any, which: Any, by_adam: Any):
        del which
        return optimizer(start, seed, rate, by_adam).init(x)

    def run_one(
        one: Replicas, start: Any, length: Any, seed: Any, rate: Any, *which: Any
    ):
        number, by_adam = which
        tx = optimizer(start, seed, rate, by_adam)

        def step(_: Any, carry: Any):
            (x, state), opposed = carry
            found = functools.partial(jax.lax.switch, number, losses)
            seen, grads = found(x), jax.jacrev(found)(x)
            updates, state = tx.update(grads, state, x, losses=seen)
            return Replicas(x + updates, state), opposed + (grads[0] @ grads[1] < 0)

        one, opposed = jax.lax.fori_loop(0, length, step, (one, 0))
        return one, opposed / length

    def init(places: Any, *given: Any):
        starts, whose = _flat(places, *given)
        every = jax.vmap(init_one, (0, 0, 0, 0, None, None))
        states = every(_joined(places), starts, *whose)
        return Replicas(jnp.asarray(places), _divided(states, places))

    def run(replicas: Replicas, length: Any, *given: Any):
        places = replicas.params
        starts, whose = _flat(places, *given)
        every = jax.vmap(run_one, (0, 0, None, 0, 0, None, None))
        found = every(_joined(replicas), starts, length, *whose)
        return _divided(found, places)

    return init, run


def _flat(places: Any, seeds: Any, rates: Any, *which: Any) -> tuple[Any, tuple]:
    """The number of each start, and what is given, for each start by itself."""
    replicas, count = places.shape[:2]
    starts = jnp.tile(jnp.arange(count), replicas)
    return starts, (jnp.repeat(seeds, count), jnp.repeat(rates, count), *which)


def _joined(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def _divided(tree: Any, places: Any) -> Any:
    shape = places.shape[:2]
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), tree)


def _adam_or_descent(by_adam: Any, rate: Any) -> optax.GradientTransformation:
    adam = optax.adam(rate)

    def update_fn(updates: Any, state: Any, params: Any = None):
        steps: Any = adam.update(updates, state, params)
        return jnp.where(by_adam, steps[0], -rate * updates), steps[1]

    return optax.GradientTransformation(adam.init, update_fn)


class _TwoPlayers(NamedTuple):
    """As much of a task as an aggregator asks for."""

    num_players: int = 2

    def aggregate(self, aggregator: Any) -> Any:
        """All parameters are shared."""
        return aggregator


def _kept(function: Callable) -> Callable:
    """Compiled at its first call; other shapes never come, and caches may be lost."""
    found: list[Callable] = []

    def call(*args: Any):
        if not found:
            found.append(jax.jit(function).lower(*args).compile())
        return found[0](*args)

    return call


def _seen(problem: Objective, places: jax.Array) -> dict[str, jax.Array]:
    """What is measured of each of some points."""

    def of_one(x: jax.Array):
        end = measure(problem.losses(x), problem)
        short = stationarity(jax.jacrev(problem.losses)(x))
        return {
            "distance": end.distance,
            "front": jnp.float32(end.distance < NEAR),
            "stationary": jnp.float32(short < FLAT),
            "one_sided": jnp.abs(2 * end.place - 1),
        }

    return jax.vmap(of_one)(places)


def _row(
    problem: Objective, seeds: int, places: jax.Array, opposed: jax.Array
) -> dict[str, jax.Array]:
    """The measures of all replicas after a piece, and where the first seed's are."""
    seen = jax.vmap(functools.partial(_seen, problem))(places)
    row = {"validation_distance": jnp.mean(seen["distance"][:, :DRAWN], axis=1)}
    for key, value in {**seen, "conflict": opposed}.items():
        row[f"test_{key}"] = jnp.mean(value[:, DRAWN:], axis=1)
    first = pack(places[::seeds, DRAWN:])
    for start in range(first.shape[1]):
        row[f"test_path_{start + 1}"] = jnp.repeat(first[:, start], seeds)
    return row


def _scores(problem: Objective, places: jax.Array) -> dict[str, jax.Array]:
    """What the given starts of each seed have come to."""
    seen = jax.vmap(functools.partial(_seen, problem))(places[:, DRAWN:])
    return {"distance": jnp.maximum(jnp.mean(seen["distance"], axis=1), NEAR)}
