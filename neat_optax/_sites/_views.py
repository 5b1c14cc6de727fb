"""A parameter on its way through a program, while only its axes are rearranged."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from neat_optax._factored import Layout


class Loop(NamedTuple):
    """A scan that an array is used in."""

    length: int
    sliced: bool  # whether each turn sees a slice of the array


class View(NamedTuple):
    """An array of a program with the same entries as a parameter.

    Inside loops it may be a slice of that array, at one place of the first axes.
    """

    leaf: int  # the number of the parameter
    layout: Layout  # of the whole array, with no rows and no columns yet
    loops: tuple[Loop, ...] = ()  # the outer ones first

    @property
    def sliced(self) -> int:
        """How many axes the slice is taken along."""
        return sum(loop.sliced for loop in self.loops)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the slice."""
        return self.layout.shapes()[-1][self.sliced :]

    def inside(self, loop: Loop) -> "View":
        """What a turn of a loop sees."""
        return self._replace(loops=(*self.loops, loop))


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
    return view if made is None else _moved(view, *made)


def _moved(view: View, kind: str, value: tuple[int, ...]) -> View:
    kind, value = _of_whole(kind, value, view)
    moves, last = view.layout.moves, view.layout.moves[-1:]
    if kind == "transpose" and last and last[0][0] == "transpose":
        moves, value = moves[:-1], tuple(last[0][1][axis] for axis in value)
    return view._replace(layout=view.layout._replace(moves=(*moves, (kind, value))))


def split(view: View, axis: int, count: int) -> View:
    """The same entries, with an axis as two of which the first has that length."""
    before, after = view.shape[:axis], view.shape[axis + 1 :]
    made = "reshape", (*before, count, view.shape[axis] // count, *after)
    return _moved(view, *made)


def _of_whole(
    kind: str, value: tuple[int, ...], view: View
) -> tuple[str, tuple[int, ...]]:
    """A move of a slice as one of the array."""
    sliced = view.sliced
    if kind == "reshape":
        return kind, (*view.layout.shapes()[-1][:sliced], *value)
    return kind, (*range(sliced), *(sliced + axis for axis in value))


def place(
    view: View,
    rows: tuple[int, ...],
    columns: tuple[int, ...],
    groups: tuple[int, ...] = (),
) -> Placing:
    """The layout of matrices whose axes are those of a view.

    Each slice has its own matrix.

    Where axes have only been exchanged, uses of one parameter agree on the layout: it
    names the axes of the parameter, in order, and its first is among the rows.
    """
    sliced, moves = view.sliced, view.layout.moves
    groups = (*range(sliced), *(sliced + axis for axis in groups))
    rows, columns = (tuple(sliced + axis for axis in side) for side in (rows, columns))
    if any(kind == "reshape" for kind, _ in moves):
        layout = view.layout._replace(rows=rows, columns=columns, groups=groups)
        orders = tuple(range(len(rows))), tuple(range(len(columns)))
        return Placing(layout, *orders, swapped=False)
    shape = view.layout.shape
    exchanged = moves[0][1] if moves else tuple(range(len(shape)))
    groups, rows, columns = (
        tuple(exchanged[axis] for axis in side) for side in (groups, rows, columns)
    )
    orders = [sorted(range(len(x)), key=x.__getitem__) for x in (rows, columns)]
    first, second = tuple(sorted(rows)), tuple(sorted(columns))
    swapped = bool(second) and (not first or second < first)
    if swapped:
        first, second = second, first
    layout = Layout(shape, (), first, second, groups)
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
