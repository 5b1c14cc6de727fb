"""Means, intervals, and what may be said about a difference."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean with its confidence interval over seeds, of 95 % unless it is said."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's interval of the mean; nan bounds for fewer than two values."""
    from scipy import special  # its import takes time, and few commands need it

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


def in_points(share: float, digits: int = 2) -> str:
    """A difference of shares in points, with its sign; a zero is a positive one."""
    return f"{round(100 * share, digits) + 0.0:+.{digits}f}"


def verdict(name: str, did: str, control: str, difference: Interval) -> str:
    """One sentence on whether a difference to the control exceeds its noise.

    Args:
      name: the candidate.
      did: what it did, as in "corrects nothing".
      control: what it is held against.
      difference: from `paired`.
    """
    points = f"{in_points(difference.mean)} points"
    if np.isnan(difference.low):
        return (
            f"{name} {did}; its difference to {control} is {points}, and one seed "
            "says nothing about the noise."
        )
    if difference == Interval(0.0, 0.0, 0.0):
        return f"{name} {did}; for every seed it ends as accurate as {control}."
    if np.isclose(difference.low, difference.high, rtol=0, atol=1e-12):
        return (
            f"{name} {did}; its difference to {control} is {points} for every seed, "
            "which says nothing about the noise."
        )
    ends = in_points(difference.low), in_points(difference.high)
    span = "95 % interval {} to {}".format(*ends)
    larger = difference.low > 0 or difference.high < 0
    says = "larger than its noise" if larger else "not larger than its noise"
    return f"{name} {did}; its difference to {control}, {points} ({span}), is {says}."
