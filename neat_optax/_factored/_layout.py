"""How a matrix lies in a parameter."""

import math
from typing import NamedTuple

import jax


class Layout(NamedTuple):
    """How a matrix [K, O] lies in a parameter.

    Attributes:
      shape: of the parameter.
      moves: from the parameter to the array that is used, in turn: an axis order as
        ("transpose", order), or a shape as ("reshape", shape).
      rows: axes of that array that make K.
      columns: axes of it that make O.
    """

    shape: tuple[int, ...]
    moves: tuple[tuple[str, tuple[int, ...]], ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def height(self) -> int:
        """K."""
        shape = self.shapes()[-1]
        return math.prod(shape[axis] for axis in self.rows)

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the parameter, and of the array after each move."""
        found = [self.shape]
        for kind, value in self.moves:
            last = found[-1]
            moved = value if kind == "reshape" else tuple(last[axis] for axis in value)
            found.append(moved)
        return found

    def to_matrix(self, param: jax.Array) -> jax.Array:
        """[K, O]: an array like the parameter, as a matrix."""
        for kind, value in self.moves:
            reshaped = kind == "reshape"
            param = param.reshape(value) if reshaped else param.transpose(value)
        return param.transpose(self.rows + self.columns).reshape(self.height, -1)

    def from_matrix(self, matrix: jax.Array) -> jax.Array:
        """A matrix [K, O] as an array like the parameter."""
        shapes, order = self.shapes(), self.rows + self.columns
        parts = matrix.reshape([shapes[-1][axis] for axis in order])
        moved = parts.transpose(_inverse(order))
        for (kind, value), shape in zip(self.moves[::-1], shapes[-2::-1], strict=True):
            reshaped = kind == "reshape"
            moved = (
                moved.reshape(shape) if reshaped else moved.transpose(_inverse(value))
            )
        return moved


def _inverse(order: tuple[int, ...]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)
