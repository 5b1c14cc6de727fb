"""The oracle of plasticity: from the whole history of gradients, and nothing kept.

Averages are weighted sums over all steps, an orthogonal part is the residual of a least
squares fit, and a gain is worked out in logarithms.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Plasticity(NamedTuple):
    """The arguments of `scale_by_plasticity` that are numbers."""

    activity_weight: float = 0.4
    gradient_weight: float = 0.4
    memory_weight: float = 0.2
    activity_decay: float = 0.95
    momentum_decay: float = 0.9
    variance_decay: float = 0.99
    minimum: float = 0.2
    maximum: float = 2.0
    strength: float = 1.0


def average(history: Sequence[Any], decay: float) -> np.ndarray:
    """The exponential average of a history that starts from zero."""
    steps = len(history)
    weights = [(1 - decay) * decay ** (steps - 1 - k) for k in range(steps)]
    return np.tensordot(weights, np.asarray(history), axes=1)


def in_units_of_mean(signal: Any) -> np.ndarray:
    """A signal over its mean; ones where all of it is zero."""
    mean = np.average(signal)
    return np.ones_like(signal) if mean == 0 else signal / mean


def coefficient(history: Sequence[Any], numbers: Plasticity) -> np.ndarray:
    """The coefficients of the last gradient of a history."""
    g = [np.asarray(x, np.result_type(np.float64, x)) for x in history]
    activity = average([np.abs(x) for x in g], numbers.activity_decay)
    past = np.abs(average(g, numbers.momentum_decay))
    spread = np.sqrt(average([np.abs(x) ** 2 for x in g], numbers.variance_decay))
    memory = np.divide(past, spread, out=np.zeros_like(past), where=spread > 0)
    size = in_units_of_mean(np.abs(g[-1]))
    full = (
        numbers.activity_weight * in_units_of_mean(activity)
        + numbers.gradient_weight * size
        + numbers.memory_weight * in_units_of_mean(memory)
    )
    bounds = numbers.minimum, numbers.maximum
    alone, full = np.clip(size, *bounds), np.clip(full, *bounds)
    share = numbers.strength
    return np.clip((1 - share) * alone + share * full, *bounds)


def bounded(gradient: np.ndarray, moved: np.ndarray, ratio: float) -> np.ndarray:
    """The nearest point to `moved`, on the way to it, that is near enough."""
    d = moved - gradient
    distance, allowed = np.linalg.norm(d), ratio * np.linalg.norm(gradient)
    return moved if distance <= allowed else gradient + allowed * d / distance


def orthogonal(
    gradient: np.ndarray,
    signal: np.ndarray,
    strength: float,
    ratio: float,
    match_norm: bool,
) -> np.ndarray:
    """A gradient plus the part of a signal that a fit by the gradient leaves over."""
    columns = gradient.reshape(-1, 1)
    fit, *_ = np.linalg.lstsq(columns, signal.ravel(), rcond=None)
    left = signal - (columns @ fit).reshape(signal.shape)
    if not np.any(gradient):
        return gradient
    length = np.linalg.norm(left)
    if match_norm and length > 0:
        left = left * np.linalg.norm(gradient) / length
    return bounded(gradient, gradient + strength * left, ratio)


def gains(
    sizes: Sequence[float], target: float, rate: float, minimum: float, maximum: float
) -> list[float]:
    """The gains of the homeostatic controller for a history of root mean squares."""
    distance, found = 0.0, []
    for size in sizes:
        if size > 0:
            distance = (1 - rate) * distance + rate * (np.log(target) - np.log(size))
            distance = float(np.clip(distance, np.log(minimum), np.log(maximum)))
        found.append(float(np.exp(distance)))
    return found


def modulated(
    base: np.ndarray,
    alpha: np.ndarray,
    direction: np.ndarray,
    strength: float,
    ratio: float,
) -> np.ndarray:
    """An update moved along a direction, no further than `ratio` allows."""
    return bounded(base, base + strength * (alpha - 1) * direction, ratio)
