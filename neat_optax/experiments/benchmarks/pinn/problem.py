"""A differential equation: its domain, the terms of its loss, and what solves it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Field = Callable[[jax.Array], jax.Array]
"""From points [n, coordinates] to values [n, outputs]."""

Place = Callable[[np.ndarray], np.ndarray]
"""From points [..., coordinates] to points."""

RESIDUAL = "residual"


class Jet(NamedTuple):
    """A field and its derivatives at points."""

    value: jax.Array  # [n, outputs]
    first: tuple[jax.Array, ...]  # along each coordinate, [n, outputs]
    second: Mapping[int, jax.Array]  # by coordinate, of those that are asked for


class Condition(NamedTuple):
    """What holds on a part of the domain."""

    place: Place  # moves points of the domain onto that part
    error: Callable[[Field, jax.Array], jax.Array]  # at points: [n, any], zero if met


class Solution(NamedTuple):
    """A solution on a grid."""

    axes: tuple[np.ndarray, ...]  # of each coordinate
    values: np.ndarray  # [*sizes of the axes, outputs]

    @property
    def points(self) -> np.ndarray:
        """All points, [n, coordinates]."""
        meshes = np.meshgrid(*self.axes, indexing="ij")
        return np.stack([x.ravel() for x in meshes], axis=1)


class Problem(NamedTuple):
    """An equation on a box, with what holds at the box's sides.

    The first coordinates are those of space; time, where there is one, is the last.
    """

    about: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    outputs: int
    second: tuple[int, ...]  # along which the residual needs second derivatives
    residual: Callable[[Jet], jax.Array]  # [n, equations]
    conditions: Mapping[str, Condition]
    reference: Callable[[], Solution]

    @property
    def players(self) -> tuple[str, ...]:
        """The terms of the loss, in the order of their gradients."""
        return (RESIDUAL, *self.conditions)


def until(problem: Problem, end: float) -> Problem:
    """A problem up to an earlier time.

    Args:
      problem: whose last coordinate is time.
      end: the last time.
    """

    def reference() -> Solution:
        axes, values = problem.reference()
        early = axes[-1] <= end
        return Solution((*axes[:-1], axes[-1][early]), values[..., early, :])

    return problem._replace(high=(*problem.high[:-1], end), reference=reference)


def jet_of(field: Field, points: jax.Array, second: Sequence[int]) -> Jet:
    """The jet of any function, by derivatives in forward mode.

    Args:
      field: of points.
      points: [n, coordinates].
      second: coordinates along which second derivatives are wanted.
    """
    directions = jnp.eye(points.shape[1])

    def along(number: int, own: Field) -> Field:
        def slope(moved: jax.Array) -> jax.Array:
            tangent = jnp.broadcast_to(directions[number], moved.shape)
            return jax.jvp(own, (moved,), (tangent,))[1]

        return slope

    slopes = [along(number, field) for number in range(points.shape[1])]
    return Jet(
        field(points),
        tuple(slope(points) for slope in slopes),
        {number: along(number, slopes[number])(points) for number in second},
    )


def losses(
    problem: Problem,
    field: Field,
    jet: Callable[[jax.Array, Sequence[int]], Jet],
    batch: Mapping[str, jax.Array],
) -> list:
    """The mean squares of all terms; those of several equations are added.

    Args:
      problem: whose terms they are.
      field: tried as its solution.
      jet: of the field, from points and coordinates, as `jet_of` returns it.
      batch: points by the name of the term, as `draw` returns them.
    """
    residual = problem.residual(jet(batch[RESIDUAL], problem.second))
    found = [jnp.sum(jnp.mean(residual**2, axis=0))]
    for name, condition in problem.conditions.items():
        found.append(jnp.mean(condition.error(field, batch[name]) ** 2))
    return found


def draw(
    problem: Problem, random: np.random.Generator, times: int, inside: int, outside: int
) -> dict[str, np.ndarray]:
    """Points by Latin hypercube sampling, anew at each time: [times, n, coordinates].

    Args:
      problem: on whose box they lie.
      random: decides on the points.
      times: how often.
      inside: how many for the residual.
      outside: how many for each condition.
    """
    points = {RESIDUAL: in_box(problem, random, times, inside)}
    for name, condition in problem.conditions.items():
        points[name] = condition.place(in_box(problem, random, times, outside))
    return points


def in_box(
    problem: Problem, random: np.random.Generator, times: int, count: int
) -> np.ndarray:
    """Points of a box, of which each of `count` slices of a coordinate holds one."""
    low = np.asarray(problem.low, np.float32)
    high = np.asarray(problem.high, np.float32)
    shape = (times, count, len(low))
    every = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None], shape)
    slices = random.permuted(every, axis=1)
    return low + (high - low) * (slices + random.random(shape, np.float32)) / count


def at(coordinate: int, value: float) -> Place:
    """Moves points to where a coordinate has a value."""

    def place(points: np.ndarray) -> np.ndarray:
        moved = points.copy()
        moved[..., coordinate] = value
        return moved

    return place


def at_sides(sides: Sequence[tuple[float, float]]) -> Place:
    """Moves points to the ends of the first coordinates, in turn.

    Args:
      sides: the ends of each of these coordinates.
    """
    ends = np.asarray(sides, np.float32).ravel()

    def place(points: np.ndarray) -> np.ndarray:
        moved = points.copy()
        for number, end in enumerate(ends):
            moved[..., number :: len(ends), number // 2] = end
        return moved

    return place


def equals(exact: Callable[[jax.Array], jax.Array]) -> Callable:
    """The error of a condition that gives the values themselves."""
    return lambda field, points: field(points) - exact(points)
