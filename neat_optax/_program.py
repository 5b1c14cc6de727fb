"""What a traced program consists of, for those who read it.

`jax.extend.core` is imported where it is needed: it costs as much as a tenth of JAX.
"""

from collections.abc import Iterator
from typing import Any

_NAMES = """
    abs acos acosh add add_any asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt
    ceil clamp conj convert_element_type copy copy_p cos cosh digamma div erf erf_inv
    erfc exp exp2 expm1 floor imag integer_pow is_finite lgamma log log1p logistic max
    min mul name neg nextafter pow pvary real reduce_precision rem reshard round rsqrt
    select_n sharding_constraint sign sin sinh sqrt square sub tan tanh
"""
ELEMENTWISE = frozenset(_NAMES.split())
"""Operations that take every element of their result from those at the same place."""


def is_literal(var: Any) -> bool:
    """Whether an operand is a number written into the program."""
    from jax.extend.core import Literal

    return isinstance(var, Literal)


def opened(program: Any) -> Any:
    """The jaxpr itself of one that may be closed over its constants."""
    from jax.extend.core import ClosedJaxpr

    return program.jaxpr if isinstance(program, ClosedJaxpr) else program


def called(eqn: Any) -> Any:
    """The jaxpr that an operation such as `jit` or `checkpoint` calls."""
    return opened(eqn.params.get("jaxpr", eqn.params.get("call_jaxpr")))


def scan_parts(eqn: Any) -> tuple[int, int]:
    """How many operands every turn of a scan sees whole, and how many it carries.

    The others have one axis more outside than inside, that of the turns.
    """
    body = opened(eqn.params["jaxpr"])
    whole, carried = _alike(eqn.invars, body.invars), _alike(eqn.outvars, body.outvars)
    return whole - carried, carried


def _alike(outer: Any, inner: Any) -> int:
    pairs = zip(outer, inner, strict=True)
    return sum(var.aval.ndim == one.aval.ndim for var, one in pairs)


def inside(eqn: Any) -> Iterator[Any]:
    """The jaxprs that an operation has."""
    for value in eqn.params.values():
        for part in value if isinstance(value, tuple) else (value,):
            inner = opened(part)
            if hasattr(inner, "eqns"):
                yield inner


def equations(jaxpr: Any) -> Iterator[Any]:
    """Every operation, those of the jaxprs inside included."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in inside(eqn):
            yield from equations(inner)


def apply(eqn: Any, operands: list[Any]) -> list[Any]:
    """The results of one operation."""
    given = eqn.primitive.get_bind_params(eqn.params)
    functions, params = given if isinstance(given, tuple) else ((), given)
    with eqn.ctx.manager:
        results = eqn.primitive.bind(*functions, *operands, **params)
    return results if eqn.primitive.multiple_results else [results]
