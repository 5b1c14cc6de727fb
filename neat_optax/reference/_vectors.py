"""Vector primitives in float64, each with its answer at zero."""

from typing import Any

import numpy as np


def dot(a: np.ndarray, b: np.ndarray):
    """Real inner product over all entries."""
    real, imaginary = np.real(a) * np.real(b), np.imag(a) * np.imag(b)
    return float(np.sum(real + imaginary))


def norm(a: np.ndarray):
    """Euclidean norm."""
    return np.sqrt(dot(a, a))


def unit(a: np.ndarray):
    """`a / |a|`, or zero for the zero vector."""
    length = norm(a)
    return a / length if length > 0 else np.zeros_like(a)


def cosine(a: np.ndarray, b: np.ndarray):
    """Cosine of the angle; 0 where a vector is zero."""
    return float(np.clip(dot(unit(a), unit(b)), -1.0, 1.0))


def conflict(gradient: np.ndarray, opponent: np.ndarray):
    """`max(0, -cosine)`."""
    return max(0.0, -cosine(gradient, opponent))


def project(gradient: np.ndarray, opponent: np.ndarray):
    """Component of the gradient along the opponent; zero for a zero opponent."""
    axis = unit(opponent)
    return dot(gradient, axis) * axis


def limit(vector: np.ndarray, longest: float):
    """`vector`, shortened to the norm `longest` where it is longer."""
    length = norm(vector)
    return vector * (longest / length) if length > longest else vector


def centralize(gradient: np.ndarray):
    """Takes out the mean over all axes but the last, from two axes up."""
    if gradient.ndim < 2:
        return gradient
    axes = tuple(range(gradient.ndim - 1))
    with np.errstate(invalid="ignore"):  # infinities of both signs have no mean
        return gradient - gradient.mean(axis=axes, keepdims=True)


def soften(param: np.ndarray, strength: float):
    """Proximal step of the L1 norm."""
    return np.sign(param) * np.maximum(np.abs(param) - strength, 0.0)


def prune(param: np.ndarray, threshold: float):
    """Zeroes entries below the threshold, strictly."""
    return np.where(np.abs(param) < threshold, 0.0, param)


def correction_direction(gradient: np.ndarray, opponent: np.ndarray, mode: str):
    """The direction that a correction goes against."""
    if mode == "cosine":
        return gradient
    return project(gradient, opponent)


def scale_of(gradient: np.ndarray, opponent: np.ndarray, habit: float, config: Any):
    """Factor of the adaptive correction, from strength and habit of the opponent."""
    if not config.adaptive_correction:
        return 1.0
    norms = norm(opponent) + norm(gradient)
    strength = norm(opponent) / norms if norms > 0 else 0.0
    low, high = (
        config.adaptive_correction_min_scale,
        config.adaptive_correction_max_scale,
    )
    return float(np.clip(1.0 + strength + habit, low, high))


def average(mean: Any, value: Any, decay: float):
    """One step of an exponential average."""
    return decay * mean + (1.0 - decay) * value


def ratio(a: float, b: float):
    """`a / b`, or 0 for `b = 0`."""
    return a / b if b > 0 else 0.0
