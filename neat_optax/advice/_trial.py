"""Short trainings of the mean and of candidates, from the same starts and batches."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax._intervals import Interval, paired
from neat_optax.advice._problem import Point, Problem
from neat_optax.advice._steps import MEAN, Compiled

JITTER = 1e-2
"""Length of what is added to each array at the start, relative to the array's."""
HELD_OUT = 4
"""One in so many batches is not trained on."""
WORST = 1e3
"""The score of a training that ended in numbers that are not finite."""


class Trial(NamedTuple):
    """How a candidate did.

    Attributes:
      losses: [seeds, P] at the end, on batches that were not trained on.
      factor: of those that all tried, that of the best score.
      score: mean logarithm of the losses over those at the start: lower is better.
      difference: of scores with the mean's, seed by seed; 0 for the mean itself.
    """

    losses: np.ndarray
    factor: float
    score: float
    difference: Interval


def trials(
    problem: Problem,
    compiled: dict[str, Compiled],
    factors: Sequence[float],
    steps: int,
    seeds: int,
) -> dict[str, Trial]:
    """Trains the mean and each candidate as often, with the same batches.

    Args:
      problem: what is trained.
      compiled: a step of each, by name.
      factors: on the optimizer's updates; each candidate tries all of them. Over the
        training, updates shrink to 0 along a cosine.
      steps: of each training.
      seeds: trainings with each factor: starts, and orders of batches.
    """
    train, held = _divided(problem.batches)
    evaluate = jax.jit(problem.losses)
    starts = [_moved(problem.start, seed) for seed in range(seeds)]
    orders = [_order(len(train), steps, seed) for seed in range(seeds)]

    def ended(name: str, factor: float, seed: int) -> np.ndarray:
        point = _trained(compiled[name], starts[seed], train, orders[seed], factor)
        return _mean_losses(evaluate, point, held)

    ends = {
        name: np.stack(
            [[ended(name, factor, seed) for seed in range(seeds)] for factor in factors]
        )
        for name in compiled
    }
    begun = np.stack([_mean_losses(evaluate, point, held) for point in starts])
    return judge(ends, begun, factors)


def judge(
    ends: dict[str, np.ndarray], begun: np.ndarray, factors: Sequence[float]
) -> dict[str, Trial]:
    """Each with its best factor, against the mean with its own.

    Args:
      ends: losses [factors, seeds, P] by name, those of `mean` among them.
      begun: [seeds, P] at the start.
      factors: that were tried.
    """
    scores = _scores(ends, begun)
    best = {name: int(np.argmin(x.mean(axis=1))) for name, x in scores.items()}
    control = scores[MEAN][best[MEAN]].tolist()
    found = {}
    for name, place in best.items():
        own = scores[name][place].tolist()
        apart = paired(own, control, max(len(ends) - 1, 1))
        found[name] = Trial(
            ends[name][place], factors[place], float(np.mean(own)), apart
        )
    return found


def _scores(ends: dict[str, np.ndarray], begun: np.ndarray) -> dict[str, np.ndarray]:
    """[factors, seeds]: mean logarithm of what is left; differences if signed."""
    signed = any((x <= 0).any() for x in (begun, *ends.values()))
    size = np.maximum(np.abs(begun), np.finfo(np.float32).tiny)

    def score(end: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            each = (end - begun) / size if signed else np.log(end / size)
        mean = each.mean(axis=-1)
        return np.where(np.isfinite(mean), mean, WORST)

    return {name: score(end) for name, end in ends.items()}


def _trained(
    compiled: Compiled, start: Point, train: list[Any], order: np.ndarray, factor: float
) -> Point:
    point, state = start, compiled.init(start.params)
    for number, turn in enumerate(order):
        now = factor * (1 + math.cos(math.pi * number / len(order))) / 2
        point, state = compiled.step(point, state, train[turn], np.float32(now))
    return point


def _divided(batches: list[Any]) -> tuple[list[Any], list[Any]]:
    """Batches to train on, and others; one that is all the data is both."""
    if len(batches) == 1:
        return batches, batches
    every = min(HELD_OUT, len(batches))
    held = [n % every == every - 1 for n in range(len(batches))]
    pairs = list(zip(batches, held, strict=True))
    return [x for x, out in pairs if not out], [x for x, out in pairs if out]


def _order(count: int, steps: int, seed: int) -> np.ndarray:
    """[steps]: all batches in one order after the other."""
    draw = np.random.default_rng(seed)
    rounds = [draw.permutation(count) for _ in range(-(-steps // count))]
    return np.concatenate(rounds)[:steps]


def _moved(start: Point, seed: int) -> Point:
    return start._replace(params=_jittered(start.params, jax.random.key(seed)))


@jax.jit
def _jittered(params: Any, key: jax.Array) -> Any:
    leaves, treedef = jax.tree.flatten(params)

    def moved(number: int, leaf: jax.Array) -> jax.Array:
        size = jnp.sqrt(jnp.mean(jnp.square(jnp.abs(leaf))))
        noise = jax.random.normal(jax.random.fold_in(key, number), leaf.shape)
        return (leaf + JITTER * size * noise).astype(leaf.dtype)

    return treedef.unflatten([moved(*pair) for pair in enumerate(leaves)])


def _mean_losses(evaluate: Any, point: Point, batches: list[Any]) -> np.ndarray:
    found = [np.asarray(evaluate(point, batch)[0], float) for batch in batches]
    return np.mean(found, axis=0)
