"""A parameter on its way through a program, while only its axes are rearranged."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from neat_optax._factored import Layout


class View(NamedTuple):
    """An array of a program with the same entries as a parameter."""

    leaf: int  # the number of the parameter
    layout: Layout  # of no rows and no columns yet

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.layout.shapes()[-1]


class Placing(NamedTuple):
    """Where axes of factors belong in a parameter.

    Attributes:
      layout: of the parameter.
      rows: the order that the axes of the left factor are brought into.
      columns: the same for the right one.
      swapped: whether left and right change places.
    """

    layout: Layout
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    swapped: bool


def whole(leaf: int, shape: tuple[int, ...]) -> View:
    """The parameter itself."""
    return View(leaf, Layout(shape, (), (), ()))


def follow(eqn: Any, view: View) -> View | None:
    """The view that an operation makes of a view, or None if it is none."""
    move = _MOVES.get(eqn.primitive.name)
    if move is None or eqn.outvars[0].aval.size != eqn.invars[0].aval.size:
        return None
    if not jnp.issubdtype(eqn.outvars[0].aval.dtype, jnp.floating):
        return None
    made = move(eqn)
    if made is None:
        return view
    kind, value = made
    moves, last = view.layout.moves, view.layout.moves[-1:]
    if kind == "transpose" and last and last[0][0] == "transpose":
        moves, value = moves[:-1], tuple(last[0][1][axis] for axis in value)
    return view._replace(layout=view.layout._replace(moves=(*moves, (kind, value))))


def place(view: View, rows: tuple[int, ...], columns: tuple[int, ...]) -> Placing:
    """The layout of a matrix whose axes are those of a view.

    Where axes have only been exchanged, uses of one parameter agree on the layout: it
    names the axes of the parameter, in order, and its first is among the rows.
    """
    moves = view.layout.moves
    if any(kind == "reshape" for kind, _ in moves):
        layout = view.layout._replace(rows=rows, columns=columns)
        orders = tuple(range(len(rows))), tuple(range(len(columns)))
        return Placing(layout, *orders, swapped=False)
    exchanged = moves[0][1] if moves else tuple(range(len(view.shape)))
    sides = [tuple(exchanged[axis] for axis in side) for side in (rows, columns)]
    orders = [sorted(range(len(side)), key=side.__getitem__) for side in sides]
    axes = [tuple(sorted(side)) for side in sides]
    swapped = 0 in axes[1]
    first, second = axes[::-1] if swapped else axes
    layout = Layout(view.layout.shape, (), first, second)
    return Placing(layout, tuple(orders[0]), tuple(orders[1]), swapped)


def _reshaped(eqn: Any) -> tuple[str, tuple[int, ...]]:
    return "reshape", eqn.outvars[0].aval.shape


def _transposed(eqn: Any) -> tuple[str, tuple[int, ...]]:
    return "transpose", tuple(eqn.params["permutation"])


_MOVES: dict[str, Callable[[Any], tuple[str, tuple[int, ...]] | None]] = {
    "reshape": _reshaped,
    "squeeze": _reshaped,
    "expand_dims": _reshaped,
    "broadcast_in_dim": _reshaped,
    "transpose": _transposed,
    "convert_element_type": lambda _: None,
    "copy": lambda _: None,
    "copy_p": lambda _: None,
    "optimization_barrier": lambda _: None,
}
"""Operations that keep all entries. One that broadcasts makes more of them."""
