"""What may be said about a difference."""

import numpy as np

from neat_optax._intervals import Interval as Interval
from neat_optax._intervals import interval as interval
from neat_optax._intervals import paired as paired


def in_points(share: float, digits: int = 2) -> str:
    """A difference of shares in points, with its sign; a zero is a positive one."""
    return f"{round(100 * share, digits) + 0.0:+.{digits}f}"


def about_seeds(seeds: int) -> str:
    """What to know of an interval over so few seeds; empty where they are enough."""
    if seeds != 2:
        return ""
    return (
        "two seeds say next to nothing: their interval reaches 12.7 standard errors to "
        "each side, and one of accuracies may end above 1; take five"
    )


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
            f"{name} {did}; its difference to {control} is {points}, the same for "
            "every seed, so that these seeds do not show how large the noise is."
        )
    ends = in_points(difference.low), in_points(difference.high)
    span = "95 % interval {} to {}".format(*ends)
    larger = difference.low > 0 or difference.high < 0
    says = "larger than its noise" if larger else "not larger than its noise"
    return f"{name} {did}; its difference to {control}, {points} ({span}), is {says}."
