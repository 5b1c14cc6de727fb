"""Operations that multiply data by a parameter, and the factors of its gradient."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax._factored import Layout
from neat_optax._sites import _views
from neat_optax._sites._views import Placing, View

Term = tuple[jax.Array, jax.Array]


class Site(NamedTuple):
    """An operation where a parameter meets data.

    Attributes:
      kind: what it is called.
      leaf: the number of the parameter.
      layout: of the parameter's gradient as a matrix.
      data: which operand is the data.
      result: shape and dtype of the operation's result.
      places: how many rows the factors have for each player.
      term: from the data and the cotangents of the result, both with an axis of players
        first, to the factors.
    """

    kind: str
    leaf: int
    layout: Layout
    data: int
    result: Any
    places: int
    term: Callable[[jax.Array, jax.Array], Term]


def site_of(eqn: Any, position: int, view: View) -> Site | None:
    """The site that an operation is, if the operand at `position` is such a view."""
    rule = _RULES.get(eqn.primitive.name)
    return None if rule is None else rule(eqn, position, view)


def _dense(eqn: Any, position: int, view: View) -> Site | None:
    """Any contraction of a parameter with data, on either side."""
    contracting, batch = eqn.params["dimension_numbers"]
    data = 1 - position
    shape = eqn.invars[data].aval.shape
    kept = _others(range(len(shape)), (*contracting[data], *batch[data]))
    used = (*contracting[position], *batch[position])
    columns = _others(range(len(view.shape)), used)
    placing = _views.place(
        view, tuple(contracting[position]), columns, tuple(batch[position])
    )
    groups = len(batch[data])

    def term(x: jax.Array, back: jax.Array) -> Term:
        left = _moved(x, (*batch[data], *kept, *contracting[data]))
        if data:  # the result has the parameter's axes before those of the data
            axes = range(1 + groups, 1 + groups + len(columns))
            back = jnp.moveaxis(back, axes, range(-len(columns), 0))
        return _term(left, back, groups, len(kept), placing)

    places = math.prod(shape[axis] for axis in kept)
    result = eqn.outvars[0].aval
    return Site("dense", view.leaf, placing.layout, data, result, places, term)


def _convolution(eqn: Any, position: int, view: View) -> Site | None:
    """A convolution whose kernel is a parameter."""
    params = eqn.params
    if position != 1 or params["batch_group_count"] != 1:
        return None
    numbers, groups = params["dimension_numbers"], params["feature_group_count"]
    out, inputs, *window = numbers.rhs_spec
    view, rows, columns = view, (*window, inputs), (out,)
    if groups > 1:
        view = _views.split(view, out, groups)
        rows = tuple(axis + (axis > out) for axis in rows)
        columns = (out + 1,)
    placing = _views.place(view, rows, columns, (out,) if groups > 1 else ())
    batch, feature, *space = numbers.out_spec
    shape = eqn.outvars[0].aval.shape
    places = math.prod(shape[axis] for axis in (batch, *space))

    def term(x: jax.Array, back: jax.Array) -> Term:
        left = jax.vmap(functools.partial(_patches, eqn))(x)
        right = _moved(back, (batch, *space, feature))
        if groups > 1:
            left, right = _grouped(left, groups), _grouped(right, groups)
        return _term(left, right, int(groups > 1), 1 + len(space), placing)

    result = eqn.outvars[0].aval
    return Site("convolution", view.leaf, placing.layout, 0, result, places, term)


def _grouped(array: jax.Array, groups: int) -> jax.Array:
    """[P, places..., G, features]: to [P, G, places..., features of a group]."""
    split = array.reshape(*array.shape[:-1], groups, -1)
    return jnp.moveaxis(split, -2, 1)


def _patches(eqn: Any, x: jax.Array) -> jax.Array:
    """[N, places..., window..., inputs]: what each place of the result sees."""
    params, numbers = eqn.params, eqn.params["dimension_numbers"]
    x = x.transpose(numbers.lhs_spec[0], *numbers.lhs_spec[2:], numbers.lhs_spec[1])
    steps = zip(params["padding"], params["lhs_dilation"], strict=True)
    inside = [(low, high, dilation - 1) for (low, high), dilation in steps]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *inside, (0, 0, 0)])
    window = [eqn.invars[1].aval.shape[axis] for axis in numbers.rhs_spec[2:]]
    size = [eqn.outvars[0].aval.shape[axis] for axis in numbers.out_spec[2:]]
    pieces = []
    for offset in _offsets(window):
        start = [k * d for k, d in zip(offset, params["rhs_dilation"], strict=True)]
        spans = zip(start, size, params["window_strides"], strict=True)
        stop = [first + (count - 1) * stride + 1 for first, count, stride in spans]
        piece = jax.lax.slice(
            x,
            (0, *start, 0),
            (x.shape[0], *stop, x.shape[-1]),
            (1, *params["window_strides"], 1),
        )
        pieces.append(piece)
    stacked = jnp.stack(pieces, axis=-2)
    return stacked.reshape(*stacked.shape[:-2], *window, x.shape[-1])


def _offsets(window: list[int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for size in window:
        found = [(*offset, k) for offset in found for k in range(size)]
    return found


def _lookup(eqn: Any, position: int, view: View) -> Site | None:
    """Rows of a table at numbers: an embedding."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    axis = numbers.start_index_map
    others = _others(range(len(view.shape)), axis)
    if (
        position != 0
        or len(axis) != 1
        or tuple(numbers.collapsed_slice_dims) != tuple(axis)
        or numbers.operand_batching_dims
        or any(sizes[other] != view.shape[other] for other in others)
    ):
        return None
    placing = _views.place(view, tuple(axis), others)
    if placing.swapped:
        return None
    rank = eqn.outvars[0].aval.ndim
    kept = _others(range(rank), numbers.offset_dims)
    places = math.prod(eqn.outvars[0].aval.shape[axis] for axis in kept)
    most = view.shape[axis[0]] - 1
    clips = eqn.params["mode"] == jax.lax.GatherScatterMode.CLIP

    def term(numbers_: jax.Array, back: jax.Array) -> Term:
        rows = numbers_.reshape(len(back), places)
        moved = _moved(back, (*kept, *numbers.offset_dims))
        _, right = _term(None, moved, 0, len(kept), placing)
        inside = clips | ((rows >= 0) & (rows <= most))
        return jnp.clip(rows, 0, most), jnp.where(inside[..., None], right, 0)

    result = eqn.outvars[0].aval
    return Site("lookup", view.leaf, placing.layout, 1, result, places, term)


