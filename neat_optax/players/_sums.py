"""Dependence through operations that add up or compare elements along some axes.

Rules are those of `_moves`.
"""

import math
from typing import Any

import numpy as np

from neat_optax.players._moves import LARGE, anywhere, over, uniform


def _reduce(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    return [np.asarray(known[0].any(axis=tuple(eqn.params["axes"])))]


def _accumulate(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    axis, x = eqn.params["axis"], known[0]
    if not eqn.params["reverse"]:
        return [np.logical_or.accumulate(x, axis)]
    return [np.flip(np.logical_or.accumulate(np.flip(x, axis), axis), axis)]


def _sort(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    """An order has no derivative: each array depends on its own elements."""
    return [over(x, [eqn.params["dimension"]]) for x in known]


def _top_k(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    ndim = known[0].ndim - 1
    found = over(known[0], [eqn.params.get("axis", -1) % ndim])
    return [found] * len(eqn.outvars)


def _window(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    """Pooling: an axis is left alone where a window covers one element of each."""
    names = "window_dimensions", "window_strides", "base_dilation"
    cuts = zip(*(eqn.params[name] for name in names), strict=True)
    moved = [axis for axis, cut in enumerate(cuts) if any(n != 1 for n in cut)]
    return [over(known[0], moved)]


def _each(_eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    return known


def _dot_general(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    """A row of the product depends on a row of the left and a column of the right."""
    summed, paired = eqn.params["dimension_numbers"]
    parts = []
    for x, axes, batch in zip(known, summed, paired, strict=True):
        free = [n for n in range(x.ndim - 1) if n not in (*axes, *batch)]
        x = over(x, axes).transpose((*batch, *free, *axes, x.ndim - 1))
        parts.append((x.reshape((*x.shape[: len(batch) + len(free)], -1)), len(free)))
    (left, rows), (right, columns) = parts
    count = len(paired[0])
    left = left.reshape((*left.shape[:-1], *(1,) * columns, left.shape[-1]))
    shape = (*right.shape[:count], *(1,) * rows, *right.shape[count:])
    return _joined(left, right.reshape(shape))


def _joined(left: np.ndarray, right: np.ndarray) -> list[np.ndarray]:
    """Dependence on both; on any element of both, in a product that is large."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    if math.prod(shape) > LARGE:
        return [uniform(anywhere(left) | anywhere(right), left.ndim - 1)]
    return [left | right]


def _convolution(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray] | None:
    """Each example and each output channel by itself, from its group of channels."""
    if eqn.params["batch_group_count"] != 1:
        return None
    inputs, kernel = known
    dims, ndim = eqn.params["dimension_numbers"], inputs.ndim - 1
    examples, channels = dims.lhs_spec[:2]
    inputs = over(inputs, (n for n in range(ndim) if n not in (examples, channels)))
    inputs = inputs.transpose((examples, channels, *dims.lhs_spec[2:], ndim))
    kernel = over(kernel, (n for n in range(ndim) if n != dims.rhs_spec[0]))
    kernel = kernel.transpose((*dims.rhs_spec[1::-1], *dims.rhs_spec[2:], ndim))
    count = eqn.invars[1].aval.shape[dims.rhs_spec[0]]
    (result,) = _joined(
        _grouped(inputs, eqn.params["feature_group_count"], count), kernel
    )
    return [result.transpose((*np.argsort(dims.out_spec), ndim))]


def _grouped(x: np.ndarray, groups: int, count: int) -> np.ndarray:
    """What each of `count` output channels gets of its group of input channels."""
    if groups == 1 or x.shape[1] == 1:
        return over(x, [1])
    parts = x.reshape((len(x), groups, -1, *x.shape[2:])).any(axis=2)
    return parts.repeat(count // groups, axis=1)


_REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")
_ACCUMULATIONS = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
_POOLINGS = ("reduce_window_max", "reduce_window_min", "reduce_window_sum")
RULES = {
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(_ACCUMULATIONS, _accumulate),
    **dict.fromkeys(_POOLINGS, _window),
    "conv_general_dilated": _convolution,
    "dot_general": _dot_general,
    "optimization_barrier": _each,
    "sort": _sort,
    "top_k": _top_k,
}
