"""How players stand to each other, from the inner products of their gradients."""

from typing import NamedTuple

import numpy as np

from neat_optax._intervals import LEVEL, Interval

BLOCKS = 10
"""Steps beside each other are alike, and those on the same batches too: intervals are
those of the means of so many blocks."""
FAINT = 0.1
"""Cosines nearer to 0 are no conflict worth a correction."""
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
      opposed: [P, P] bool, pairs whose mean cosine on two batches is negative beyond
        its spread over steps, and whose `expected` one is below -0.1. Where gradients
        are at right angles half of the products are negative, and this is False.
      gain: [P] cosine of each player's gradient with the mean of all on another batch.
    """

    cosines: np.ndarray
    expected: np.ndarray
    conflict: float
    between: float
    within: float
    excess: Interval
    opposed: np.ndarray
    gain: tuple[Interval, ...]

    @property
    def opposed_pairs(self) -> tuple[int, int]:
        """How many pairs are opposed beyond noise, and how many there are."""
        count = len(self.opposed)
        return int(self.opposed.sum()) // 2, count * (count - 1) // 2

    @property
    def harmed(self) -> tuple[int, ...]:
        """Which players the mean harms, beyond noise, to first order."""
        return tuple(number for number, gain in enumerate(self.gain) if gain.high < 0)


def geometry(products: np.ndarray, count: int, draws: int) -> Geometry:
    """How players stand to each other.

    Args:
      products: [T, R, R] as in `Probed`.
      count: of players.
      draws: as in `Probed`.
    """
    apart = ~np.eye(count, dtype=bool)
    cosines, crossed = step_cosines(products, count), crossed_cosines(products, count)
    symmetric = (crossed + crossed.transpose(0, 2, 1)) / 2
    expected = _without_noise(symmetric.mean(axis=0))
    mean, reach = _spread(symmetric, draws, max(count * (count - 1) // 2, 1))
    between = _share(crossed[:, apart] < 0)
    within = _share(diagonals(crossed) < 0)
    return Geometry(
        cosines=cosines.mean(axis=0),
        expected=expected,
        conflict=float(_share(cosines[:, apart] < 0).mean()),
        between=float(between.mean()),
        within=float(within.mean()),
        excess=over_steps(between - within, draws),
        opposed=(mean + reach < 0) & (expected < -FAINT),
        gain=_gains(products, count, draws),
    )


def over_steps(values: np.ndarray, draws: int, comparisons: int = 1) -> Interval:
    """The mean over steps, with the interval of means over blocks of them.

    Args:
      values: [T].
      draws: after so many steps the same batches come again.
      comparisons: how many such intervals are to be right at once.
    """
    mean, reach = _spread(values, draws, comparisons)
    return Interval(float(mean), float(mean - reach), float(mean + reach))


def _spread(
    values: np.ndarray, draws: int, comparisons: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Of a series [T, ...] the mean, and how far its interval reaches."""
    from scipy import special  # its import takes time

    draws = min(draws, len(values))
    count = min(BLOCKS, draws)
    block = np.arange(len(values)) % draws * count // draws
    means = np.stack([values[block == n].mean(axis=0) for n in range(count)])
    share = 1 - (1 - LEVEL) / comparisons / 2
    error = means.std(axis=0, ddof=1) / count**0.5
    return means.mean(axis=0), special.stdtrit(count - 1, share) * error


def _gains(products: np.ndarray, count: int, draws: int) -> tuple[Interval, ...]:
    """Cosine of each player on one batch with the mean of all on the other."""
    first = np.sqrt(np.maximum(products[:, :count, :count].sum(axis=(1, 2)), 0))
    lengths = norms_of(products)[:, -count:]
    found = _divided(_off(products, count).sum(axis=1), first[:, None] * lengths)
    return tuple(over_steps(column, draws, count) for column in found.T)


def _without_noise(symmetric: np.ndarray) -> np.ndarray:
    """Spearman's correction: cosines over the root of both players' reliabilities."""
    reliable = np.diagonal(symmetric)
    signal = np.where(reliable > LEAST_SIGNAL, reliable, 0)
    corrected = _divided(symmetric, np.sqrt(signal[:, None] * signal[None, :]))
    return np.clip(corrected, -1, 1)


def crossed_cosines(products: np.ndarray, count: int) -> np.ndarray:
    """[T, P, P]: cosines of one batch's gradients with those of the other."""
    norms = norms_of(products)
    lengths = norms[:, :count, None] * norms[:, None, -count:]
    return _divided(_off(products, count), lengths)


def _off(products: np.ndarray, count: int) -> np.ndarray:
    """Products of the first players with the last, the same where nothing is drawn."""
    return products[:, :count, -count:]


def step_cosines(products: np.ndarray, count: int) -> np.ndarray:
    """[T, P, P]: of the players' gradients on one batch."""
    own = products[:, :count, :count]
    norms = norms_of(own)
    return _divided(own, norms[:, :, None] * norms[:, None, :])


def norms_of(products: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(diagonals(products), 0))


def diagonals(matrices: np.ndarray) -> np.ndarray:
    return np.diagonal(matrices, axis1=1, axis2=2)


def _share(flags: np.ndarray) -> np.ndarray:
    """[T]: of True among all others of the step; 0 of none."""
    return flags.mean(axis=1) if flags.shape[1] else np.zeros(len(flags))


def _divided(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, or 0 where the denominator is 0."""
    return np.divide(
        numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0
    )