def _bias(eqn: Any, position: int, view: View) -> Site | None:
    """A parameter that is added as it is: the gradient is that of the result."""
    result = eqn.outvars[0].aval
    if eqn.invars[1 - position].aval.shape != view.shape or not view.shape:
        return None
    placing = _views.place(view, (), tuple(range(len(view.shape))))

    def term(_: jax.Array, back: jax.Array) -> Term:
        ones = jnp.ones((len(back), 1), back.dtype)
        return _term(ones, back[:, None], 0, 1, placing)

    return Site("bias", view.leaf, placing.layout, 1 - position, result, 1, term)


def _term(left: Any, right: jax.Array, groups: int, kept: int, placing: Placing) -> Any:
    """Factors [P, (G,) T, K] and [P, (G,) T, O] of [P, groups..., places..., axes...].

    Those of groups and places are so many axes.
    """
    front = 1 + groups + kept

    def flat(array: jax.Array, order: tuple[int, ...]) -> jax.Array:
        array = array.transpose(*range(front), *(front + axis for axis in order))
        some = (math.prod(array.shape[1 : 1 + groups]),) if groups else ()
        rows = math.prod(array.shape[1 + groups : front])
        return array.reshape(array.shape[0], *some, rows, -1)

    right = flat(right, placing.columns)
    if left is None:
        return None, right
    left = flat(left, placing.rows)
    return (right, left) if placing.swapped else (left, right)


def _moved(array: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """The axes behind that of the players in another order."""
    return array.transpose(0, *(1 + axis for axis in axes))


def _others(axes: Any, without: Any) -> tuple[int, ...]:
    return tuple(axis for axis in axes if axis not in without)


_RULES: dict[str, Callable[[Any, int, View], Site | None]] = {
    "dot_general": _dense,
    "conv_general_dilated": _convolution,
    "gather": _lookup,
    "add": _bias,
    "add_any": _bias,
}
