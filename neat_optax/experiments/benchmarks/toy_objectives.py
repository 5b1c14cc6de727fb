"""Two objectives of two numbers whose Pareto fronts are known, and their starts."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

LEAST = 5e-6
"""What logarithms are taken of is no smaller."""
SCALE = 0.1
"""Of the first loss of the problem with a valley: that of Nash-MTL."""
FINE = 400
"""Points of a front."""
TURN = np.pi / 16


class Objective(NamedTuple):
    """Two losses, where they can end, and where they begin."""

    about: str
    losses: Callable[[jax.Array], jax.Array]  # [2] -> [2]
    front: np.ndarray  # [points, 2], from the least of the first loss to the second's
    unit: np.ndarray  # [2] what counts as 1 of each loss
    starts: np.ndarray  # [starts, 2]
    box: tuple[tuple[float, float], tuple[float, float]]  # where others are drawn
    by_adam: bool  # otherwise by gradient descent
    rates: tuple[float, ...]
    steps: int


def valley_losses(x: jax.Array, scale: float = SCALE) -> jax.Array:
    """The problem of CAGrad's authors, the first loss scaled as by Nash-MTL's.

    Logarithms above, where the two losses have kinks along curves, and two parabolas
    below, where the Pareto set is nearly a line.

    Args:
      x: a point, [2].
      scale: of the first loss.
    """
    across, up = x[0], x[1]
    bend = jnp.tanh(-up)
    first = _log(0.5 * (-across - 7) - bend)
    second = _log(0.5 * (-across + 3) + bend + 2)
    above = _not_negative(jnp.tanh(0.5 * up))
    below = _not_negative(jnp.tanh(-0.5 * up))
    bowls = [((across - end) ** 2 + 0.1 * (up + 8) ** 2) / 10 - 20 for end in (7, -7)]
    return jnp.stack(
        [
            scale * (first * above + bowls[0] * below),
            second * above + bowls[1] * below,
        ]
    )


def _log(value: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(jnp.abs(value), LEAST)) + 6


def _not_negative(value: jax.Array) -> jax.Array:
    """With the slope 1 at 0, where one of the starts is."""
    return jnp.where(value >= 0, value, 0.0)


def valley_front() -> np.ndarray:
    """Pareto optimal losses: of every weighted mean the least one, on a fine grid.

    Below, both losses are one factor of `x[1]` times a parabola, so that a weight `w`
    of the first has its least value at `x[0] = 14 w - 7`, at whatever height.
    """
    weights = np.linspace(0, 1, FINE)
    across = 14 * weights - 7
    heights = np.linspace(-9, -7, 2001)
    points = np.stack(np.broadcast_arrays(across[:, None], heights), axis=-1)
    losses = np.asarray(
        jax.jit(jax.vmap(jax.vmap(valley_losses)))(points.astype(np.float32))
    )
    mixed = weights[:, None] * losses[..., 0] / SCALE
    mixed = mixed + (1 - weights[:, None]) * losses[..., 1]
    return losses[np.arange(FINE), mixed.argmin(axis=1)][::-1]


def squares(x: jax.Array) -> jax.Array:
    """TorchJD's element-wise quadratic: each loss is the square of its own number."""
    return x**2


def _rotated(angle: float, length: float) -> np.ndarray:
    """`B B^T` with a long axis of that length and a short one of 0.1."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.array([[cos, -sin], [sin, cos]]) @ np.diag([length, 0.1])
    return turned @ turned.T


FORMS = np.stack([_rotated(TURN, 1.0), _rotated(-TURN, 3**0.5)])
CENTERS = np.array([[1.0, 0.0], [-1.0, 0.0]])


def bowls(x: jax.Array) -> jax.Array:
    """TorchJD's convex quadratic forms, `(x - u)^T A (x - u)`."""
    away = x[None] - jnp.asarray(CENTERS, jnp.float32)
    forms = jnp.asarray(FORMS, jnp.float32)
    return jnp.einsum("pi,pij,pj->p", away, forms, away)


