"""In which order the layers of a network follow each other, read from its trace.

Each value of the trace is known by what went into it since the last layer: the layers
that it comes from, and the parameters that it was combined with. A chain has one layer
before each layer, and no parameter but its bias between the two.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _program

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr

_INPUT = "the input"
_NAMES = """
    jit pjit closed_call core_call checkpoint remat remat2 custom_jvp_call
    custom_vjp_call
"""
_CALLS = frozenset(_NAMES.split())
_UNCHANGED = ("convert_element_type", "copy", "copy_p", "sharding_constraint")
_SAME_IF_SHAPE = ("reshape", "broadcast_in_dim")
_HINT = "name a chain of layers with `layers` to cut only that."


class _Known(NamedTuple):
    """What is known of one value of the trace."""

    matrix: str | None = None
    """The parameter of two or more axes that this value is."""
    sources: frozenset[str] = frozenset()
    """The layers whose results it is made of; `_INPUT` for the input."""
    mixed: frozenset[str] = frozenset()
    """The parameters of one axis that it was combined with since."""


def trace(
    apply: Callable[..., Any], arrays: Mapping[str, Any], x: tuple
) -> "ClosedJaxpr":
    """The program of `apply(arrays, x)`: arrays of `x` are traced, the rest is not.

    Matrix products have full precision, so that what differs between two programs is
    the network, and not how an accelerator rounds a product of another size.
    """
    leaves, treedef = jax.tree.flatten(x)

    def call(arrays: Mapping[str, Any], traced: list[Any]) -> Any:
        rest = iter(traced)
        merged = [next(rest) if _is_array(leaf) else leaf for leaf in leaves]
        return apply(arrays, treedef.unflatten(merged))

    with jax.default_matmul_precision("highest"):
        return jax.make_jaxpr(call)(dict(arrays), array_leaves(x))


def array_leaves(x: tuple) -> list[Any]:
    """The leaves that are traced."""
    return [leaf for leaf in jax.tree.leaves(x) if _is_array(leaf)]


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "dtype")


def coarsest_precision(closed: "ClosedJaxpr") -> float:
    """The largest relative rounding error of any operation."""
    dtypes = {
        getattr(var.aval, "dtype", None)
        for eqn in _program.equations(closed.jaxpr)
        for var in eqn.outvars
    }
    inexact = [d for d in dtypes if d is not None and jnp.issubdtype(d, jnp.inexact)]
    return max((float(jnp.finfo(dtype).eps) for dtype in inexact), default=0.0)


def layer_order(closed: "ClosedJaxpr", arrays: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths of the layers from input to output, of a trace made by `trace`.

    Raises:
      ValueError: if they are not a chain, or a parameter is used in another way than
        as the kernel or bias of a Dense or Conv layer.
    """
    names = jax.tree.leaves({name: name for name in arrays})
    known = [_parameter(name, arrays[name]) for name in names]
    known += [_Known(sources=frozenset([_INPUT]))] * (
        len(closed.jaxpr.invars) - len(known)
    )
    chain: list[str] = []
    results = _follow(closed.jaxpr, known, chain)
    passed = frozenset[str]().union(*(result.sources for result in results))
    others = passed - {_INPUT, *chain[-1:]}
    if others:
        raise ValueError(
            "`model` must return the result of its last layer alone, got one that "
            f"depends directly on {_listed(others)}, as a branch or a skip connection "
            f"makes it; {_HINT}"
        )
    return tuple(chain)


def _parameter(name: str, array: Any) -> _Known:
    if array.ndim > 1:
        return _Known(matrix=name)
    return _Known(mixed=frozenset([name] if array.size > 1 else []))


def _follow(jaxpr: Any, known: list[_Known], chain: list[str]) -> list[_Known]:
    """What is known of the results of a jaxpr; adds the layers that it meets."""
    found = dict(zip(jaxpr.invars, known, strict=True))

    def read(var: Any) -> _Known:
        return _Known() if _program.is_literal(var) else found.get(var, _Known())

    for eqn in jaxpr.eqns:
        results = _results(eqn, [read(var) for var in eqn.invars], chain)
        found.update(zip(eqn.outvars, results, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _results(eqn: Any, known: list[_Known], chain: list[str]) -> list[_Known]:
    name = eqn.primitive.name
    if name in _CALLS:
        return _follow(_program.called(eqn), known, chain)
    if name in _UNCHANGED or (name in _SAME_IF_SHAPE and _keeps_shape(eqn)):
        return [known[0]]
    if _is_layer(eqn, known):
        return [_add_layer(known, chain)]
    for value in known:
        if value.matrix is not None:
            raise ValueError(
                "`model` must use its parameters of two or more axes as kernels "
                "[..., in, out] of Dense or Conv layers, unchanged and in one group, "
                f"got {value.matrix} in the operation {name}; {_HINT}"
            )
    sources = frozenset[str]().union(*(value.sources for value in known))
    mixed = frozenset[str]().union(*(value.mixed for value in known))
    return [_Known(sources=sources, mixed=mixed)] * len(eqn.outvars)


def _keeps_shape(eqn: Any) -> bool:
    return eqn.invars[0].aval.shape == eqn.outvars[0].aval.shape


def _is_layer(eqn: Any, known: list[_Known]) -> bool:
    """Whether the operation is `x @ kernel`, or a convolution with the kernel."""
    if len(known) != 2 or known[0].matrix is not None or known[1].matrix is None:
        return False
    name, ndim = eqn.primitive.name, eqn.invars[1].aval.ndim
    if known[1].matrix.rpartition("/")[2] != "kernel":
        return False
    if name == "dot_general":
        (rows, columns), batch = eqn.params["dimension_numbers"]
        last = (eqn.invars[0].aval.ndim - 1,)
        standard = (tuple(rows), tuple(columns)) == (last, (0,))
        return standard and ndim == 2 and not any(batch)
    if name != "conv_general_dilated":
        return False
    groups = eqn.params["feature_group_count"] * eqn.params["batch_group_count"]
    axes = tuple(eqn.params["dimension_numbers"].rhs_spec[:2])
    return groups == 1 and axes == (ndim - 1, ndim - 2)


def _add_layer(known: list[_Known], chain: list[str]) -> _Known:
    """Appends a layer to the chain if it follows the last one and nothing else."""
    data, kernel = known[0], str(known[1].matrix)
    layer = kernel.rpartition("/")[0]
    if layer in chain:
        raise ValueError(f"`model` must use each kernel once, got {kernel} used again.")
    expected = frozenset(chain[-1:] or [_INPUT])
    if (data.sources or frozenset([_INPUT])) != expected:
        raise ValueError(
            f"`model` must be one chain of layers, got {kernel} fed by "
            f"{_listed(data.sources)} after {_listed(expected)}, as a branch or a skip "
            f"connection makes it; {_HINT}"
        )
    extra = data.mixed - {join(name, "bias") for name in chain[-1:]}
    if chain and extra:
        raise ValueError(
            "`model` must have no parameters but biases between its layers, got "
            f"{_listed(extra)} between {chain[-1]} and {layer}, as a normalization "
            "layer makes it."
        )
    chain.append(layer)
    return _Known(sources=frozenset([layer]))


def join(layer: str, name: str) -> str:
    """The path of a parameter of a layer; the root has the path ""."""
    return f"{layer}/{name}" if layer else name


def _listed(names: Any) -> str:
    return " and ".join(sorted(names)) or "constants"
