"""Dependence analysis of a traced function: which inputs reach which outputs.

What is known of an array of shape [a, b] is a boolean array of shape [a, b, inputs],
where an axis of length 1 stands for "the same everywhere along it". Few operations tell
elements apart, so that these arrays stay small.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _program

_NAMES = """
    abs acos acosh add add_any asin asinh atan atan2 atanh cbrt ceil clamp conj
    convert_element_type copy copy_p cos cosh digamma div erf erf_inv erfc exp exp2
    expm1 floor imag integer_pow is_finite lgamma log log1p logistic max min mul neg
    nextafter pow real reduce_precision rem round rsqrt select_n sign sin sinh sqrt
    square sub tan tanh
"""
_ELEMENTWISE = frozenset(_NAMES.split())
_REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")
_CALLS = ("jit", "pjit", "closed_call", "checkpoint", "remat", "remat2")
_CUSTOM = ("custom_jvp_call", "custom_vjp_call")
_LARGE = 10**6


def dependence(fn: Callable[..., Any], params: Any, *args: Any) -> np.ndarray:
    """For `fn(params, *args) -> [P]`, booleans of shape [P, leaves of params].

    An entry is False only if no path of differentiable operations leads from the leaf
    to the result. Nothing is computed with values: arguments may be abstract.
    """
    closed: Any = jax.make_jaxpr(fn)(params, *args)
    leaves = len(jax.tree.leaves(params))
    known = [
        _differentiable(var, _uniform(np.arange(leaves) == number, var.aval.ndim))
        for number, var in enumerate(closed.jaxpr.invars)
    ]
    (result,) = _follow(closed.jaxpr, known, leaves)
    return np.broadcast_to(result, (*closed.out_avals[0].shape, leaves))


def _follow(jaxpr: Any, known: list[np.ndarray], leaves: int) -> list[np.ndarray]:
    """The dependence of the results of a jaxpr, from that of its arguments."""
    found = dict(zip(jaxpr.invars, known, strict=True))

    def read(var: Any) -> np.ndarray:
        none = _uniform(np.zeros(leaves, bool), var.aval.ndim)
        return none if _program.is_literal(var) else found.get(var, none)

    if _mutates(jaxpr):
        return _everything(jaxpr.outvars, known, leaves)
    for eqn in jaxpr.eqns:
        results = _results(eqn, [read(var) for var in eqn.invars], leaves)
        for var, result in zip(eqn.outvars, results, strict=True):
            found[var] = _differentiable(var, result)
    return [read(var) for var in jaxpr.outvars]


def _uniform(depends: np.ndarray, ndim: int) -> np.ndarray:
    """The same dependence [leaves] at every element of an array of `ndim` axes."""
    return depends.reshape((1,) * ndim + depends.shape)


def _anywhere(x: np.ndarray) -> np.ndarray:
    """Dependence [leaves] of any element."""
    return np.asarray(x.any(axis=tuple(range(x.ndim - 1))))


def _differentiable(var: Any, known: np.ndarray) -> np.ndarray:
    inexact = jnp.issubdtype(var.aval.dtype, jnp.inexact)
    return known if inexact else np.zeros_like(known)


def _mutates(jaxpr: Any) -> bool:
    """Whether any operation works on a mutable array, which hides what it changes."""
    used = [var for eqn in jaxpr.eqns for var in (*eqn.invars, *eqn.outvars)]
    return any(hasattr(var.aval, "inner_aval") for var in used)


def _results(eqn: Any, known: list[np.ndarray], leaves: int) -> list[np.ndarray]:
    name = eqn.primitive.name
    everything = _everything(eqn.outvars, known, leaves)
    if name == "stop_gradient":
        return [np.zeros_like(x) for x in everything]
    if name in _CALLS:
        return _follow(_program.called(eqn), known, leaves)
    if name in _CUSTOM:
        return _custom(_follow(_program.called(eqn), known, leaves), everything)
    if name in _ELEMENTWISE:
        return [_elementwise(known)]
    if name in _REDUCTIONS:
        return [np.asarray(known[0].any(axis=tuple(eqn.params["axes"])))]
    if name in _RULES:
        return [_RULES[name](eqn, known)]
    return everything


def _everything(
    variables: Any, known: list[np.ndarray], leaves: int
) -> list[np.ndarray]:
    """What is always true: each result depends on all that any argument does."""
    union = np.zeros(leaves, bool)
    for x in known:
        union = union | _anywhere(x)
    return [_uniform(union, var.aval.ndim) for var in variables]


def _custom(results: list[np.ndarray], everything: list[np.ndarray]):
    """A custom derivative may go where the function itself does not, as if rounded."""
    return [
        result if (_anywhere(result) == _anywhere(union)).all() else union
        for result, union in zip(results, everything, strict=True)
    ]


def _elementwise(known: list[np.ndarray]) -> np.ndarray:
    union = known[0]
    for x in known[1:]:
        union = union | x
    return union


def _concatenate(eqn: Any, known: list[np.ndarray]) -> np.ndarray:
    axis = eqn.params["dimension"]
    others = np.broadcast_shapes(*(_without(x.shape, axis) for x in known))
    parts = []
    for var, x in zip(eqn.invars, known, strict=True):
        length = var.aval.shape[axis]
        shape = (*others[:axis], length, *others[axis + 1 :])
        parts.append(np.broadcast_to(x, shape))
    return np.concatenate(parts, axis=axis)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])


def _stack(eqn: Any, known: list[np.ndarray]) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*known), axis=eqn.params["axis"])


def _broadcast_in_dim(eqn: Any, known: list[np.ndarray]) -> np.ndarray:
    shape = [1] * len(eqn.params["shape"])
    for axis, target in enumerate(eqn.params["broadcast_dimensions"]):
        shape[target] = known[0].shape[axis]
    return known[0].reshape((*shape, known[0].shape[-1]))


def _reshape(eqn: Any, known: list[np.ndarray]) -> np.ndarray:
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    x = known[0]
    leaves = x.shape[-1]
    if x.size == leaves or math.prod(before) * leaves > _LARGE:
        return _uniform(_anywhere(x), len(after))
    return np.broadcast_to(x, (*before, leaves)).reshape((*after, leaves))


def _squeeze(eqn: Any, known: list[np.ndarray]) -> np.ndarray:
    return known[0].squeeze(axis=tuple(eqn.params["dimensions"]))


def _transpose(eqn: Any, known: list[np.ndarray]) -> np.ndarray:
    order = tuple(eqn.params["permutation"])
    return known[0].transpose((*order, len(order)))


def _slice(eqn: Any, known: list[np.ndarray]) -> np.ndarray:
    x = known[0]
    starts, limits = eqn.params["start_indices"], eqn.params["limit_indices"]
    steps = eqn.params["strides"] or (1,) * len(starts)
    cuts = zip(x.shape[:-1], starts, limits, steps, strict=True)
    return x[tuple(slice(*cut) if n > 1 else slice(None) for n, *cut in cuts)]


_RULES = {
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": _concatenate,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "slice": _slice,
    "stack": _stack,
    "transpose": _transpose,
}
