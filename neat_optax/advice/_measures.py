"""From what a probe has met to the few numbers that a recommendation is made of."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax._intervals import LEVEL, Interval, interval
from neat_optax.advice._probing import Probed, Products
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._solvers._simplex import min_norm

BLOCKS = 10
"""Steps beside each other are alike: intervals are those of the means of so many."""
LEAST_SIGNAL = 0.05
"""Reliability below which a gradient is taken for noise and no cosine is corrected."""


class Geometry(NamedTuple):
    """How players stand to each other under one inner product.

    Attributes:
      cosines: [P, P] on one batch, the mean over steps.
      expected: [P, P] cosines of the gradients without the noise of batches; 0 for a
        player that is nothing but noise.
      conflict: share of pairs of players that are opposed on one batch.
      between: share of ordered pairs opposed where each has a batch of its own.
      within: share of players opposed to themselves on another batch: the noise.
      excess: `between` minus `within`, over steps.
      gain: [P] cosine of each player's gradient with the mean of all on another batch.
    """

    cosines: np.ndarray
    expected: np.ndarray
    conflict: float
    between: float
    within: float
    excess: Interval
    gain: tuple[Interval, ...]

    @property
    def harmed(self) -> tuple[int, ...]:
        """Which players the mean harms, beyond noise, to first order."""
        return tuple(number for number, gain in enumerate(self.gain) if gain.high < 0)


class Measures(NamedTuple):
    """What was measured.

    Attributes:
      players: their names.
      steps: of the probe.
      sampled: whether gradients were compared on two draws.
      losses: [P] at the start, and at the end of the probe.
      norms: [P] lengths of gradients, the median over steps.
      norm_ratio: of the longest to the shortest one, the median over steps.
      reliability: [P] cosine of a player's gradients on two batches; 1 without noise.
      plain: inner products as they are.
      metric: those of steps that Adam's root mean square divides.
      stationarity: length of the shortest convex combination of the gradients, over
        that of the shortest gradient: 0 at a Pareto stationary point.
      layers: of each array the share of opposed pairs, and [P] lengths.
      costs: of candidates, by name; those of `mean` are 1.
      trial: of candidates, by name, if there was a trial.
    """

    players: tuple[str, ...]
    steps: int
    sampled: bool
    losses: tuple[np.ndarray, np.ndarray]
    norms: np.ndarray
    norm_ratio: float
    reliability: np.ndarray
    plain: Geometry
    metric: Geometry
    stationarity: float
    layers: dict[str, tuple[float, np.ndarray]]
    costs: dict[str, Any]
    trial: dict[str, Any] | None

    @property
    def noise(self) -> float:
        """Share of gradients that another batch does not repeat, in [0, 1]."""
        return float(1 - np.clip(np.mean(self.reliability), 0, 1))


def measure(
    probed: Probed,
    players: tuple[str, ...],
    sampled: bool,
    costs: dict[str, Any],
    trial: dict[str, Any] | None,
) -> Measures:
    """The numbers of a probe.

    Args:
      probed: what it met.
      players: their names.
      sampled: whether its cross products are of two draws.
      costs: what candidates cost.
      trial: how candidates did.
    """
    squares = np.diagonal(probed.plain.own, axis1=1, axis2=2)
    norms = np.sqrt(np.maximum(squares, 0))
    plain = geometry(probed.plain)
    repeated = _cosines(probed.plain.cross, *_both_norms(probed.plain))
    shares, lengths = probed.conflicts.mean(axis=0), np.median(probed.norms, axis=0)
    return Measures(
        players=players,
        steps=len(norms),
        sampled=sampled,
        losses=(probed.losses[0], probed.losses[-1]),
        norms=np.median(norms, axis=0),
        norm_ratio=_ratio(norms),
        reliability=np.diagonal(repeated, axis1=1, axis2=2).mean(axis=0),
        plain=plain,
        metric=geometry(probed.metric),
        stationarity=_stationarity(probed.plain.own),
        layers={
            path: (float(share), row)
            for path, share, row in zip(probed.paths, shares, lengths, strict=True)
        },
        costs=costs,
        trial=trial,
    )


def geometry(products: Products) -> Geometry:
    """How players stand to each other, from the inner products of all steps."""
    own, other = _both_norms(products)
    count = own.shape[1]
    apart = ~np.eye(count, dtype=bool)
    cosines = _cosines(products.own, own, own)
    crossed = _cosines(products.cross, own, other)
    between = _share(crossed[:, apart] < 0)
    within = _share(np.diagonal(crossed, axis1=1, axis2=2) < 0)
    return Geometry(
        cosines=cosines.mean(axis=0),
        expected=_without_noise(crossed.mean(axis=0)),
        conflict=float(_share(cosines[:, apart] < 0).mean()),
        between=float(between.mean()),
        within=float(within.mean()),
        excess=over_steps(between - within),
        gain=_gains(products, other),
    )


def over_steps(values: np.ndarray, comparisons: int = 1) -> Interval:
    """The mean over steps, with the interval of means over blocks of them."""
    parts = np.array_split(values, min(BLOCKS, len(values)))
    level = 1 - (1 - LEVEL) / comparisons
    return interval([float(part.mean()) for part in parts], level)


def _both_norms(products: Products) -> tuple[np.ndarray, np.ndarray]:
    """[T, P] lengths on the first batch, and on the second, which is like it.

    The second batch's are not measured: at the same parameters they are those of the
    first batch of the neighboring step, but for what a step changes.
    """
    own = np.sqrt(np.maximum(np.diagonal(products.own, axis1=1, axis2=2), 0))
    if products.own is products.cross:
        return own, own
    return own, own


def _cosines(products: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return _ratio_or_zero(products, rows[:, :, None] * columns[:, None, :])
