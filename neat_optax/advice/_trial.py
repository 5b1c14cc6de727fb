"""Short trainings of the mean and of candidates, from the same starts and batches."""

import logging
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

_log = logging.getLogger(__name__)


class Trial(NamedTuple):
    """How a candidate did.

    Attributes:
      losses: [seeds, P] at the end, on batches that were not trained on; [seeds, 1] of
        players that are alike, the mean of bounded ones.
      factor: of those that all tried, that of the best score.
      score: mean logarithm of the losses over those at the start: lower is better.
      difference: of scores with the mean's, seed by seed; 0 for the mean itself.
      left: [P] mean logarithm of each loss over that at the start, so 0 or more where
        nothing was learned; [1] of players that are alike. `score` is its mean.
      apart: [P] `left` less the mean's.
      edge: "largest" or "smallest" if `factor` is that of several, else empty: a better
        one may lie beyond.
    """

    losses: np.ndarray
    factor: float
    score: float
    difference: Interval
    left: np.ndarray
    apart: np.ndarray
    edge: str = ""


class Lesson(NamedTuple):
    """What one seed stands for."""

    start: Point
    train: list[Any]
    held: list[Any]
    order: np.ndarray


def trials(
    problem: Problem,
    compiled: dict[str, Compiled],
    factors: Sequence[float],
    steps: int,
    seeds: int,
    alike: bool,
) -> dict[str, Trial]:
    """Trains the mean and each candidate as often, with the same batches.

    Args:
      problem: what is trained.
      compiled: a step of each, by name.
      factors: on the optimizer's updates. Each candidate tries all of them with the
        first seed, and goes on with the best. Over a training, updates shrink to 0
        along a cosine.
      steps: of each training.
      seeds: starts, orders of the batches, and which of them are held out.
      alike: whether all players' losses are one, each of them bounded, so that outliers
        do not decide.
    """
    evaluate = jax.jit(problem.losses)
    lessons = [_lesson(problem, seed, steps) for seed in range(seeds)]
    begun = np.stack([_mean_losses(evaluate, x.start, x.held) for x in lessons])
    usual = float(np.median(begun)) if alike else None
    if alike:
        begun = np.stack(
            [_mean_losses(evaluate, x.start, x.held, usual) for x in lessons]
        )

    def ended(name: str, factor: float, lesson: Lesson) -> np.ndarray:
        point = _trained(compiled[name], lesson, factor)
        return _mean_losses(evaluate, point, lesson.held, usual)

    def ends_of(name: str, factors: Sequence[float], some: list[Lesson]) -> Any:
        _log.info("%s: %d trainings", name, len(factors) * len(some))
        return np.stack([[ended(name, factor, x) for x in some] for factor in factors])

    first = {name: ends_of(name, factors, lessons[:1]) for name in compiled}
    tried = relative(first, begun[:1])
    best = {name: int(np.argmin(_mean(x)[:, 0])) for name, x in tried.items()}
    ends = {
        name: np.concatenate(
            [first[name][place], ends_of(name, [factors[place]], lessons[1:])[0]]
        )
        for name, place in best.items()
    }
    chosen = {name: factors[place] for name, place in best.items()}
    edges = {name: _edge(factor, factors) for name, factor in chosen.items()}
    return {
        name: one._replace(edge=edges[name])
        for name, one in judge(ends, begun, chosen).items()
    }


def _edge(factor: float, factors: Sequence[float]) -> str:
    if len(set(factors)) < 2:
        return ""
    ends = {max(factors): "largest", min(factors): "smallest"}
    return ends.get(factor, "")


def judge(
    ends: dict[str, np.ndarray], begun: np.ndarray, factors: dict[str, float]
) -> dict[str, Trial]:
    """Each against the mean.

    Args:
      ends: losses [seeds, P] by name, those of `mean` among them.
      begun: [seeds, P] at the start.
      factors: with which each ended there.
    """
    each = relative(ends, begun)
    found = {name: _mean(x) for name, x in each.items()}
    count = max(len(ends) - 1, 1)
    control = found[MEAN].tolist()
    return {
        name: Trial(
            ends[name],
            factors[name],
            float(np.mean(own)),
            paired(own.tolist(), control, count),
            each[name].mean(axis=0),
            (each[name] - each[MEAN]).mean(axis=0),
        )
        for name, own in found.items()
    }


def relative(ends: dict[str, np.ndarray], begun: np.ndarray) -> dict[str, np.ndarray]:
    """[..., P]: logarithms of what is left of each loss; differences if signed.

    Args:
      ends: losses [..., seeds, P] by name.
      begun: [seeds, P].
    """
    signed = any((x <= 0).any() for x in (begun, *ends.values()))
    size = np.maximum(np.abs(begun), np.finfo(np.float32).tiny)
    with np.errstate(all="ignore"):
        return {
            name: (end - begun) / size if signed else np.log(end / size)
            for name, end in ends.items()
        }


def _mean(each: np.ndarray) -> np.ndarray:
    """Over the players; the worst there is where one is not finite."""
    mean = each.mean(axis=-1)
    return np.where(np.isfinite(mean), mean, WORST)


def _trained(compiled: Compiled, lesson: Lesson, factor: float) -> Point:
    point, order = lesson.start, lesson.order
    state = compiled.init(point.params)
    for number, turn in enumerate(order):
        now = factor * (1 + math.cos(math.pi * number / len(order))) / 2
        batch = lesson.train[turn]
        point, state = compiled.step(point, state, batch, np.float32(now))
    return point


def _lesson(problem: Problem, seed: int, steps: int) -> Lesson:
    train, held = _divided(problem.batches, seed)
    start = problem.start
    moved = start._replace(params=_jittered(start.params, jax.random.key(seed)))
    return Lesson(moved, train, held, _order(len(train), steps, seed))


def _divided(batches: list[Any], seed: int) -> tuple[list[Any], list[Any]]:
    """Batches to train on, and others; one that is all the data is both."""
    if len(batches) == 1:
        return batches, batches
    every = min(HELD_OUT, len(batches))
    held = [(n + seed) % every == every - 1 for n in range(len(batches))]
    pairs = list(zip(batches, held, strict=True))
    return [x for x, out in pairs if not out], [x for x, out in pairs if out]


def _order(count: int, steps: int, seed: int) -> np.ndarray:
    """[steps]: all batches in one order after the other."""
    draw = np.random.default_rng(seed)
    rounds = [draw.permutation(count) for _ in range(-(-steps // count))]
    return np.concatenate(rounds)[:steps]


@jax.jit
def _jittered(params: Any, key: jax.Array) -> Any:
    leaves, treedef = jax.tree.flatten(params)

    def moved(number: int, leaf: jax.Array) -> jax.Array:
        size = jnp.sqrt(jnp.mean(jnp.square(jnp.abs(leaf))))
        noise = jax.random.normal(jax.random.fold_in(key, number), leaf.shape)
        return (leaf + JITTER * size * noise).astype(leaf.dtype)

    return treedef.unflatten([moved(*pair) for pair in enumerate(leaves)])


def _mean_losses(
    evaluate: Any, point: Point, batches: list[Any], usual: float | None = None
) -> np.ndarray:
    """[P]: over batches; or [1] of all players, bounded by 1 in units of `usual`."""
    found = np.stack([np.asarray(evaluate(point, x)[0], float) for x in batches])
    if usual is None:
        return found.mean(axis=0)
    return np.mean(-np.expm1(-np.maximum(found, 0) / usual), keepdims=True)[0]
