"""How matrices lie in a parameter."""

import math
from typing import NamedTuple

import jax


class Layout(NamedTuple):
    """How a matrix [K, O] lies in a parameter, or matrices [G, K, O].

    Attributes:
      shape: of the parameter.
      moves: from the parameter to the array that is used, in turn: an axis order as
        ("transpose", order), or a shape as ("reshape", shape).
      rows: axes of that array that make K.
      columns: axes of it that make O.
      groups: axes of it that make G, if there are any.
    """

    shape: tuple[int, ...]
    moves: tuple[tuple[str, tuple[int, ...]], ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    groups: tuple[int, ...] = ()

    @property
    def height(self) -> int:
        """K."""
        return self._length(self.rows)

    @property
    def width(self) -> int:
        """O."""
        return self._length(self.columns)

    def _length(self, axes: tuple[int, ...]) -> int:
        shape = self.shapes()[-1]
        return math.prod(shape[axis] for axis in axes)

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the parameter, and of the array after each move."""
        found = [self.shape]
        for kind, value in self.moves:
            last = found[-1]
            moved = value if kind == "reshape" else tuple(last[axis] for axis in value)
            found.append(moved)
        return found

    def to_matrix(self, param: jax.Array) -> jax.Array:
        """[K, O] or [G, K, O]: an array like the parameter, as matrices."""
        for kind, value in self.moves:
            reshaped = kind == "reshape"
            param = param.reshape(value) if reshaped else param.transpose(value)
        groups = (-1,) if self.groups else ()
        ordered = param.transpose(self.groups + self.rows + self.columns)
        return ordered.reshape(*groups, self.height, self.width)

    def from_matrix(self, matrix: jax.Array) -> jax.Array:
        """Matrices as an array like the parameter."""
        shapes, order = self.shapes(), self.groups + self.rows + self.columns
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
