"""Means with their confidence intervals, and those of paired differences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean with its confidence interval, of 95 % unless it is said.

    Attributes:
      mean: over seeds, or over blocks of steps.
      low: lower end of the interval.
      high: upper end.
    """

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's interval of the mean; nan bounds for fewer than two values."""
    from scipy import special  # its import takes time, and few callers need it

    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(mean, float("nan"), float("nan"))
    error = float(np.std(values, ddof=1)) / count**0.5
    reach = float(special.stdtrit(count - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - reach, mean + reach)


def paired(
    values: Sequence[float], control: Sequence[float], comparisons: int = 1
) -> Interval:
    """Interval of the seed-by-seed difference to the control.

    Args:
      values: one for each seed.
      control: likewise.
      comparisons: how many such intervals shall all be right at once with 95 %
        (Bonferroni).
    """
    differences = [a - b for a, b in zip(values, control, strict=True)]
    return interval(differences, 1 - (1 - LEVEL) / comparisons)
