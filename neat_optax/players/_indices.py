"""Dependence through slices, gathers and scatters at indices that are computed.

Rules are those of `_moves`. Where the indices are not numbers of the program, any
element along the axes that they choose from may be meant.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax.players._moves import LARGE, anywhere, cut, full, over, uniform


def _starts(value: Callable[[int], Any], first: int, shape: Any, sizes: Any) -> Any:
    """Where a slice begins that is given by one number for each axis, or None."""
    found = [value(first + axis) for axis in range(len(shape))]
    if any(x is None for x in found):
        return None
    room = zip(found, shape, sizes, strict=True)
    return [min(max(int(x), 0), n - size) for x, n, size in room]


def _dynamic_slice(eqn: Any, known: list[np.ndarray], value: Any) -> list[np.ndarray]:
    shape, sizes = eqn.invars[0].aval.shape, eqn.params["slice_sizes"]
    starts = _starts(value, 1, shape, sizes)
    if starts is None:
        return [over(known[0], _shorter(sizes, shape))]
    cuts = [(start, start + n) for start, n in zip(starts, sizes, strict=True)]
    return [cut(known[0], cuts)]


def _shorter(sizes: Any, shape: Any) -> list[int]:
    """The axes along which a part is shorter than the whole."""
    pairs = enumerate(zip(sizes, shape, strict=True))
    return [axis for axis, (size, length) in pairs if size < length]


def _dynamic_update_slice(
    eqn: Any, known: list[np.ndarray], value: Any
) -> list[np.ndarray]:
    x, part = known[:2]
    shape, sizes = (var.aval.shape for var in eqn.invars[:2])
    starts = _starts(value, 2, shape, sizes)
    if starts is None or math.prod(shape) * x.shape[-1] > LARGE:
        axes = _shorter(sizes, shape)
        return [over(x, axes) | over(part, axes)]
    result = full(x, shape)
    places = zip(starts, sizes, strict=True)
    result[tuple(slice(start, start + n) for start, n in places)] = part
    return [result]


def _gather(eqn: Any, known: list[np.ndarray], value: Any) -> list[np.ndarray]:
    x, shape = known[0], eqn.invars[0].aval.shape
    dims, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    shorter = set(_shorter(sizes, shape))
    chosen = [axis for axis in dims.start_index_map if axis in shorter]
    differs = any(x.shape[axis] > 1 for axis in chosen)
    if differs and math.prod(shape) * x.shape[-1] <= LARGE:
        indices = value(1)
        if indices is not None:
            places = _places(shape, indices, dims, sizes, eqn.params["mode"])
            flat = full(x, shape).reshape(-1, x.shape[-1])
            return [np.pad(flat, ((0, 1), (0, 0)))[places]]
    x = over(x, chosen)
    return [_arranged(x, dims, eqn.outvars[0].aval.ndim)]


def _places(shape: Any, indices: Any, dims: Any, sizes: Any, mode: Any) -> np.ndarray:
    """The flat position in the operand of each gathered element, or -1."""
    with jax.ensure_compile_time_eval():
        numbers = jnp.arange(math.prod(shape)).reshape(shape)
        found = jax.lax.gather(
            numbers, jnp.asarray(indices), dims, sizes, mode=mode, fill_value=-1
        )
    return np.asarray(found)


def _arranged(x: np.ndarray, dims: Any, ndim: int) -> np.ndarray:
    """The axes of an operand as those of what is gathered from it."""
    gone = {*dims.collapsed_slice_dims, *dims.operand_batching_dims}
    kept = iter(axis for axis in range(x.ndim - 1) if axis not in gone)
    paired = dict(
        zip(dims.start_indices_batching_dims, dims.operand_batching_dims, strict=True)
    )
    numbers = iter(range(ndim))
    sources = [
        next(kept) if axis in dims.offset_dims else paired.get(next(numbers))
        for axis in range(ndim)
    ]
    used = [axis for axis in sources if axis is not None]
    unused = [axis for axis in range(x.ndim - 1) if axis not in used]
    lengths = [1 if axis is None else x.shape[axis] for axis in sources]
    x = over(x, unused).transpose((*used, *unused, x.ndim - 1))
    return x.reshape((*lengths, x.shape[-1]))


def _scatter(eqn: Any, known: list[np.ndarray], value: Any) -> list[np.ndarray]:
    x, _, updates = known
    before, after = (eqn.invars[number].aval.shape for number in (0, 2))
    dims, width = eqn.params["dimension_numbers"], x.shape[-1]
    indices = value(1)
    if indices is None or max(map(math.prod, (before, after))) * width > LARGE:
        return [over(x, range(x.ndim - 1)) | uniform(anywhere(updates), x.ndim - 1)]
    gone = {*dims.inserted_window_dims, *dims.operand_batching_dims}
    windows = iter(after[axis] for axis in dims.update_window_dims)
    sizes = [1 if axis in gone else next(windows) for axis in range(len(before))]
    read = jax.lax.GatherDimensionNumbers(
        offset_dims=dims.update_window_dims,
        collapsed_slice_dims=dims.inserted_window_dims,
        start_index_map=dims.scatter_dims_to_operand_dims,
        operand_batching_dims=dims.operand_batching_dims,
        start_indices_batching_dims=dims.scatter_indices_batching_dims,
    )
    places = _places(before, indices, read, sizes, eqn.params["mode"]).reshape(-1)
    flat = np.pad(full(x, before).reshape(-1, width), ((0, 1), (0, 0)))
    if eqn.primitive.name == "scatter":
        flat[places] = False
    np.logical_or.at(flat, places, full(updates, after).reshape(-1, width))
    return [flat[:-1].reshape((*before, width))]


RULES = {
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "scatter": _scatter,
    "scatter-add": _scatter,
    "scatter-max": _scatter,
    "scatter-min": _scatter,
    "scatter-mul": _scatter,
    "scatter-sub": _scatter,
}
