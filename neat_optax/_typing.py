"""Shapes in annotations, in jaxtyping's words.

Type checkers read jaxtyping. A program does not import it: there, each annotation is
the type of array alone, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING

import jax

if TYPE_CHECKING:
    from jaxtyping import Array as Array
    from jaxtyping import Bool as Bool
    from jaxtyping import Float as Float
    from jaxtyping import Inexact as Inexact
    from jaxtyping import Int as Int
else:
    Array = jax.Array

    class Float:
        """A floating-point array of a shape: `Float[Array, "P P"]`."""

        def __class_getitem__(cls, item):
            """The type of array, without the shape."""
            return item[0]

    class Bool(Float):
        """A boolean array of a shape."""

    class Int(Float):
        """An array of integers of a shape."""

    class Inexact(Float):
        """A floating-point or complex array of a shape."""
