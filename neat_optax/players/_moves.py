"""Where operations that rearrange an array take the dependence of its elements.

A rule takes an operation, what is known of its arguments (see `_dependence`) and a
function from the number of an argument to its value, None unless that is written into
the program. It answers for each result, or None where it does not know.
"""

import math
from typing import Any

import numpy as np

LARGE = 10**6


def uniform(depends: np.ndarray, ndim: int) -> np.ndarray:
    """The same dependence [columns] at every element of an array of `ndim` axes."""
    return depends.reshape((1,) * ndim + depends.shape)


def anywhere(x: np.ndarray) -> np.ndarray:
    """Dependence [columns] of any element."""
    return np.asarray(x.any(axis=tuple(range(x.ndim - 1))))


def over(x: np.ndarray, axes: Any) -> np.ndarray:
    """Dependence of any element along some axes, which are kept with length 1."""
    return np.asarray(x.any(axis=tuple(axes), keepdims=True))


def varies(x: np.ndarray) -> bool:
    """Whether elements of an array depend on different things."""
    return bool((anywhere(x) & ~x).any())


def full(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Dependence of every element by itself; of any, in an array that is large."""
    if math.prod(shape) * x.shape[-1] > LARGE:
        x = uniform(anywhere(x), len(shape))
        return np.broadcast_to(x, (*shape, x.shape[-1]))
    return np.array(np.broadcast_to(x, (*shape, x.shape[-1])))


def _concatenate(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    axis = eqn.params["dimension"]
    others = np.broadcast_shapes(*(over(x, [axis]).shape for x in known))
    parts = []
    for var, x in zip(eqn.invars, known, strict=True):
        length = var.aval.shape[axis]
        shape = (*others[:axis], length, *others[axis + 1 :])
        parts.append(np.broadcast_to(x, shape))
    return [np.concatenate(parts, axis=axis)]


def _stack(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    return [np.stack(np.broadcast_arrays(*known), axis=eqn.params["axis"])]


def _unstack(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    axis, count = eqn.params["axis"], len(eqn.outvars)
    last = known[0].shape[axis] - 1
    return [known[0].take(min(number, last), axis) for number in range(count)]


def _split(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    axis, sizes = eqn.params["axis"], eqn.params["sizes"]
    if known[0].shape[axis] == 1:
        return [known[0]] * len(sizes)
    return np.split(known[0], np.cumsum(sizes)[:-1], axis)


def _broadcast_in_dim(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    shape = [1] * len(eqn.params["shape"])
    for axis, target in enumerate(eqn.params["broadcast_dimensions"]):
        shape[target] = known[0].shape[axis]
    return [known[0].reshape((*shape, known[0].shape[-1]))]


def _reshape(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    x = known[0]
    if x.size == x.shape[-1] or math.prod(before) * x.shape[-1] > LARGE:
        return [uniform(anywhere(x), len(after))]
    return [full(x, before).reshape((*after, x.shape[-1]))]


def _squeeze(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    return [known[0].squeeze(axis=tuple(eqn.params["dimensions"]))]


def _transpose(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    order = tuple(eqn.params["permutation"])
    return [known[0].transpose((*order, len(order)))]


def _rev(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    return [np.flip(known[0], eqn.params["dimensions"])]


def _slice(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray]:
    starts, limits = eqn.params["start_indices"], eqn.params["limit_indices"]
    steps = eqn.params["strides"] or (1,) * len(starts)
    return [cut(known[0], zip(starts, limits, steps, strict=True))]


def cut(x: np.ndarray, cuts: Any) -> np.ndarray:
    """Some elements along each axis on which they are told apart."""
    pairs = zip(x.shape[:-1], cuts, strict=True)
    return x[tuple(slice(*cut) if n > 1 else slice(None) for n, cut in pairs)]


def _pad(eqn: Any, known: list[np.ndarray], _: Any) -> list[np.ndarray] | None:
    x, padding = known
    before, after = (var.aval.shape for var in (eqn.invars[0], eqn.outvars[0]))
    config = eqn.params["padding_config"]
    if any(low < 0 or high < 0 for low, high, _ in config):
        return None
    padded = [axis for axis, cut in enumerate(config) if any(cut)]
    inner, outer = list(x.shape[:-1]), list(x.shape[:-1])
    for axis in padded:
        inner[axis], outer[axis] = before[axis], after[axis]
    result = full(uniform(padding.reshape(-1), x.ndim - 1), tuple(outer))
    if math.prod(outer) * x.shape[-1] > LARGE:
        return [result[(slice(1),) * len(outer)] | uniform(anywhere(x), len(outer))]
    places = tuple(
        slice(low, low + (step + 1) * (n - 1) + 1 if n else low, step + 1)
        for n, (low, _, step) in zip(inner, config, strict=True)
    )
    result[places] = np.broadcast_to(x, (*inner, x.shape[-1]))
    return [result]


RULES = {
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": _concatenate,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _rev,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
    "unstack": _unstack,
}