def bowls_front() -> np.ndarray:
    """Losses where a weighted sum of the two is least, which is a linear equation."""
    # Weights crowd at both ends, where the minimizer moves fast.
    first = 1 / (1 + np.exp(np.linspace(-16, 16, FINE)))
    weights = np.stack([first, 1 - first], axis=1)
    sums = np.einsum("kp,pij->kij", weights, FORMS)
    sides = np.einsum("kp,pij,pj->ki", weights, FORMS, CENTERS)
    best = np.linalg.solve(sums, sides[..., None])[..., 0]
    away = best[:, None] - CENTERS
    return np.einsum("kpi,pij,kpj->kp", away, FORMS, away)


def _spread(front: np.ndarray) -> np.ndarray:
    return np.ptp(front, axis=0)


def objectives(full: bool) -> dict[str, Objective]:
    """All problems by name.

    Args:
      full: whether steps are as many, and as short, as the papers'.
    """
    valley, form = valley_front(), bowls_front()
    return {
        "valley": Objective(
            "the problem of CAGrad and Nash-MTL, by Adam",
            valley_losses,
            valley,
            _spread(valley),
            np.array([[-8.5, 7.5], [0, 0], [9, 9], [-7.5, -0.5], [9, -1]]),
            ((-10.0, 10.0), (-10.0, 10.0)),
            True,
            (1e-3, 1e-2, 1e-1) if full else (0.02, 0.05, 0.1),
            50_000 if full else 1_000,
        ),
        "squares": Objective(
            "TorchJD's element-wise quadratic, by gradient descent",
            squares,
            np.zeros((1, 2)),
            np.array([10.0, 10.0]),
            np.array([[3, -2], [0, -3], [-4, 4], [-3, 4], [-3.5, -0.75]]),
            ((-5.0, 5.0), (-5.0, 5.0)),
            False,
            (0.02, 0.075, 0.3),
            50,
        ),
        "bowls": Objective(
            "TorchJD's convex quadratic forms, by gradient descent",
            bowls,
            form,
            _spread(form),
            np.array([[0.5, 0.5], [-1, 7], [0, 0], [1, 6], [-1.5, 3]]),
            ((-2.0, 2.0), (-1.0, 8.0)),
            False,
            (0.0125, 0.05, 0.2),
            500 if full else 250,
        ),
    }


class Ends(NamedTuple):
    """Where losses are, seen from the front."""

    distance: jax.Array  # [] to the front, in units
    place: jax.Array  # [] in [0, 1]: 0 where the first loss is least on the front


def measure(losses: jax.Array, objective: Objective) -> Ends:
    """The nearest point of the front, which is joined up by straight lines.

    Args:
      losses: of one point, [2].
      objective: whose front it is.
    """
    front = np.asarray(objective.front / objective.unit, np.float32)
    here = losses / np.asarray(objective.unit, np.float32)
    if len(front) == 1:
        return Ends(jnp.linalg.norm(here - front[0]), jnp.float32(0.5))
    pieces = np.diff(front, axis=0)
    lengths = np.linalg.norm(pieces, axis=1)
    before = np.concatenate([[0.0], np.cumsum(lengths)])
    since = here[None] - front[:-1]
    part = jnp.clip(jnp.sum(since * pieces, axis=1) / lengths**2, 0.0, 1.0)
    aways = jnp.linalg.norm(since - part[:, None] * pieces, axis=1)
    nearest = jnp.argmin(aways)
    along = before[:-1] + part * lengths
    return Ends(aways[nearest], along[nearest] / before[-1])


def stationarity(gradients: jax.Array) -> jax.Array:
    """How short a mean of two gradients can be, over the longer: 0 is stationary.

    Args:
      gradients: [2, parameters].
    """
    first, second = gradients
    apart = jnp.sum((first - second) ** 2)
    weight = jnp.sum((second - first) * second) / jnp.where(apart > 0, apart, 1.0)
    mixed = second + jnp.clip(weight, 0.0, 1.0) * (first - second)
    longest = jnp.max(jnp.linalg.norm(gradients, axis=1))
    return jnp.linalg.norm(mixed) / jnp.where(longest > 0, longest, 1.0)
