"""Solutions on a grid, computed without a network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft

from neat_optax.experiments.benchmarks.pinn.problem import Solution


def cole_hopf(
    x: np.ndarray, t: np.ndarray, viscosity: float, nodes: int = 200
) -> np.ndarray:
    r"""Burgers' equation from :math:`-\sin \pi x`, by Gauss-Hermite quadrature.

    .. math::

        u = -\frac{\int \sin(\pi y) f(y) e^{-(x - y)^2 / 4 \nu t} dy}
                  {\int f(y) e^{-(x - y)^2 / 4 \nu t} dy}, \qquad
        f(y) = e^{-\cos(\pi y) / 2 \pi \nu}

    Args:
      x: positions.
      t: times, of the same shape.
      viscosity: :math:`\nu`.
      nodes: of the quadrature.

    Returns:
      Values of that shape.

    References:
      Basdevant et al., "Spectral and Finite Difference Solutions of the Burgers
      Equation", 1986.
    """
    node, weight = np.polynomial.hermite.hermgauss(nodes)
    y = x[..., None] - node * np.sqrt(4 * viscosity * t)[..., None]
    exponent = -np.cos(np.pi * y) / (2 * np.pi * viscosity)
    mass = weight * np.exp(exponent - exponent.max(axis=-1, keepdims=True))
    return -(mass * np.sin(np.pi * y)).sum(-1) / mass.sum(-1)


def split_step(
    start: np.ndarray, length: float, times: np.ndarray, steps: int
) -> np.ndarray:
    r"""Schrödinger's cubic equation on a circle, by Strang's splitting.

    .. math:: i h_t + \tfrac12 h_{xx} + |h|^2 h = 0

    Args:
      start: complex values at equal distances on the circle.
      length: of the circle.
      times: at equal distances, from 0 on.
      steps: from one of them to the next.

    Returns:
      Complex values, [positions, times].
    """
    wave = 2 * np.pi * np.fft.fftfreq(len(start), length / len(start))
    step = (times[1] - times[0]) / steps
    drift = np.exp(-0.5j * wave**2 * step)
    h, found = start.astype(complex), [start.astype(complex)]
    for _ in times[1:]:
        for _ in range(steps):
            h = h * np.exp(0.5j * step * np.abs(h) ** 2)
            h = np.fft.ifft(drift * np.fft.fft(h))
            h = h * np.exp(0.5j * step * np.abs(h) ** 2)
        found.append(h)
    return np.stack(found, axis=1)


def etd_dirichlet(
    start: np.ndarray,
    length: float,
    diffusion: float,
    reaction: Callable[[np.ndarray], np.ndarray],
    times: np.ndarray,
    steps: int,
) -> np.ndarray:
    r"""A reaction with diffusion, zero at both ends, by ETDRK4 on sines.

    .. math:: w_t = d\, w_{xx} + r(w)

    Args:
      start: values at equal distances inside, without the ends.
      length: from end to end.
      diffusion: :math:`d`.
      reaction: :math:`r`, on arrays, zero at zero.
      times: at equal distances, from 0 on.
      steps: from one of them to the next.

    Returns:
      Values inside, [positions, times].

    References:
      Kassam and Trefethen, "Fourth-Order Time-Stepping for Stiff PDEs", 2005.
    """
    step = (times[1] - times[0]) / steps
    number = np.arange(1, len(start) + 1)
    linear = -diffusion * (np.pi * number / length) ** 2 * step
    circle = np.exp(1j * np.pi * (np.arange(1, 33) - 0.5) / 32)
    z = linear[:, None] + circle

    def mean(values: np.ndarray) -> np.ndarray:
        return step * values.mean(axis=1).real

    full: Any = np.exp(linear)
    half: Any = np.exp(linear / 2)
    inner: Any = mean((np.exp(z / 2) - 1) / z)
    first: Any = mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3)
    middle = mean((2 + z + np.exp(z) * (z - 2)) / z**3)
    last = mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3)

    def react(v: Any) -> Any:
        values: Any = scipy.fft.idst(v, type=1)
        return scipy.fft.dst(reaction(values), type=1)

    v: Any = scipy.fft.dst(start, type=1)
    found: list[Any] = [start]
    for _ in times[1:]:
        for _ in range(steps):
            at_start = react(v)
            a: Any = half * v + inner * at_start
            at_a = react(a)
            at_b = react(half * v + inner * at_a)
            at_c = react(half * a + inner * (2 * at_b - at_start))
            v = full * v + first * at_start + 2 * middle * (at_a + at_b) + last * at_c
        found.append(scipy.fft.idst(v, type=1))
    return np.stack(found, axis=1)


def on_grid(
    axes: tuple[np.ndarray, ...], exact: Callable[[Any], Any], outputs: int
) -> Solution:
    """A closed form on a grid.

    Args:
      axes: of each coordinate.
      exact: from points to values.
      outputs: how many values there are at a point.
    """
    blank = Solution(axes, np.empty(0))
    shape = (*(len(axis) for axis in axes), outputs)
    return blank._replace(values=np.asarray(exact(blank.points)).reshape(shape))
