"""Where aggregators end when two losses of two numbers are minimized.

A seed moves the given starts by normal numbers of 0.25, the first seed by none, and
draws as many others in the box around them: a learning rate is selected by where these
end, and judged by where the given ones do. Gradients are exact. `--full` takes the
papers' steps, 50,000 of Adam, and about half an hour on two cores.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax.experiments.benchmarks.study import (
    Benchmark,
    Probe,
    Score,
    Study,
    Table,
)
from neat_optax.experiments.benchmarks.toy_objectives import (
    Objective,
    measure,
    objectives,
    stationarity,
)
from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.data.tasks import Task
from neat_optax.experiments.runs.loop import Replicas, Trainer

ALPHA = 0.5
SEEDS = 16
PIECES = 16
"""Of a run; the first are the shortest, as most of the way is gone at first."""
SHIFT = 0.25
FLOOR = 1e-3
"""Is added to a distance, so that what is nearer counts as there."""
NEAR = 0.02
FLAT = 0.1
CONTROLS = ("mean", "random", "control")
LEFT_OUT = ("krum", "multi-krum", "trimmed-mean")
"""They need more than two players."""
SCORE = Score(
    "distance to the Pareto front",
    "distance",
    "validation_distance",
    larger_is_better=False,
    as_ratio=True,
)
_PLACES = 64  # of a unit: how finely a path is kept
_REACH = 16.0


def methods() -> list[str]:
    """All aggregators of two players, the controls first."""
    names = [name for name in AGGREGATORS.candidates if name not in LEFT_OUT]
    return sorted(names, key=lambda name: name not in CONTROLS)


def starts_of(objective: Objective, seed: jax.Array) -> jax.Array:
    """Those that select, then those that are reported: [2 starts, 2]."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))
    given = jnp.asarray(objective.starts, jnp.float32)
    low, high = jnp.asarray(objective.box).T
    drawn = jax.random.uniform(keys[0], given.shape, minval=low, maxval=high)
    shift = SHIFT * jax.random.normal(keys[1], given.shape)
    return jnp.concatenate([drawn, given + jnp.where(seed == 0, 0.0, shift)])


def pieces_of(steps: int) -> np.ndarray:
    """How many steps each piece of a run has: growing, all of them in sum."""
    ends = np.round(steps * (np.arange(PIECES + 1) / PIECES) ** 2)
    return np.diff(np.maximum(ends, np.arange(PIECES + 1))).astype(np.int32)


def pack(point: jax.Array) -> jax.Array:
    """Two numbers in (-16, 16) as one whole number, to 1/64."""
    cells = jnp.round((jnp.clip(point, -_REACH, _REACH - 0.1) + _REACH) * _PLACES)
    return cells[..., 0] * 2048 + cells[..., 1]


def unpack(packed: Any) -> np.ndarray:
    """What `pack` was given: [..., 2]."""
    cells = np.stack(np.divmod(np.asarray(packed), 2048), axis=-1)
    return cells / _PLACES - _REACH


def trainer_of(name: str, objective: Objective, seeds: int = SEEDS) -> Trainer:
    """From all starts at once, each with an optimizer of its own.

    Args:
      name: of an aggregator.
      objective: what is minimized.
      seeds: number of seeds.
    """
    build = AGGREGATORS.candidates[name].build
    task = _task(objective)
    count = len(objective.starts)
    numbers = jnp.tile(jnp.arange(seeds), len(objective.rates))
    rates = jnp.repeat(jnp.asarray(objective.rates, jnp.float32), seeds)
    pieces = pieces_of(objective.steps)

    def optimizer(seed: jax.Array, rate: jax.Array, start: jax.Array):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(2), seed), start)
        first = Setting(ALPHA, task, objective.steps, key, {}, False)
        return build(rate, first._replace(optimizer=objective.optimizer))

    def init_one(seed: jax.Array, rate: jax.Array):
        places = starts_of(objective, seed)
        states = jax.vmap(lambda start, x: optimizer(seed, rate, start).init(x))
        return Replicas(places, states(jnp.arange(2 * count), places))

    def run(seed: Any, rate: Any, start: Any, x: Any, state: Any, length: Any):
        tx = optimizer(seed, rate, start)

        def step(_: Any, carry: Any):
            x, state, opposed = carry
            extra, grads = task.gradients(x, None)
            updates, state = tx.update(grads, state, x, **extra)
            return x + updates, state, opposed + (grads[0] @ grads[1] < 0)

        x, state, opposed = jax.lax.fori_loop(0, length, step, (x, state, 0))
        return x, state, opposed / length

    def piece(replica: Replicas, seed: jax.Array, rate: jax.Array, length: Any):
        every = jax.vmap(run, (None, None, 0, 0, 0, None))
        x, state, opposed = every(
            seed, rate, jnp.arange(2 * count), *replica, length
        )
        seen = _seen(objective, x)
        row = {"validation_distance": jnp.mean(seen["distance"][:count])}
        row |= {f"test_{key}": jnp.mean(value[count:]) for key, value in seen.items()}
        row |= {"test_conflict": jnp.mean(opposed[count:])}
        return Replicas(x, state), row

    def all_pieces(replicas: Replicas, length: Any):
        every = jax.vmap(piece, (0, 0, 0, None))
        replicas, rows = every(replicas, numbers, rates, length)
        # Of paths, that of the first seed stands for all of a rate.
        first = replicas.params[:: seeds, count:]
        paths = {f"test_path_{i + 1}": pack(first[:, i]) for i in range(count)}
        rows |= {key: jnp.repeat(x, seeds) for key, x in paths.items()}
        return replicas, rows

    init_all, every = jax.jit(jax.vmap(init_one)), jax.jit(all_pieces)
    return Trainer(
        init=lambda: init_all(numbers, rates),
        like=lambda: jax.eval_shape(jax.vmap(init_one), numbers, rates),
        epoch=lambda replicas, number: every(replicas, pieces[number]),
        scores=lambda params, _: {
            "distance": FLOOR
            + jax.vmap(lambda x: jnp.mean(_seen(objective, x)["distance"]))(
                params[:, count:]
            )
        },
    )


def _seen(objective: Objective, places: jax.Array) -> dict[str, jax.Array]:
    """What is measured of each of some points."""

    def of_one(x: jax.Array):
        end = measure(objective.losses(x), objective)
        short = stationarity(jax.jacrev(objective.losses)(x))
        return {
            "distance": end.distance,
            "front": jnp.float32(end.distance < NEAR),
            "stationary": jnp.float32(short < FLAT),
            "one_sided": jnp.abs(2 * end.place - 1),
        }

    return jax.vmap(of_one)(places)


def _task(objective: Objective) -> Task:
    def gradients(params: Any, batch: Any):
        del batch
        losses = objective.losses(params)
        return {"losses": losses}, jax.jacrev(objective.losses)(params)

    return Task(
        init=lambda rngs: jnp.zeros(2),
        gradients=gradients,
        scores=lambda params, split: {},
        activity=lambda params, x: {},
        layers=(),
        num_players=2,
        aggregate=lambda aggregator: aggregator,
    )
