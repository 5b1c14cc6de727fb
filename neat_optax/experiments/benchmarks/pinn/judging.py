"""How far a network is from the reference."""

import base64
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax.experiments.benchmarks.pinn.problem import Solution

PICTURE = (32, 20)
"""Blocks of the first two axes whose largest error is kept."""


class Points(NamedTuple):
    """A part of the reference's points."""

    rows: np.ndarray  # [n] their numbers
    x: jax.Array  # [n, coordinates]
    y: jax.Array  # [n, outputs]


class Halves(NamedTuple):
    """The reference, of which only one half selects."""

    validation: Points
    test: Points
    solution: Solution


def halve(solution: Solution) -> Halves:
    """Draws which points select a learning rate and which test it; seeds share them."""
    points = solution.points
    values = solution.values.reshape(len(points), -1)
    order = np.random.default_rng(0).permutation(len(points))

    def part(chosen: np.ndarray) -> Points:
        x, y = (jnp.asarray(x[chosen], jnp.float32) for x in (points, values))
        return Points(chosen, x, y)

    middle = len(order) // 2
    return Halves(part(order[:middle]), part(order[middle:]), solution)


def relative_error(found: jax.Array, wanted: jax.Array) -> jax.Array:
    """The L2 norm of the error over that of the solution."""
    return jnp.linalg.norm(found - wanted) / jnp.linalg.norm(wanted)


def scores_of(
    apply: Callable[[jax.Array, jax.Array], jax.Array],
    solution: Solution,
    params: Any,
    half: Any,
) -> dict[str, Any]:
    """Errors on a half of the reference, and for a picture the largest in each block.

    Args:
      apply: the network, of parameters and points.
      solution: the reference.
      params: with a leading axis of replicas.
      half: `Points` of the reference.
    """
    wanted = solution.values.astype(np.float32)
    points = jnp.asarray(solution.points, jnp.float32)
    found = np.asarray(jax.jit(jax.vmap(apply, (0, None)))(params, points)).reshape(
        -1, *wanted.shape
    )
    error = (found - wanted).reshape(len(found), -1, wanted.shape[-1])[:, half.rows]
    norms = np.linalg.norm(error, axis=(1, 2)) / np.linalg.norm(half.y)
    plane = plane_of(solution)
    return {
        "relative_l2": norms,
        "mse": np.mean(error**2, axis=(1, 2)),
        "picture": [written(np.abs(own[plane] - wanted[plane])) for own in found],
    }


def plane_of(solution: Solution) -> tuple[Any, ...]:
    """What a picture shows: the first output, in the middle of all but two axes."""
    middle = tuple(len(axis) // 2 for axis in solution.axes[2:])
    return (slice(None), slice(None), *middle, 0)


def written(error: np.ndarray) -> str:
    """The largest error in each block as a short text, from which `read` makes it."""
    return base64.b64encode(largest_in_blocks(error).astype("<f2").tobytes()).decode()


def read(picture: str, shape: tuple[int, ...]) -> np.ndarray:
    """The errors that `written` has written, of a plane of that shape."""
    blocks = tuple(min(pair) for pair in zip(PICTURE, shape, strict=True))
    return np.frombuffer(base64.b64decode(picture), "<f2").reshape(blocks)


def largest_in_blocks(values: np.ndarray) -> np.ndarray:
    """The largest value in each of `PICTURE` blocks of rows and columns, or fewer."""
    for axis, count in enumerate(PICTURE):
        size = values.shape[axis]
        starts = np.linspace(0, size, min(count, size), endpoint=False).astype(int)
        values = np.maximum.reduceat(values, starts, axis)
    return values
